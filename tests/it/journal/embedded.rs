//! What only the embedded store has to show: its file is used again, its clock may jump between two starts, and it
//! sheds what it cannot take in time.

use std::path::Path;
use std::time::Duration;

use suki_receiver::domain::{Clock, EventId};
use suki_receiver::journal::{
    Access, Appended, Due, Expiry, Journal, Retrieval, SqliteStore, Store,
};
use suki_receiver::metrics::Metrics;
use tokio::task::JoinSet;

use super::contract::{append, sqlite};
use crate::support::{PATIENCE, Receiver, Signed, eventually, failure, http};

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
            refresh_at: None,
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
        tried_for: std::time::Duration::ZERO,
        sinks: Vec::new(),
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
async fn a_check_writes_so_that_a_full_disk_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = sqlite(dir.path(), Clock::start());
    store.check().await.unwrap();
    let log = dir.path().join("data/receiver.db-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    store.check().await.unwrap();
    assert!(std::fs::metadata(&log).unwrap().len() > before);
}

#[tokio::test]
async fn a_long_read_of_a_large_log_holds_up_no_append() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let store = std::sync::Arc::new(sqlite(dir.path(), clock));
    let (journal, _wakeups) = Journal::new(store, Duration::from_secs(2));
    append(&journal, failure("first")).await;
    let reader = rusqlite::Connection::open(dir.path().join("data/receiver.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM events").unwrap();
    let log = dir.path().join("data/receiver.db-wal");
    // Beyond this size it would start anew, which it cannot while someone reads.
    let bulk = rusqlite::Connection::open(dir.path().join("data/receiver.db")).unwrap();
    bulk.execute_batch("CREATE TABLE bulk (x)").unwrap();
    while std::fs::metadata(&log).unwrap().len() <= 128 << 20 {
        bulk.execute("INSERT INTO bulk VALUES (zeroblob(8 << 20))", [])
            .unwrap();
    }
    // Through several looks of the checkpointer.
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        append(&journal, failure(&EventId::generate().to_string())).await;
    }
    drop(reader);
    eventually("the log starts anew", || async {
        append(&journal, failure(&EventId::generate().to_string())).await;
        let log = rusqlite::Connection::open(dir.path().join("data/receiver.db")).unwrap();
        log.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            row.get::<_, i64>(1)
        })
        .unwrap()
            < 10_000
    })
    .await;
}

#[tokio::test]
async fn a_successor_whose_take_over_fails_at_first_takes_over_when_it_can() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let before = sqlite(dir.path(), clock);
    let path = dir.path().join("data/receiver.db");
    let access = Access::Successor {
        longest_wait: Duration::from_secs(300),
    };
    let after = SqliteStore::open(&path, access, 10, clock, Metrics::new()).unwrap();
    before.close().await;
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("ALTER TABLE deliveries RENAME TO elsewhere")
        .unwrap();
    after.own().await.unwrap_err();
    file.execute_batch("ALTER TABLE elsewhere RENAME TO deliveries")
        .unwrap();
    tokio::time::timeout(PATIENCE, after.own())
        .await
        .expect("it is not shut out by itself")
        .unwrap();
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
    let metrics = receiver.metrics().await;
    assert!(
        !metrics.contains(r#"unavailable_total{reason="queue"} 0"#),
        "{metrics}"
    );
    eventually("it is ready", || async {
        receiver.get("/readyz").await.0 == 200
    })
    .await;
}
