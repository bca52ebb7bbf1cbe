//! Obtains what two processes cannot hold at once, the addresses and the store, with retries: a process that is about
//! to end soon releases them, and one that has only just started soon hands its sockets over.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::sockets::{self, Inherited, Obtained};
use super::stores;
use crate::config::Config;
use crate::domain::Clock;
use crate::journal::{Inbox, Journal, OpenError};
use crate::metrics::Metrics;
use crate::net::BindError;

/// How long to wait for the public address while a process holds it that does not hand it over. A draining process
/// releases it early.
const PUBLIC: Duration = Duration::from_secs(2);
/// The wait before the next attempt.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The resources that a start needs first.
pub(super) struct Start {
    /// The bound sockets. They do not listen yet unless another process already listens on them.
    pub(super) sockets: Obtained,
    /// The open store.
    pub(super) journal: Journal,
    /// The worker's end of the journal's channel.
    pub(super) inbox: Inbox,
}

impl Start {
    /// Retries while another process holds an address or the store, for as long as that process may need to end.
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
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Tries once. Ports are bound first, so that an address in use fails before the store is touched.
    async fn attempt(
        config: &Config,
        inherited: &Inherited,
        around: &stores::Around<'_>,
        clock: Clock,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let sockets = sockets::obtain(config, inherited).await?;
        let follows = sockets.predecessor.is_some();
        let (journal, inbox) =
            stores::owned(config, follows, around, clock, metrics).context("[store]")?;
        Ok(Self {
            sockets,
            journal,
            inbox,
        })
    }
}

/// How long to retry after this error.
fn patience(error: &anyhow::Error, config: &Config) -> Duration {
    for cause in error.chain() {
        if let Some(OpenError::InUse { .. }) = cause.downcast_ref() {
            return config.server.drain_timeout;
        }
        if let Some(BindError { address, source }) = cause.downcast_ref()
            && source.kind() == std::io::ErrorKind::AddrInUse
        {
            // The admin listener stays open until the end of a drain.
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
