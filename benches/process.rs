//! A process of the run's own: ends with the run however that ends, and tells what it has cost.
//!
//! Knows nothing of what the process is.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The kernel's unit of CPU time.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// Megabytes in memory, now and at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) peak: f64,
}

impl Process {
    /// Starts a command line in `dir` with this environment and no other; what it prints goes to `dir/NAME.log`.
    pub(crate) fn start<'a>(
        dir: &Path,
        name: &str,
        line: &[String],
        environment: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log)?;
        // The kernel ends it if this process is killed. The thread that starts it must be the main one, which lives
        // until the end.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(line)
            .current_dir(dir)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {line:?}"))?;
        Ok(Self { child, log })
    }

    /// Waits until `url` answers with a success.
    pub(crate) async fn ready(&mut self, url: &str, patience: Duration) -> anyhow::Result<()> {
        let client = http();
        let deadline = Instant::now() + patience;
        loop {
            let answer = client.get(url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{url}: the process ended with {status}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("{url} is not ready after {patience:?}:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The CPU time that it has used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.child.id())
    }

    /// What it has in memory.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            Ok(kib.context("no such field in /proc")?.parse::<f64>()? / 1024.0)
        };
        Ok(Memory {
            now: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }

    /// Asks it to end and waits until it has.
    pub(crate) async fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        kill(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGTERM,
        )?;
        let deadline = Instant::now() + patience;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("a process does not end:\n{}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The end of what it has printed.
    fn log(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The one client of all that is asked by the way. Making one reads the system's certificates, which a poll must not pay.
pub(crate) fn http() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let builder = reqwest::Client::builder().no_proxy();
        let client = builder.redirect(reqwest::redirect::Policy::none()).build();
        client.expect("the system's certificates can be read")
    });
    &CLIENT
}

/// The CPU time of a process, without its children's.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let [_, own, _] = stat(pid)?;
    Ok(Duration::from_secs_f64(own / TICKS_PER_SECOND))
}

/// The CPU time of a process, of its children and of those that have ended.
pub(crate) fn cpu_of_family(parent: u32) -> anyhow::Result<Duration> {
    let [_, own, ended] = stat(parent)?;
    let mut ticks = own + ended;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended meanwhile is counted by its parent.
        if let Ok([of, own, _]) = stat(pid)
            && of == f64::from(parent)
        {
            ticks += own;
        }
    }
    Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}

/// The process that has started this one.
pub(crate) fn parent_of(pid: u32) -> anyhow::Result<u32> {
    let [parent, _, _] = stat(pid)?;
    Ok(parent as u32)
}

/// Parent, own ticks, and the ticks of children that have ended.
fn stat(pid: u32) -> anyhow::Result<[f64; 3]> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name before it, in parentheses, may have anything in it.
    let (_, fields) = text.rsplit_once(") ").context("no such line in /proc")?;
    let fields: Vec<f64> = fields
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    anyhow::ensure!(fields.len() > 14, "no such line in /proc");
    Ok([fields[0], fields[10] + fields[11], fields[12] + fields[13]])
}
