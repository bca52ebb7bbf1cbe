//! A receiver as a separate process, which can be killed, restarted, replaced by another process, and deprived of disk
//! space.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;

use crate::lab::simulator::own_address;

/// The time limit of a start or a stop.
const PATIENCE: Duration = Duration::from_secs(40);
/// The log message of a receiver whose sockets another one has taken over.
const SUCCESSOR: &str = "a successor has the listening sockets";
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The size beyond which no file can grow while the disk is full.
const FULL: u64 = 16 * 1024;
/// The log message of a receiver that ends with unfinished work because its drain timeout has passed.
const RAN_OUT: &str = "stopped at server.drain_timeout";
/// The operator's token of every instance.
pub(super) const TOKEN: &str = "torture-of-the-receiver";

/// A receiver.
pub(super) struct Instance {
    child: Running,
    /// The public address.
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
    config: PathBuf,
    log: PathBuf,
    client: reqwest::Client,
    /// Descriptions of unexpected ends of processes.
    ends: Vec<String>,
}

impl Instance {
    /// Starts a receiver in `dir` with a `receiver.toml` made of `settings`, and waits until it is ready.
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

    /// Kills the receiver and starts it again.
    pub(super) async fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.ends.extend(ended_by_itself(&mut self.child.0)?);
        self.child.0.kill()?;
        self.child.0.wait()?;
        self.child = Running(spawn(&self.config, &self.log)?);
        self.ready().await
    }

    /// Stops the receiver as a service manager does, and starts it again.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        self.ends.extend(stop(&mut self.child.0, &self.log).await?);
        self.child = Running(spawn(&self.config, &self.log)?);
        self.ready().await
    }

    /// Starts a second process, which takes over the sockets, then stops the first.
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
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        self.ends.extend(stop(&mut before.0, &self.log).await?);
        Ok(())
    }

    /// Stops the receiver for good, and returns what was wrong with the ends of its processes.
    pub(super) async fn finish(&mut self) -> anyhow::Result<Vec<String>> {
        self.ends.extend(stop(&mut self.child.0, &self.log).await?);
        let log = std::fs::read_to_string(&self.log)?;
        let panics = log.lines().filter(|line| line.contains("panicked"));
        self.ends.extend(panics.map(str::to_owned));
        Ok(std::mem::take(&mut self.ends))
    }

    /// Prevents the receiver's files from growing, or allows it again.
    pub(super) fn fill_disk(&self, is_full: bool) -> anyhow::Result<()> {
        let limit = Rlimit {
            current: is_full.then_some(FULL),
            maximum: None,
        };
        prlimit(Some(pid(&self.child.0)), Resource::Fsize, limit)?;
        Ok(())
    }

    /// The path of the configuration.
    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// The answer of `/api/v1/stats`.
    pub(super) async fn stats(&self) -> anyhow::Result<Value> {
        let url = format!("http://{}/api/v1/stats", self.admin);
        let answer = self.client.get(url).bearer_auth(TOKEN).send().await?;
        Ok(serde_json::from_slice(
            &answer.error_for_status()?.bytes().await?,
        )?)
    }

    /// The number of events in the receiver's spool.
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
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        Ok(())
    }
}

/// A process that is killed when this is dropped.
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

/// Asks a process to end, and waits for it. Returns what was wrong with its end, if anything.
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
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// What was wrong with the end of a process that was asked to end. Expected is exit code 0 if all work was finished, or
/// 1 if its drain timeout passed.
fn unexpected(status: ExitStatus, ran_out: bool) -> Option<String> {
    let is_expected = match status.code() {
        Some(0) => true,
        Some(1) => ran_out,
        _ => false,
    };
    (!is_expected).then(|| format!("a receiver ended upon SIGTERM with {status}"))
}

/// The unrequested end of a process, if it has ended.
fn ended_by_itself(child: &mut Child) -> anyhow::Result<Option<String>> {
    let status = child.try_wait()?;
    Ok(status.map(|status| format!("a receiver ended by itself with {status}")))
}

/// How often a text occurs in a log.
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
        // The encoding of wait(2): the exit code is in the second byte, the signal in the first.
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
