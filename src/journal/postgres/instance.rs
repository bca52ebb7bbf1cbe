//! This instance among the others: it sends a heartbeat every few seconds, and takes over the leases of dead instances.
//!
//! An instance that cannot send its heartbeat stops working before others may take over its leases: its own time limit
//! is shorter than theirs, and counts from before its last heartbeat was sent.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Client;
use uuid::Uuid;

use super::work;
use crate::journal::Error;

/// The interval of the heartbeat.
pub(super) const RENEW: Duration = Duration::from_secs(2);
/// The age of the last heartbeat at which other instances take this one for dead, by the server's clock.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// The age of the last heartbeat at which this instance stops working.
const STOP_AFTER: Duration = Duration::from_secs(7);

const BEAT: &str = "INSERT INTO instances (id, seen_at) VALUES ($1, server_millis())
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";

/// Whether this instance's heartbeat is recent enough. Cheap to clone.
#[derive(Clone)]
pub(super) struct Alive(watch::Sender<Option<Heartbeat>>);

/// The last heartbeat, and how many heartbeats came too late so far. After a late one, earlier leases may belong to
/// another instance.
#[derive(Debug, Clone, Copy)]
struct Heartbeat {
    at: Instant,
    life: u64,
}

impl Alive {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Whether the heartbeat is recent enough that no other instance takes this one for dead.
    pub(super) fn is_valid(&self) -> bool {
        self.0
            .borrow()
            .is_some_and(|last| last.at.elapsed() < STOP_AFTER)
    }

    /// Waits until the heartbeat is too old, or was too old for a time.
    pub(super) async fn lost(&self) {
        let mut renewals = self.0.subscribe();
        let first = *renewals.borrow_and_update();
        loop {
            let (Some(first), Some(last)) = (first, *renewals.borrow_and_update()) else {
                return;
            };
            if last.life != first.life {
                return;
            }
            tokio::select! {
                changed = renewals.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until((last.at + STOP_AFTER).into()) => return,
            }
        }
    }

    /// Sends a heartbeat, and takes over the leases of dead instances. Returns whether there is work for everyone to
    /// claim.
    pub(super) async fn beat(&self, client: &Client, owner: Uuid) -> Result<bool, Error> {
        let at = Instant::now();
        client.execute(BEAT, &[&owner]).await?;
        self.0.send_modify(|last| {
            let life = last.map_or(0, |last| {
                last.life + u64::from(last.at.elapsed() >= STOP_AFTER)
            });
            *last = Some(Heartbeat { at, life });
        });
        let taken = work::take_over(client, owner, DEAD_AFTER).await?;
        if taken > 0 {
            tracing::warn!(
                work = taken,
                "an instance is dead: its heartbeat is too old. Its leases are taken over"
            );
        }
        Ok(taken > 0)
    }
}

/// Removes this instance's heartbeat, because it has ended and holds no leases any more.
pub(super) async fn leave(client: &deadpool_postgres::Client, owner: Uuid) -> Result<(), Error> {
    client
        .execute("DELETE FROM instances WHERE id = $1", &[&owner])
        .await?;
    Ok(())
}
