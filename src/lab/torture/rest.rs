//! Waits until the receivers have nothing left to do, and looks at what they hold then.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;

use super::balance::Balance;
use super::stage::Stage;

/// How long the receivers have to come to rest after the last fault.
const PATIENCE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_millis(200);
/// For how long there must be nothing to do. A receiver that has just started does not count what is in its spool before
/// it has tried to move it, which ends after 2 s in any case.
const QUIET: Duration = Duration::from_secs(3);

/// Waits for rest, or until the patience ends: then it is for the proof to say what is wrong with that.
pub(super) async fn come_to_rest(stage: &Stage) -> anyhow::Result<Balance> {
    let deadline = Instant::now() + PATIENCE;
    let mut since = Instant::now();
    loop {
        // A receiver that does not answer yet is not at rest.
        let seen = look(stage).await;
        if !seen.as_ref().is_ok_and(Balance::is_at_rest) {
            since = Instant::now();
        }
        if since.elapsed() >= QUIET || Instant::now() > deadline {
            return seen.context("the receivers do not say how they are");
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(stage: &Stage) -> anyhow::Result<Balance> {
    let (mut balance, mut spooled) = (Balance::default(), 0);
    for instance in &stage.instances {
        let instance = instance.lock().await;
        spooled += instance.spooled().await?;
        // Instances of a shared store say the same.
        balance = Balance::of_stats(&instance.stats().await?);
    }
    Ok(Balance { spooled, ..balance })
}

/// Has `store check` look at every store and spool, beside the running receivers.
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
        // Counted in the file itself: what was still spooled would be neither in the store nor in the receivers' metrics.
        if found["spooled"] != 0 {
            findings.push(format!("{} are in a spool", found["spooled"]));
        }
    }
    Ok(findings)
}
