//! This instance among the others: it says every few seconds that it lives, and takes over what the dead hold.
//!
//! Who cannot say so stops working before others may take what it holds: the time after which it does is shorter than
//! theirs, and runs from before its last word was sent.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Client;
use uuid::Uuid;

use super::work;
use crate::journal::Error;

/// How often it says so.
pub(super) const RENEW: Duration = Duration::from_secs(2);
/// When others take it for dead, by the server's clock.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// When it stops by itself.
const STOP_AFTER: Duration = Duration::from_secs(7);

const SAY: &str = "INSERT INTO instances (id, seen_at) VALUES ($1, server_millis())
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";

/// Whether this instance is known to live. Cheap to clone.
#[derive(Clone)]
pub(super) struct Alive(watch::Sender<Option<Said>>);

/// When it last said so, and how often it had been too late to by then: what it held before that may be another's.
#[derive(Debug, Clone, Copy)]
struct Said {
    at: Instant,
    life: u64,
}

impl Alive {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Whether nobody has reason to take it for dead.
    pub(super) fn is_so(&self) -> bool {
        self.0
            .borrow()
            .is_some_and(|said| said.at.elapsed() < STOP_AFTER)
    }

    /// Waits until it is no more, or was not for a time.
    pub(super) async fn lost(&self) {
        let mut told = self.0.subscribe();
        let first = *told.borrow_and_update();
        loop {
            let (Some(first), Some(last)) = (first, *told.borrow_and_update()) else {
                return;
            };
            if last.life != first.life {
                return;
            }
            tokio::select! {
                changed = told.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until((last.at + STOP_AFTER).into()) => return,
            }
        }
    }

    /// Says that it lives, and takes over what the dead hold. Whether there is something for everyone to claim.
    pub(super) async fn say(&self, client: &Client, owner: Uuid) -> Result<bool, Error> {
        let at = Instant::now();
        client.execute(SAY, &[&owner]).await?;
        self.0.send_modify(|said| {
            let life = said.map_or(0, |said| {
                said.life + u64::from(said.at.elapsed() >= STOP_AFTER)
            });
            *said = Some(Said { at, life });
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

/// Says that an instance has ended. It holds nothing any more.
pub(super) async fn leave(client: &deadpool_postgres::Client, owner: Uuid) -> Result<(), Error> {
    client
        .execute("DELETE FROM instances WHERE id = $1", &[&owner])
        .await?;
    Ok(())
}
