//! A new process takes over from the previous one: it gets the listening sockets at once, and the work on events when
//! the previous process has ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lifecycle::{Component, Readiness, TaskGroup};
use crate::net::{LentSockets, Offer, Predecessor, Sockets, Withdraw};
use crate::worker;

/// The wait after a failed attempt to take over the store.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// The listening sockets that one process passes to the next.
pub(super) struct Handover {
    /// The Unix socket at which the next process asks for them.
    pub(super) path: PathBuf,
    /// The sockets that the next process gets.
    pub(super) sockets: Sockets,
    /// The previous process, if it still runs.
    pub(super) predecessor: Option<Predecessor>,
}

impl Handover {
    /// Tells the previous process that this one accepts notifications. Offers the sockets to the next process as soon
    /// as the previous one has ended; without a previous process the offer is in place when this returns.
    pub(super) async fn spawn(self, readiness: &Readiness, group: &TaskGroup) -> Withdraw {
        let Self {
            path,
            sockets,
            predecessor,
        } = self;
        let (lent, withdraw) = LentSockets::new(sockets);
        let (readiness, tasks) = (readiness.clone(), group.clone());
        let Some(mut before) = predecessor else {
            if let Some(offer) = offer(&path) {
                group.spawn("hand-over", offer.serve(lent, readiness, tasks));
            }
            return withdraw;
        };
        before.ready().await;
        group.spawn("hand-over", async move {
            tokio::select! {
                () = before.ended() => tracing::info!("the previous process has ended"),
                () = lent.withdrawn() => return,
            }
            if let Some(offer) = offer(&path) {
                offer.serve(lent, readiness, tasks).await;
            }
        });
        withdraw
    }
}

/// Starts the worker once no other process works on the store's events.
pub(super) fn spawn_worker(parts: worker::Parts, follows_another: bool, group: &TaskGroup) {
    let tasks = group.clone();
    group.spawn("worker start", async move {
        let (journal, readiness) = (parts.journal.clone(), parts.readiness.clone());
        if follows_another {
            readiness.set_unhealthy(
                Component::Worker,
                "the previous process still works on the stored events; this one takes over when that process ends",
            );
        }
        let own = async {
            while let Err(error) = journal.own().await {
                tracing::error!(error = %error, "cannot take over the store; trying again");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        };
        tokio::select! {
            () = own => {}
            () = tasks.stopping() => return,
        }
        readiness.set_healthy(Component::Worker);
        worker::spawn(parts, &tasks);
    });
}

fn offer(path: &Path) -> Option<Offer> {
    match Offer::at(path) {
        Ok(offer) => Some(offer),
        Err(error) => {
            tracing::warn!(
                path = %path.display(),
                error = %error,
                "cannot listen on server.handover_socket; no other process can take over without refusing connections"
            );
            None
        }
    }
}
