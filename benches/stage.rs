//! What several benchmarks play on: a store of either kind, a simulated API, a sink, and the wait for what is delivered.
//!
//! Measures nothing by itself.

use std::time::{Duration, Instant};

use suki_receiver::lab::simulator::own_address;
use tempfile::TempDir;

use super::Bench;
use super::helpers::{self, Helper, Kind};
use super::postgres::Database;
use super::receiver::{Receiver, Settings};

/// Where notifications are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Embedded,
    Postgres,
}

impl Store {
    pub(crate) const BOTH: [Self; 2] = [Self::Embedded, Self::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// An empty store, and settings of a receiver on it. Both go when this is dropped; the receiver should go before.
pub(crate) struct Empty {
    pub(crate) settings: Settings,
    pub(crate) database: Option<Database>,
    _dir: TempDir,
}

impl Empty {
    pub(crate) async fn new(bench: &Bench, store: Store) -> anyhow::Result<Self> {
        let dir = bench.folder()?;
        let mut settings = bench.settings(dir.path());
        let mut database = None;
        if store == Store::Postgres {
            let made = Database::create(&bench.postgres).await?;
            settings = settings.set("STORE__URL", made.url()?);
            database = Some(made);
        }
        Ok(Self {
            settings,
            database,
            _dir: dir,
        })
    }
}

/// The others: a simulated API without delay, and a sink.
pub(crate) struct Others {
    pub(crate) api: Helper,
    pub(crate) sink: Helper,
    _dir: TempDir,
}

impl Others {
    pub(crate) async fn start(bench: &Bench) -> anyhow::Result<Self> {
        let dir = bench.folder()?;
        Ok(Self {
            api: helpers::simulator(dir.path(), own_address()?, &[]).await?,
            sink: helpers::start(dir.path(), Kind::Sink).await?,
            _dir: dir,
        })
    }
}

/// Waits until the sink has `count` sessions; when the last came, or how many have come at the end of `limit`.
pub(crate) async fn arrived(
    sink: &Helper,
    count: u64,
    limit: Duration,
) -> anyhow::Result<Result<Duration, u64>> {
    let deadline = Instant::now() + limit;
    loop {
        let (came, last) = sink.count().await?;
        if came >= count {
            return Ok(Ok(last));
        }
        if Instant::now() > deadline {
            return Ok(Err(came));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a receiver has made `count` deliveries of its own account.
pub(crate) async fn delivered(
    receiver: &Receiver,
    count: u64,
    limit: Duration,
) -> anyhow::Result<Duration> {
    let deadline = Instant::now() + limit;
    loop {
        let made = receiver.delivered().await?;
        if made >= count {
            return Ok(helpers::wall());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "only {made} of {count} were delivered within {limit:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
