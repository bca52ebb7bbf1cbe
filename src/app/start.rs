//! What two processes cannot have at once, the addresses and the store, got with patience: a process that is about to end
//! soon lets go of them, and one that has only just started soon hands its sockets over.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::sockets::{self, Inherited};
use super::stores;
use crate::config::Config;
use crate::domain::Clock;
use crate::journal::{Error, Inbox, Journal};
use crate::metrics::Metrics;
use crate::net::{BindError, Predecessor, Sockets};

/// How long the public address may be in use by a process that hands nothing over. It is let go of early in a drain.
const PUBLIC: Duration = Duration::from_secs(2);
/// A wait before the next look.
const LOOK: Duration = Duration::from_millis(200);

/// What a start needs before all else.
pub(super) struct Start {
    /// Bound, and not listening unless another process does.
    pub(super) sockets: Sockets,
    /// The process that gave them and still runs.
    pub(super) predecessor: Option<Predecessor>,
    /// The open store.
    pub(super) journal: Journal,
    /// The worker's end of it.
    pub(super) inbox: Inbox,
}

impl Start {
    /// Waits for what another process has for as long as that may need to end.
    pub(super) async fn wait(
        config: &Config,
        inherited: &Inherited,
        around: &stores::Around<'_>,
        clock: Clock,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let mut said = String::new();
        loop {
            let error = match Self::attempt(config, inherited, around, clock, metrics).await {
                Ok(start) => return Ok(start),
                Err(error) => error,
            };
            let patience = patience(&error, config);
            if started.elapsed() >= patience {
                return Err(error);
            }
            let reason = super::chain(&error);
            if reason != said {
                let seconds = patience.as_secs();
                tracing::info!(reason, seconds, "waiting for another process to end");
                said = reason;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ports are bound first, so that a clash fails before anything is touched.
    async fn attempt(
        config: &Config,
        inherited: &Inherited,
        around: &stores::Around<'_>,
        clock: Clock,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let (sockets, predecessor) = sockets::obtain(config, inherited).await?;
        let (journal, inbox) = stores::owned(config, predecessor.is_some(), around, clock, metrics)
            .context("[store]")?;
        Ok(Self {
            sockets,
            predecessor,
            journal,
            inbox,
        })
    }
}

/// How long what is in the way may be there.
fn patience(error: &anyhow::Error, config: &Config) -> Duration {
    for cause in error.chain() {
        if let Some(Error::InUse { .. }) = cause.downcast_ref() {
            return config.server.drain_timeout;
        }
        if let Some(BindError { address, source }) = cause.downcast_ref()
            && source.kind() == std::io::ErrorKind::AddrInUse
        {
            // Operators look in until the end of a drain.
            let is_admin = *address == config.admin.listen;
            return if is_admin {
                config.server.drain_timeout
            } else {
                PUBLIC
            };
        }
    }
    Duration::ZERO
}
