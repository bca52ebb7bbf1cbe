//! Instances whose system clocks differ by an hour agree on what is due: they go by the server's.

use std::sync::Arc;
use std::time::Duration;

use suki_receiver::domain::{Cause, Clock, Reason};
use suki_receiver::journal::{ClaimedEvent, PostgresStore, Retrieval, Store};

use super::journal;
use crate::journal::contract::{EVENTS, append, due, end, events, found};
use crate::support::{Database, failure};

const SOON: Duration = Duration::from_millis(5);

struct Instance {
    store: Arc<PostgresStore>,
    clock: Clock,
}

impl Instance {
    async fn start(database: &Database, clock: Clock) -> Self {
        let store = Arc::new(database.store(clock).await);
        Self { store, clock }
    }

    async fn claim(&self, ahead: Duration) -> Vec<ClaimedEvent> {
        let claimed = self.store.claim(due(self.clock, ahead, &EVENTS)).await;
        events(claimed.unwrap())
    }

    async fn retry(&self, event: &ClaimedEvent, after: Duration) {
        let retry = Retrieval::Retry {
            tried_for: Duration::ZERO,
            sinks: Vec::new(),
            found: found(Vec::new()),
            at: self.clock.monotonic_in(after),
            reason: Reason::new(Cause::Internal, "not yet"),
        };
        end(&*self.store, &event.lease, retry).await;
    }
}

#[tokio::test]
async fn neither_steals_a_lease_nor_waits_longer_when_the_clocks_differ_by_an_hour() {
    let database = Database::create().await;
    let here = Instance::start(&database, Clock::start()).await;
    let ahead = Instance::start(&database, Clock::ahead_by(Duration::from_secs(3600))).await;
    append(&journal(&here.store), failure("s")).await;

    for (one, other) in [(&here, &ahead), (&ahead, &here)] {
        let held = one.claim(SOON).await.remove(0);
        let age = one.clock.monotonic() - held.started_at;
        assert!(
            (0..60_000).contains(&age),
            "began {age} ms ago by its own clock"
        );
        assert!(other.claim(SOON).await.is_empty(), "the lease stands");
        one.retry(&held, Duration::from_secs(30)).await;
        assert!(other.claim(SOON).await.is_empty(), "not due yet");
        let due = other.claim(Duration::from_secs(31)).await.remove(0);
        other.retry(&due, Duration::ZERO).await;
    }
}
