//! A PostgreSQL database of a test's own, on the server that `tests/run.sh` provides or finds.

use std::sync::atomic::{AtomicU32, Ordering};

use suki_receiver::config::{self, PostgresUrl};
use suki_receiver::domain::Clock;
use suki_receiver::journal::{Access, PostgresStore, Store};
use suki_receiver::metrics::Metrics;
use tokio_postgres::{Client, Config, NoTls};

use super::{PATIENCE, eventually};

/// Names the server, as a superuser's address.
const VARIABLE: &str = "TEST_POSTGRES_URL";
const DEFAULT: &str = "postgres://postgres@127.0.0.1:5432/postgres";

/// A database that is dropped with this, whoever still uses it.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// An empty one.
    pub async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        #[allow(clippy::disallowed_methods, reason = "the tests' own setting")]
        let server = std::env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("suki_test_{}_{number}", std::process::id());
        let admin = connect(&server).await;
        for sql in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"),
        ] {
            admin.batch_execute(&sql).await.unwrap();
        }
        Self { server, name }
    }

    /// Its address.
    pub fn url(&self) -> String {
        let mut url = url::Url::parse(&self.server).unwrap();
        url.set_path(&self.name);
        url.to_string()
    }

    /// Its address by way of another port, such as a proxy's.
    pub fn url_by(&self, address: std::net::SocketAddr) -> String {
        let mut url = url::Url::parse(&self.url()).unwrap();
        url.set_ip_host(address.ip()).unwrap();
        url.set_port(Some(address.port())).unwrap();
        url.to_string()
    }

    /// The server's own address.
    pub fn address(&self) -> String {
        let url = url::Url::parse(&self.server).unwrap();
        format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432))
    }

    /// A connection past any store.
    pub async fn client(&self) -> Client {
        connect(&self.url()).await
    }

    /// A store on it that is ready, as an instance that serves has it.
    pub async fn store(&self, clock: Clock) -> PostgresStore {
        let store = open(&self.url(), clock);
        ready(&store).await;
        store
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // A runtime of its own: the test's may have one thread, which is here.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let admin = connect(&server).await;
                let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                admin.batch_execute(&sql).await.unwrap();
            });
        })
        .join()
        .ok();
    }
}

/// A store that serves from `url`, whether it is there or not.
pub fn open(url: &str, clock: Clock) -> PostgresStore {
    let settings = config::Store {
        pool_size: 4,
        ..config::Store::default()
    };
    open_with(&settings, url, clock).unwrap()
}

/// The same, with settings.
pub fn open_with(
    settings: &config::Store,
    url: &str,
    clock: Clock,
) -> Result<PostgresStore, suki_receiver::journal::OpenError> {
    let access = Access::Owner {
        longest_wait: PATIENCE,
    };
    let url = PostgresUrl::parse(url).unwrap();
    PostgresStore::open(settings, &url, access, clock, Metrics::new())
}

/// Waits until a store takes writes.
pub async fn ready(store: &PostgresStore) {
    eventually("the store takes writes", || async {
        store.check().await.is_ok()
    })
    .await;
}

async fn connect(url: &str) -> Client {
    let config: Config = url.parse().unwrap();
    let (client, connection) = config.connect(NoTls).await.unwrap_or_else(|error| {
        panic!(
            "no PostgreSQL server for the tests at {url} ({error}); run them by tests/run.sh, which provides one, or \
             name one in {VARIABLE}"
        )
    });
    tokio::spawn(async move { connection.await.ok() });
    client
}
