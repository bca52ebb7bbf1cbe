//! One receiver as a process of its own, that can be killed, restarted, followed and starved of disk.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

use crate::lab::simulator::own_address;

/// How long a start or a stop may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// What a receiver logs when another one has its sockets.
const SUCCESSOR: &str = "a successor has the listening sockets";
const LOOK: Duration = Duration::from_millis(20);
/// The size that no file may grow beyond while the disk is full.
const FULL: u64 = 16 * 1024;
/// What a receiver logs that ends with work under way since its time to finish it was over.
const RAN_OUT: &str = "stopped at server.drain_timeout";
/// The operator's token of every instance.
pub(super) const TOKEN: &str = "torture-of-the-receiver";

/// A receiver.
pub(super) struct Instance {
    child: Running,
    /// Its public address.
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    client: reqwest::Client,
    /// How processes ended that should not have ended, or not so.
    ends: Vec<String>,
}

impl Instance {
    /// Starts one in `dir`, whose `receiver.toml` is made of `settings`, and waits until it is ready.
    pub(super) async fn start(dir: &Path, settings: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (public, admin) = (own_address()?, own_address()?);
        let config = dir.join("receiver.toml");
        let text = settings
            .replace("PUBLIC", &public.to_string())
            .replace("ADMIN", &admin.to_string());
        std::fs::write(&config, text)?;
        let log = dir.join("log");
        let mut instance = Self {
            child: Running(spawn(&config, &log)?),
            public,
            admin,
            config,
            log,
            client: reqwest::Client::builder().no_proxy().build()?,
            ends: Vec::new(),
        };
        instance.ready().await?;
        Ok(instance)
    }

    /// Ends it at once and starts it anew.
    pub(super) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.ends.extend(ended_by_itself(&mut self.child.0)?);
        self.child.0.kill()?;
        self.child.0.wait()?;
        self.child = Running(spawn(&self.config, &self.log)?);
        self.ready().await
    }

    /// Ends it as a service manager does, and starts it anew.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.ends.extend(stop(&mut self.child.0, &self.log).await?);
        self.child = Running(spawn(&self.config, &self.log)?);
        self.ready().await
    }

    /// Starts another one beside it, which gets its sockets, then ends the first.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        let lines = told(&self.log, SUCCESSOR)?;
        let next = spawn(&self.config, &self.log)?;
        let mut before = Running(std::mem::replace(&mut self.child.0, next));
        let deadline = Instant::now() + PATIENCE;
        while told(&self.log, SUCCESSOR)? == lines {
            if Instant::now() > deadline {
                bail!(
                    "no hand-over within {PATIENCE:?}; see {}",
                    self.log.display()
                );
            }
            tokio::time::sleep(LOOK).await;
        }
        self.ends.extend(stop(&mut before.0, &self.log).await?);
        Ok(())
    }

    /// Ends it for good, and tells what was wrong with how its processes ran and ended.
    pub(super) async fn finish(&mut self) -> anyhow::Result<Vec<String>> {
        self.ends.extend(stop(&mut self.child.0, &self.log).await?);
        let log = std::fs::read_to_string(&self.log)?;
        let panics = log.lines().filter(|line| line.contains("panicked"));
        self.ends.extend(panics.map(str::to_owned));
        Ok(std::mem::take(&mut self.ends))
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

    async fn ready(&mut self) -> anyhow::Result<()> {
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
            if let Some(end) = ended_by_itself(&mut self.child.0)? {
                bail!("{end}; see {}", self.log.display());
            }
            if Instant::now() > deadline {
                bail!("not ready within {PATIENCE:?}; see {}", self.log.display());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
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

/// Asks a process to end, and waits for it. Gives back what is wrong with how it ended.
async fn stop(child: &mut Child, log: &Path) -> anyhow::Result<Option<String>> {
    if let Some(end) = ended_by_itself(child)? {
        return Ok(Some(end));
    }
    let before = told(log, RAN_OUT)?;
    kill_process(pid(child), Signal::TERM)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(unexpected(status, told(log, RAN_OUT)? > before));
        }
        if Instant::now() > deadline {
            child.kill()?;
            bail!("a receiver did not end within {PATIENCE:?} of SIGTERM");
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What is wrong with how a process ended that was asked to: 0 when all was finished, 1 when its time ran out.
fn unexpected(status: ExitStatus, ran_out: bool) -> Option<String> {
    let is_expected = match status.code() {
        Some(0) => true,
        Some(1) => ran_out,
        _ => false,
    };
    (!is_expected).then(|| format!("a receiver ended upon SIGTERM with {status}"))
}

/// How a process ended that nobody asked to.
fn ended_by_itself(child: &mut Child) -> anyhow::Result<Option<String>> {
    let status = child.try_wait()?;
    Ok(status.map(|status| format!("a receiver ended by itself with {status}")))
}

/// How often a log tells of something.
fn told(log: &Path, what: &str) -> anyhow::Result<usize> {
    Ok(std::fs::read_to_string(log)?.matches(what).count())
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn a_receiver_ends_with_0_or_with_1_when_its_time_ran_out_and_any_other_end_is_told() {
        // As wait(2) words them: the exit code in the second byte, the signal in the first.
        let end = |raw, ran_out| unexpected(ExitStatus::from_raw(raw), ran_out);
        assert_eq!(end(0, false), None);
        assert_eq!(end(1 << 8, true), None);
        for (raw, ran_out) in [(1 << 8, false), (2 << 8, true), (101 << 8, true), (6, true)] {
            assert!(end(raw, ran_out).is_some(), "{raw}");
        }
    }

    #[test]
    fn a_receiver_that_ends_by_itself_is_told_of_whatever_its_code() {
        let mut child = Command::new("true").spawn().expect("starts");
        child.wait().expect("ends");
        let end = ended_by_itself(&mut child).expect("looks");
        assert!(end.is_some_and(|end| end.contains("by itself")));
    }
}
