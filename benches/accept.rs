//! Accepting: how fast notifications are answered, beside a handler that only reads them.
//!
//! Nothing is followed or delivered meanwhile, since the receiver has no credentials.

use anyhow::Context;
use suki_receiver::lab::simulator::Report;
use url::Url;

use super::helpers::{self, Kind};
use super::messages::Messages;
use super::peers::{self, Peer};
use super::postgres::Database;
use super::table::{Row, Series};
use super::{Bench, fill};

/// As many as are made; who keeps them must not get one twice.
const MESSAGES: u64 = 100_000;
const STEADY_RATE: f64 = 5_000.0;

/// Who answers.
#[derive(Clone, Copy)]
enum Target {
    Bare,
    Embedded,
    Postgres,
    Peer(Peer),
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare axum",
            Self::Embedded => "embedded",
            Self::Postgres => "PostgreSQL",
            Self::Peer(peer) => peer.name(),
        }
    }
}

/// What one target was measured at, by rounds.
#[derive(Default)]
struct Measured {
    throughput: Series,
    quantiles: [Series; 3],
}

const QUANTILES: [(&str, f64); 3] = [("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999)];

impl Measured {
    fn push(&mut self, report: &Report) {
        self.throughput.push(report.throughput());
        for (series, (_, quantile)) in self.quantiles.iter_mut().zip(QUANTILES) {
            series.push(report.latency(quantile).as_secs_f64() * 1000.0);
        }
    }

    fn row(&self, what: String) -> Row {
        let row = Row::new(what, "answers/s", &self.throughput);
        QUANTILES
            .iter()
            .zip(&self.quantiles)
            .fold(row, |row, ((name, _), series)| row.more(*name, series))
    }
}

/// Answers a second over one connection and over many.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let messages = Messages::new(MESSAGES, 1);
    let mut targets = vec![Target::Bare, Target::Embedded, Target::Postgres];
    if bench.peers.is_some() {
        targets.extend(Peer::ALL.map(Target::Peer));
    }
    for connections in [1, 64] {
        let mut all: Vec<_> = targets.iter().map(|_| Measured::default()).collect();
        for _ in 0..bench.rounds {
            for (target, measured) in targets.iter().zip(&mut all) {
                measured.push(&turn(bench, *target, &messages, connections).await?);
            }
        }
        for (target, measured) in targets.iter().zip(&all) {
            let plural = if connections == 1 { "" } else { "s" };
            let what = format!(
                "accept, {}, {connections} connection{plural}",
                target.name()
            );
            let row = measured.row(what);
            bench.table.push(match target {
                Target::Bare => row,
                _ => row.ratio("bare axum", &measured.throughput.over(&all[0].throughput)),
            });
        }
    }
    Ok(())
}

/// Latency at a rate that is kept whatever is answered.
pub(crate) async fn steady(bench: &mut Bench) -> anyhow::Result<()> {
    let count = (STEADY_RATE * bench.seconds(10.0)) as u64;
    let messages = Messages::new(count, 2);
    let mut measured = Measured::default();
    for _ in 0..bench.rounds {
        let dir = bench.folder()?;
        let receiver = bench.settings(dir.path()).start().await?;
        let report = messages
            .send(&receiver.webhook, count, 64, STEADY_RATE)
            .await?;
        measured.push(&report);
    }
    let what = format!("steady, embedded, 64 connections, {STEADY_RATE} a second");
    bench
        .table
        .push(measured.row(what).note("latency from when each was due"));
    Ok(())
}

/// Accepting into a store with millions of receipts, beside one that is empty.
pub(crate) async fn rows(bench: &mut Bench) -> anyhow::Result<()> {
    let count = if bench.quick { 200_000 } else { 5_000_000 };
    let dir = bench.folder()?;
    let settings = bench.settings(dir.path());
    fill::receipts(bench, &settings, count).await?;
    let [mut empty, mut full] = [Measured::default(), Measured::default()];
    for round in 0..bench.rounds {
        // It keeps what came in earlier rounds.
        let messages = Messages::new(MESSAGES / 2, 100 + round as u64);
        empty.push(&turn(bench, Target::Embedded, &messages, 64).await?);
        let receiver = settings.start().await?;
        full.push(&measure(bench, &receiver.webhook, &messages, 64, false).await?);
        receiver.process.stop(super::receiver::PATIENCE).await?;
    }
    bench
        .table
        .push(empty.row("accept, embedded, no rows, 64 connections".to_owned()));
    let what = format!("accept, embedded, {count} rows, 64 connections");
    let ratios = full.throughput.over(&empty.throughput);
    bench.table.push(full.row(what).ratio("no rows", &ratios));
    Ok(())
}

/// One target, started anew.
async fn turn(
    bench: &Bench,
    target: Target,
    messages: &Messages,
    connections: usize,
) -> anyhow::Result<Report> {
    let dir = bench.folder()?;
    match target {
        Target::Bare => {
            let bare = helpers::start(dir.path(), Kind::Bare).await?;
            measure(bench, &bare.url, messages, connections, true).await
        }
        Target::Peer(peer) => {
            let folder = bench.peers.as_deref().context("no folder of peers")?;
            let (_process, url) = peers::start(dir.path(), folder, peer).await?;
            measure(bench, &url, messages, connections, true).await
        }
        Target::Embedded => {
            let receiver = bench.settings(dir.path()).start().await?;
            measure(bench, &receiver.webhook, messages, connections, false).await
        }
        Target::Postgres => {
            let database = Database::create(&bench.postgres).await?;
            let settings = bench
                .settings(dir.path())
                .set("STORE__URL", database.url()?);
            let receiver = settings.start().await?;
            measure(bench, &receiver.webhook, messages, connections, false).await
        }
    }
}

/// Warms up, then sends for about the time of a turn. Who keeps nothing may get a message twice.
async fn measure(
    bench: &Bench,
    url: &Url,
    messages: &Messages,
    connections: usize,
    keeps_nothing: bool,
) -> anyhow::Result<Report> {
    let warm_up = 200 + 30 * connections as u64;
    let report = messages.send(url, warm_up, connections, 0.0).await?;
    let mut count = (report.throughput() * bench.seconds(4.0)) as u64;
    if !keeps_nothing {
        count = count.min(messages.count() - warm_up);
    }
    messages
        .after(warm_up)
        .send(url, count.max(100), connections, 0.0)
        .await
}
