//! One process follows another: the sockets go over at once, the work when the first has ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lifecycle::{Component, Readiness, TaskGroup};
use crate::net::{LentSockets, Offer, Predecessor, Sockets, Withdraw};
use crate::worker;

/// A wait after a take-over that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// The sockets that go from one process to the next.
pub(super) struct Handover {
    /// Where the next one asks.
    pub(super) path: PathBuf,
    /// What it gets.
    pub(super) sockets: Sockets,
    /// The process before, where one runs.
    pub(super) predecessor: Option<Predecessor>,
}

impl Handover {
    /// Tells the process before that this one takes notifications; offers the sockets to the next one, as soon as the
    /// one before has ended. Without one the offer stands when this returns.
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
                "the previous process still works on what is kept; this one takes over when it ends",
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
            tracing::warn!(path = %path.display(), error = %error, "no other process can follow this one without a gap (server.handover_socket)");
            None
        }
    }
}
