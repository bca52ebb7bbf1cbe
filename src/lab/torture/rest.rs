//! Waits until the receivers have no work left, and then reads their counts.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::balance::Balance;
use super::stage::Stage;

/// The time within which the receivers must finish all work after the last fault.
const PATIENCE: Duration = Duration::from_secs(180);
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// How long the receivers must have no work. A receiver that has just started does not count the events in its spool
/// before its first attempt to drain it, which takes at most 2 s.
const QUIET: Duration = Duration::from_secs(3);

/// Waits until all work is finished, or until the time limit; in that case the proof reports the unfinished work.
pub(super) async fn come_to_rest(stage: &Stage) -> anyhow::Result<Balance> {
    let deadline = Instant::now() + PATIENCE;
    let mut since = Instant::now();
    loop {
        // A receiver that does not answer yet may still have work.
        let seen = balance(stage).await;
        if !seen.as_ref().is_ok_and(Balance::is_at_rest) {
            since = Instant::now();
        }
        if since.elapsed() >= QUIET || Instant::now() > deadline {
            return seen.context("the receivers do not say how they are");
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

async fn balance(stage: &Stage) -> anyhow::Result<Balance> {
    let (mut balance, mut spooled) = (Balance::default(), 0);
    for instance in &stage.instances {
        let instance = instance.lock().await;
        spooled += instance.spooled().await?;
        // All instances of a shared store give the same counts.
        balance = Balance::of_stats(&instance.stats().await?);
    }
    Ok(Balance { spooled, ..balance })
}

/// Runs `store check` on every store and spool while the receivers run.
pub(super) async fn check(stage: &Stage) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    for instance in &stage.instances {
        let config = instance.lock().await.config().to_owned();
        let exe = std::env::current_exe()?;
        let output = tokio::task::spawn_blocking(move || {
            Command::new(exe)
                .args(["store", "check", "--json", "--config"])
                .arg(config)
                .env_clear()
                .output()
        })
        .await??;
        let found: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let problems = found["problems"].as_array().cloned().unwrap_or_default();
        findings.extend(problems.iter().map(Value::to_string));
        // Counted in the file itself: events that are still in the spool might be neither in the store nor in the
        // receivers' metrics.
        if found["spooled"] != 0 {
            findings.push(format!("{} are in a spool", found["spooled"]));
        }
    }
    Ok(findings)
}
