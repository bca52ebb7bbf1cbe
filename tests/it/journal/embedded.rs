//! What only the embedded store has to show: its file is used again, its clock may jump between two starts, and it
//! sheds what it cannot take in time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use suki_receiver::domain::{Cause, Clock, EventId, EventState, Reason};
use suki_receiver::journal::{
    Access, Appended, Ended, Expiry, Inbox, Journal, OpenError, Records, ReplayFrom, Replayed,
    Retrieval, SqliteStore, Store,
};
use suki_receiver::metrics::Metrics;
use tokio::task::JoinSet;

use super::contract::{
    append, claim_deliveries, claim_events, deliver, deliver_at_once, end, found, id, kept, only,
    sqlite,
};
use crate::support::{PATIENCE, Receiver, Signed, eventually, failure, http};

const HOUR: Duration = Duration::from_secs(3600);

/// A journal on the store in this folder, for a worker with room for one event.
fn journal(dir: &Path, clock: Clock) -> (Journal, Inbox) {
    let store = Arc::new(sqlite(dir, clock));
    Journal::new(store, Duration::from_secs(5), 1, clock)
}

fn successor(path: &Path, clock: Clock) -> Result<SqliteStore, OpenError> {
    let access = Access::Successor {
        longest_wait: Duration::from_secs(300),
    };
    SqliteStore::open(path, access, 10, clock, Metrics::new())
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
    for claimed in claim_events(journal, clock).await {
        end(journal, &claimed.lease, deliver(&[], vec![])).await;
    }
    let soon = clock.monotonic_in(Duration::from_secs(1));
    let expiry = Expiry {
        content: soon,
        dead: None,
        quarantined: None,
        receipts: soon,
    };
    let purged = journal.records().retain(expiry, count).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (count, count));
}

#[tokio::test]
async fn the_room_of_what_was_purged_is_used_again() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let mut sizes = Vec::new();
    for round in 0..4 {
        let (journal, _inbox) = journal(dir.path(), clock);
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
    let (before, _inbox) = journal(dir.path(), ahead);
    for name in ["waiting", "held"] {
        append(&before, failure(name)).await;
    }
    // Both were received by the wall, which stands an hour earlier.
    let claimed = claim_events(&before, ahead).await;
    let mut claimed = claimed.iter();
    let waiting = claimed.find(|event| event.receipt.session_id.as_str() == "waiting");
    let retry = Retrieval::Retry {
        found: found(vec![]),
        at: ahead.monotonic_in(Duration::from_secs(300)),
        tried_for: Duration::ZERO,
        reason: Reason::new(Cause::Internal, "later"),
        sinks: Vec::new(),
    };
    end(&before, &waiting.unwrap().lease, retry).await;
    before.close().await;

    let now = Clock::start();
    let store = sqlite(dir.path(), now);
    let claimed = claim_events(&store, now).await;
    assert_eq!(claimed.len(), 2, "neither waits for the hour to pass");
    let again = claim_events(&store, now).await;
    assert_eq!(again.len(), 0, "and neither comes twice");
}

#[tokio::test]
async fn a_clock_that_was_an_hour_ahead_makes_nothing_due_that_waits_for_its_event() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = Clock::ahead_by(HOUR);
    let (before, _inbox) = journal(dir.path(), ahead);
    let event = id(append(&before, failure("s")).await);
    let claimed = only(claim_events(&before, ahead).await);
    end(&before, &claimed.lease, deliver(&["a"], vec![])).await;
    let from = ReplayFrom::Retrieve;
    let replayed = before
        .records()
        .replay(event, from, vec![], "ops".to_owned())
        .await;
    assert_eq!(replayed.unwrap(), Replayed::Scheduled);
    before.close().await;

    let now = Clock::start();
    let store = sqlite(dir.path(), now);
    assert!(claim_deliveries(&store, "a", now).await.is_empty());
    let claimed = only(claim_events(&store, now).await);
    end(&store, &claimed.lease, deliver(&["a"], vec![])).await;
    assert_eq!(claim_deliveries(&store, "a", now).await.len(), 1);
}

#[tokio::test]
async fn a_clock_that_is_an_hour_ahead_after_a_restart_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (before, _inbox) = journal(dir.path(), Clock::start());
    let Appended::New(id) = append(&before, failure("s")).await else {
        panic!("it is new");
    };
    before.close().await;
    let ahead = Clock::ahead_by(HOUR);
    let (after, _inbox) = journal(dir.path(), ahead);
    assert_eq!(append(&after, failure("s")).await, Appended::Duplicate(id));
    assert_eq!(claim_events(&after, ahead).await.len(), 1);
    assert_eq!(claim_events(&after, ahead).await.len(), 0);
}

