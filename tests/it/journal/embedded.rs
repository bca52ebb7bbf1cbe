//! What only the embedded store has to show: its file is used again, its clock may jump between two starts, and it
//! sheds what it cannot take in time.

use std::path::Path;
use std::time::Duration;

use suki_receiver::domain::Clock;
use suki_receiver::journal::{Appended, Due, Expiry, Journal, Retrieval, Store};
use tokio::task::JoinSet;

use super::contract::{append, sqlite};
use crate::support::{Receiver, Signed, eventually, failure, http};

const HOUR: Duration = Duration::from_secs(3600);

fn due(clock: Clock) -> Due {
    let now = clock.steady_in(Duration::from_millis(5));
    Due {
        now,
        until: now + 60_000,
        limit: 1000,
    }
}

/// A failure with a body of some size.
fn large(session: &str) -> Vec<u8> {
    format!(
        r#"{{"session_id":"{session}","status":"failure","x":"{}"}}"#,
        "x".repeat(8000)
    )
    .into_bytes()
}

/// Appends `count` events, ends and purges them.
async fn fill_and_purge(journal: &Journal, clock: Clock, name: &str, count: usize) {
    for n in 0..count {
        append(journal, large(&format!("{name}{n}"))).await;
    }
    for claimed in journal.claim_events(due(clock), 0).await.unwrap() {
        let end = Retrieval::Deliver {
            outcome: claimed.outcome,
            kind: claimed.kind,
            session_status: None,
            sinks: Vec::new(),
            at: clock.steady(),
        };
        journal
            .finish_retrieval(claimed.lease, Vec::new(), end)
            .await
            .unwrap();
    }
    let soon = clock.steady_in(Duration::from_secs(1));
    let expiry = Expiry {
        content: soon,
        dead: None,
        quarantined: None,
        receipts: soon,
    };
    let purged = journal.retain(expiry, count).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (count, count));
}

#[tokio::test]
async fn the_room_of_what_was_purged_is_used_again() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let mut sizes = Vec::new();
    for round in 0..4 {
        let store = std::sync::Arc::new(sqlite(dir.path(), clock));
        let (journal, _wakeups) = Journal::new(store, Duration::from_secs(5));
        fill_and_purge(&journal, clock, &format!("{round}-"), 200).await;
        // A close copies the log back, so that the file has its size.
        journal.close().await;
        sizes.push(size(dir.path()));
    }
    assert!(sizes[0] > 200 * 8000, "{sizes:?}");
    assert!(
        sizes[3] <= sizes[0] + sizes[0] / 10,
        "it grows with every round: {sizes:?}"
    );
}

fn size(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("data/receiver.db"))
        .unwrap()
        .len()
}

#[tokio::test]
async fn a_clock_that_was_an_hour_ahead_at_the_last_start_stalls_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = Clock::ahead_by(HOUR);
    let store = std::sync::Arc::new(sqlite(dir.path(), ahead));
    let (journal, _wakeups) = Journal::new(store, Duration::from_secs(5));
    for name in ["waiting", "leased"] {
        append(&journal, failure(name)).await;
    }
    // Both were received by the wall, which stands an hour earlier.
    let claimed = journal.claim_events(due(ahead), 0).await.unwrap();
    let waiting = claimed
        .iter()
        .find(|event| event.session_id == "waiting")
        .unwrap();
    let retry = Retrieval::Retry {
        outcome: waiting.outcome,
        kind: waiting.kind,
        session_status: None,
        at: ahead.steady_in(Duration::from_secs(300)),
        reason: "later".to_owned(),
    };
    journal
        .finish_retrieval(waiting.lease, Vec::new(), retry)
        .await
        .unwrap();
    journal.close().await;

    let now = Clock::start();
    let store = sqlite(dir.path(), now);
    let claimed = store.claim_events(due(now), 0).await.unwrap();
    assert_eq!(claimed.len(), 2, "neither waits for the hour to pass");
    assert_eq!(
        store.claim_events(due(now), 0).await.unwrap().len(),
        0,
        "and neither comes twice"
    );
}

#[tokio::test]
async fn a_clock_that_is_an_hour_ahead_after_a_restart_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::start();
    let store = std::sync::Arc::new(sqlite(dir.path(), clock));
    let (journal, _wakeups) = Journal::new(store, Duration::from_secs(5));
    let Appended::New(id) = append(&journal, failure("s")).await else {
        panic!("it is new");
    };
    journal.close().await;
    let ahead = Clock::ahead_by(HOUR);
    let store = std::sync::Arc::new(sqlite(dir.path(), ahead));
    let (journal, _wakeups) = Journal::new(store, Duration::from_secs(5));
    assert_eq!(
        append(&journal, failure("s")).await,
        Appended::Duplicate(id)
    );
    assert_eq!(journal.claim_events(due(ahead), 0).await.unwrap().len(), 1);
    assert_eq!(journal.claim_events(due(ahead), 0).await.unwrap().len(), 0);
}

#[tokio::test]
async fn more_than_the_queue_holds_is_503_at_once_and_the_rest_is_taken_when_the_store_is_back() {
    let receiver = Receiver::start_with(|config| {
        config.store.queue = 4;
        config.store.deadline = Duration::from_secs(10);
    })
    .await;
    assert_eq!(
        Signed::new(failure("first"))
            .post(&receiver.webhook())
            .await
            .0,
        200
    );
    let file = rusqlite::Connection::open(receiver.dir.join("data/receiver.db")).unwrap();
    file.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut answers = JoinSet::new();
    for n in 0..40 {
        let url = receiver.webhook();
        answers.spawn(async move {
            let signed = Signed::new(failure(&format!("s{n}")));
            signed.try_post(&http(), &url).await.unwrap().0
        });
    }
    // The batch that waits for the file and the queue behind it hold a few; all others are answered while it is shut.
    let mut shed = 0;
    while shed < 20 {
        assert_eq!(answers.join_next().await.unwrap().unwrap(), 503);
        shed += 1;
    }
    file.execute_batch("ROLLBACK").unwrap();
    let rest = answers.join_all().await;
    assert!(
        rest.contains(&200),
        "what was in the queue is taken: {rest:?}"
    );
    eventually("it is ready", || async {
        receiver.get("/readyz").await.0 == 200
    })
    .await;
}
