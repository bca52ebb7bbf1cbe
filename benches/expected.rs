//! Sessions that are expected and of which no notification comes: how fast they are registered, whether asking for them
//! keeps to the limit and the memory stays flat, and how soon missed notifications are an alarm.

use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::{Timestamp, ToSpan};
use suki_receiver::lab::simulator::own_address;

use super::Bench;
use super::helpers;
use super::receiver::{PATIENCE, Receiver};
use super::table::{Row, Series};

/// Sessions of one registration.
const AT_ONCE: u64 = 1_000;
/// Calls a second, above the default so that a short run has many.
const LIMIT: u32 = 50;

pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let count = if bench.quick { 10_000 } else { 100_000 };
    open(bench, count).await?;
    alarm(bench, count).await
}

/// An API that knows none of them: all of them stay open, and all of them are due.
async fn open(bench: &mut Bench, count: u64) -> anyhow::Result<()> {
    let asks = Duration::from_secs_f64(bench.seconds(40.0));
    let [mut registered, mut asked] = [Series::default(), Series::default()];
    let [mut before, mut peak] = [Series::default(), Series::default()];
    for _ in 0..bench.rounds {
        let dir = bench.folder()?;
        let api =
            helpers::simulator(dir.path(), own_address()?, &["--only-known-sessions"]).await?;
        let settings = bench
            .settings(dir.path())
            .api(&api.url)
            .set("RECONCILE__MAX_REQUESTS_PER_SECOND", LIMIT.to_string());
        let receiver = settings.start().await?;
        before.push(receiver.process.memory()?.now);
        let start = Instant::now();
        register(&receiver, count).await?;
        registered.push(count as f64 / start.elapsed().as_secs_f64());
        let (start, polls) = (Instant::now(), receiver.polls().await?);
        tokio::time::sleep(asks).await;
        let polls = receiver.polls().await? - polls;
        asked.push(polls as f64 / start.elapsed().as_secs_f64());
        peak.push(receiver.process.memory()?.peak);
        receiver.process.stop(PATIENCE).await?;
    }
    let with = format!("embedded, {count} expected sessions");
    bench.table.push(Row::new(
        format!("registered, {with}"),
        "sessions/s",
        &registered,
    ));
    bench.table.push(
        Row::new(format!("asked for, {with}"), "sessions/s", &asked)
            .note(format!("the limit is {LIMIT} calls a second")),
    );
    bench
        .table
        .push(Row::new(format!("memory, {with}"), "MiB", &peak).more("before them", &before));
    Ok(())
}

/// An API at which all of them have ended, with the default limit: how long after they are overdue the alarm comes.
async fn alarm(bench: &mut Bench, count: u64) -> anyhow::Result<()> {
    let mut took = Series::default();
    for _ in 0..bench.rounds {
        let dir = bench.folder()?;
        let api = helpers::simulator(dir.path(), own_address()?, &[]).await?;
        let settings = bench
            .settings(dir.path())
            .api(&api.url)
            .files_sink(&dir.path().join("out"));
        let receiver = settings.start().await?;
        let start = Instant::now();
        register(&receiver, count).await?;
        while receiver.alerts("push_missed").await? == 0 {
            anyhow::ensure!(start.elapsed() < bench.limit, "no alarm is raised");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        took.push(start.elapsed().as_secs_f64());
        receiver.process.stop(PATIENCE).await?;
    }
    let what = format!("overdue to alarm, embedded, {count} expected sessions");
    bench.table.push(Row::new(what, "s", &took));
    Ok(())
}

/// Registers sessions that ended an hour ago, so that all are overdue.
async fn register(receiver: &Receiver, count: u64) -> anyhow::Result<()> {
    let ended = Timestamp::now()
        .checked_sub(1.hour())
        .context("a time before an hour")?;
    for first in (0..count).step_by(AT_ONCE as usize) {
        let lines = (first..first + AT_ONCE)
            .map(|number| format!(r#"{{"session_id":"bench-{number}","ended_at":"{ended}"}}"#));
        let body = lines.collect::<Vec<_>>().join("\n");
        receiver.expect_sessions(body).await?;
    }
    Ok(())
}