#[tokio::test]
async fn what_an_earlier_process_held_is_due_when_the_store_is_opened_and_counts_as_no_attempt() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let store = Arc::new(sqlite(dir.path(), clock));
    let (before, mut inbox) = Journal::new(store.clone(), Duration::from_secs(5), 9, clock);
    append(&before, failure("delivered at once")).await;
    let claimed = only(claim_events(&before, clock).await);
    end(&before, &claimed.lease, deliver_at_once(&["a"], vec![])).await;
    append(&before, failure("claimed")).await;
    let claimed = only(claim_events(&before, clock).await);
    inbox.admission.set_open(true);
    append(&before, failure("handed over")).await;
    let _handed = inbox.events.try_recv().unwrap();
    assert_eq!(store.held().await.unwrap().len(), 3);
    before.close().await;

    let store = sqlite(dir.path(), clock);
    assert_eq!(store.held().await.unwrap(), []);
    let events = claim_events(&store, clock).await;
    let attempts: Vec<_> = events.iter().map(|event| event.attempt).collect();
    assert_eq!(attempts, [1, 1]);
    assert_eq!(only(claim_deliveries(&store, "a", clock).await).attempt, 1);
    let ended = end(&store, &claimed.lease, deliver(&[], vec![])).await;
    assert_eq!(ended, Ended::Lost, "it was the earlier process's");
}

#[tokio::test]
async fn a_replay_that_waited_for_an_earlier_process_comes_when_the_store_is_opened() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let (before, _inbox) = journal(dir.path(), clock);
    let event = id(append(&before, failure("s")).await);
    let claimed = only(claim_events(&before, clock).await);
    end(&before, &claimed.lease, deliver_at_once(&["a"], vec![])).await;
    let from = ReplayFrom::Retrieve;
    let replayed = before
        .records()
        .replay(event, from, vec![], "ops".to_owned())
        .await;
    assert_eq!(replayed.unwrap(), Replayed::Scheduled);
    assert!(claim_events(&before, clock).await.is_empty());
    before.close().await;

    let store = sqlite(dir.path(), clock);
    assert!(claim_deliveries(&store, "a", clock).await.is_empty());
    assert_eq!(only(claim_events(&store, clock).await).receipt.id, event);
    assert_eq!(store.inspect().await.unwrap(), [] as [&str; 0]);
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
    let store = Arc::new(sqlite(dir.path(), clock));
    let (journal, _inbox) = Journal::new(store, Duration::from_secs(2), 1, clock);
    append(&journal, failure("first")).await;
    let reader = rusqlite::Connection::open(dir.path().join("data/receiver.db")).unwrap();
    reader
        .execute_batch("BEGIN; SELECT * FROM receipts")
        .unwrap();
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
    let after = successor(&path, clock).unwrap();
    before.close().await;
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("ALTER TABLE work RENAME TO elsewhere")
        .unwrap();
    after.own().await.unwrap_err();
    file.execute_batch("ALTER TABLE elsewhere RENAME TO work")
        .unwrap();
    tokio::time::timeout(PATIENCE, after.own())
        .await
        .expect("it is not shut out by itself")
        .unwrap();
}

#[tokio::test]
async fn a_successor_holds_nothing_until_the_process_before_it_has_ended_and_then_has_all_of_it() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let (before, _inbox) = journal(dir.path(), clock);
    let path = dir.path().join("data/receiver.db");
    let store = Arc::new(successor(&path, clock).unwrap());
    let (after, mut inbox) = Journal::new(store.clone(), Duration::from_secs(5), 9, clock);
    inbox.admission.set_open(true);
    append(&before, failure("held")).await;
    let held = only(claim_events(&before, clock).await);
    append(&after, failure("beside")).await;
    assert!(inbox.events.try_recv().is_err(), "it is not its work yet");
    assert_eq!(store.held().await.unwrap(), []);
    let beside = only(claim_events(&before, clock).await);
    let ended = end(&before, &beside.lease, deliver(&[], vec![])).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    before.close().await;
    after.own().await.unwrap();
    assert_eq!(
        only(claim_events(&after, clock).await).receipt.id,
        held.receipt.id
    );
    append(&after, failure("alone")).await;
    let handed = inbox.events.try_recv();
    assert!(handed.is_ok(), "the work is its own");
}

#[tokio::test]
async fn a_successor_beside_a_store_of_an_earlier_version_is_refused_and_leaves_it_as_it_is() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    sqlite(dir.path(), clock).close().await;
    let path = dir.path().join("data/receiver.db");
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("DELETE FROM refinery_schema_history WHERE version > 5")
        .unwrap();
    let refused = successor(&path, clock).unwrap_err();
    assert!(matches!(refused, OpenError::OlderRuns { .. }), "{refused}");
    let newest: u32 = file
        .query_row(
            "SELECT max(version) FROM refinery_schema_history",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(newest, 5);
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
