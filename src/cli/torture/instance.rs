//! One receiver as a process of its own, that can be killed, restarted, followed and starved of disk.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(20);
/// The size that no file may grow beyond while the disk is full.
const FULL: u64 = 16 * 1024;
/// The operator's token of every instance.
pub(super) const TOKEN: &str = "torture";

/// A receiver.
pub(super) struct Instance {
    child: Running,
    /// Its public address.
    pub(super) public: SocketAddr,
    admin: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    client: reqwest::Client,
}

impl Instance {
    /// Starts one in `dir`, whose `receiver.toml` is made of `settings`, and waits until it is ready.
    pub(super) async fn start(dir: &Path, settings: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (public, admin) = (free_address()?, free_address()?);
        let config = dir.join("receiver.toml");
        let text = settings
            .replace("PUBLIC", &public.to_string())
            .replace("ADMIN", &admin.to_string());
        std::fs::write(&config, text)?;
        let log = dir.join("log");
        let instance = Self {
            child: Running(spawn(&config, &log)?),
            public,
            admin,
            config,
            log,
            client: reqwest::Client::builder().no_proxy().build()?,
        };
        instance.ready().await?;
        Ok(instance)
    }

    /// Ends it at once and starts it anew.
    pub(super) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.child.0.kill()?;
        self.child.0.wait()?;
        self.child = Running(spawn(&self.config, &self.log)?);
        self.ready().await
    }

    /// Ends it as a service manager does, and starts it anew.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        stop(&mut self.child.0).await?;
        self.child = Running(spawn(&self.config, &self.log)?);
        self.ready().await
    }

    /// Starts another one beside it, which gets its sockets, then ends the first.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        let lines = self.successors()?;
        let next = spawn(&self.config, &self.log)?;
        let mut before = Running(std::mem::replace(&mut self.child.0, next));
        let deadline = Instant::now() + PATIENCE;
        while self.successors()? == lines {
            if Instant::now() > deadline {
                bail!(
                    "no hand-over within {PATIENCE:?}; see {}",
                    self.log.display()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        stop(&mut before.0).await
    }

    /// Lets no file grow any more, or all again.
    pub(super) fn fill_disk(&self, is_full: bool) -> anyhow::Result<()> {
        let limit = Rlimit {
            current: is_full.then_some(FULL),
            maximum: None,
        };
        prlimit(Some(pid(&self.child.0)), Resource::Fsize, limit)?;
        Ok(())
    }

    /// Its configuration.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// What `/api/v1/stats` says.
    pub(super) async fn stats(&self) -> anyhow::Result<Value> {
        let url = format!("http://{}/api/v1/stats", self.admin);
        let answer = self.client.get(url).bearer_auth(TOKEN).send().await?;
        Ok(serde_json::from_slice(
            &answer.error_for_status()?.bytes().await?,
        )?)
    }

    /// Events that wait in its spool.
    pub(super) async fn spooled(&self) -> anyhow::Result<u64> {
        let url = format!("http://{}/metrics", self.admin);
        let text = self.client.get(url).send().await?.text().await?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("suki_receiver_spool_events "));
        let count: f64 = line.context("no spool_events in the metrics")?.parse()?;
        Ok(count as u64)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let (deadline, url) = (
            Instant::now() + PATIENCE,
            format!("http://{}/readyz", self.public),
        );
        while !self
            .client
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            if Instant::now() > deadline {
                bail!("not ready within {PATIENCE:?}; see {}", self.log.display());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How many hand-overs the log tells of.
    fn successors(&self) -> anyhow::Result<usize> {
        let log = std::fs::read_to_string(&self.log)?;
        Ok(log.matches("a successor has the listening sockets").count())
    }
}

/// A process that does not outlive this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn spawn(config: &Path, log: &Path) -> anyhow::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    Command::new(std::env::current_exe()?)
        .args(["serve", "--config"])
        .arg(config)
        .env_clear()
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start a receiver")
}

async fn stop(child: &mut Child) -> anyhow::Result<()> {
    kill_process(pid(child), Signal::TERM)?;
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            bail!("a receiver did not end within {PATIENCE:?} of SIGTERM");
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// An address that was free a moment ago.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
