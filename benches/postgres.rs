//! A PostgreSQL database of a benchmark's own on the server that the run is given, and what that server costs.
//!
//! Looks into no table itself.

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio_postgres::{Client, Config, NoTls};

use super::process::{cpu_of_family, parent_of};

/// What the names of all these databases begin with; the id of the process that made it follows.
const PREFIX: &str = "suki_bench_";

/// A database. It is dropped with this.
pub(crate) struct Database {
    server: String,
    name: String,
    /// The server's first process, where it runs on this machine.
    server_pid: Option<u32>,
}

impl Database {
    /// An empty one.
    pub(crate) async fn create(server: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}_{number}", std::process::id());
        let admin = connect(server).await?;
        admin
            .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await?;
        admin
            .batch_execute(&format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"
            ))
            .await?;
        let pid: i32 = admin
            .query_one("SELECT pg_backend_pid()", &[])
            .await?
            .get(0);
        Ok(Self {
            server: server.to_owned(),
            name,
            server_pid: server_of(pid.cast_unsigned()),
        })
    }

    /// Its address.
    pub(crate) fn url(&self) -> anyhow::Result<String> {
        let mut url = url::Url::parse(&self.server)?;
        url.set_path(&self.name);
        Ok(url.to_string())
    }

    /// The CPU time that the server has used, where it can be told.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        cpu_of_family(self.server_pid?).ok()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, sql) = (
            self.server.clone(),
            format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
        // A runtime of its own: this may be within another.
        let dropped = thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async { Ok(connect(&server).await?.batch_execute(&sql).await?) })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("the database {} is left behind", self.name);
        }
    }
}

/// Drops the databases of earlier runs that were killed.
pub(crate) async fn tidy(server: &str) -> anyhow::Result<()> {
    let admin = connect(server).await?;
    let found = admin
        .query(
            "SELECT datname FROM pg_database WHERE starts_with(datname, $1)",
            &[&PREFIX],
        )
        .await?;
    for row in found {
        let name: String = row.get(0);
        let pid = name.trim_start_matches(PREFIX).split('_').next();
        if pid.is_some_and(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            admin
                .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                .await?;
        }
    }
    Ok(())
}

/// A connection of the benchmark's own.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let config: Config = url.parse()?;
    let (client, connection) = config
        .connect(NoTls)
        .await
        .with_context(|| format!("no PostgreSQL server at {url}; benches/run.sh provides one"))?;
    tokio::spawn(async move { connection.await.ok() });
    Ok(client)
}

/// The process that started this connection's, if both are PostgreSQL's and of this machine.
fn server_of(backend: u32) -> Option<u32> {
    let is_postgres = |pid: u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.contains("postgres"))
    };
    let parent = parent_of(backend).ok()?;
    (is_postgres(backend) && is_postgres(parent)).then_some(parent)
}
