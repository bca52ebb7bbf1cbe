//! The spool, in front of a store that fails, hangs or forgets to answer on demand.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use suki_receiver::domain::{Clock, EventId};
use suki_receiver::journal::{
    Appended, Bounds, Error, Filter, Inbox, Journal, OpenError, Records, RejectedRequest,
    SqliteStore, WriteTarget,
};
use suki_receiver::metrics::Metrics;

use super::contract::{append, sqlite, try_append};
use super::damage::damage_page_of;
use crate::support::{FailingStore, PATIENCE, completed, eventually, failure, until};

const DEADLINE: Duration = Duration::from_millis(300);
const BOUNDS: Bounds = Bounds {
    requests: 10,
    bytes: 1000,
};

/// A journal on a store that fails on demand, with a spool.
struct Spooled {
    store: Arc<FailingStore>,
    journal: Journal,
    metrics: Metrics,
    _inbox: Inbox,
    dir: tempfile::TempDir,
}

impl Spooled {
    fn new() -> Self {
        Self::with_deadline(DEADLINE)
    }

    fn with_deadline(deadline: Duration) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
        let store = FailingStore::around(Arc::new(sqlite(&dir.path().join("shared"), clock)));
        let (journal, inbox) = Journal::new(store.clone(), deadline, 1, clock);
        Self {
            store,
            journal: journal.with_spool(spool(dir.path(), clock)).unwrap(),
            metrics: Metrics::new(),
            _inbox: inbox,
            dir,
        }
    }

    /// The same store, which no longer fails, and the same spool, as the next process opens them.
    fn again(&self) -> (Arc<SqliteStore>, Journal) {
        let clock = Clock::start();
        let store = Arc::new(sqlite(&self.dir.path().join("shared"), clock));
        let (journal, _) = Journal::new(store.clone(), DEADLINE, 1, clock);
        let journal = journal.with_spool(spool(self.dir.path(), clock)).unwrap();
        (store, journal)
    }

    /// Empties the spool from now on.
    fn drain(&self) {
        let (journal, metrics) = (self.journal.clone(), self.metrics.clone());
        tokio::spawn(async move { journal.drain(BOUNDS, metrics).await });
    }

    async fn is_drained(&self) {
        until("the spool is empty", || {
            self.metrics
                .render()
                .contains("suki_receiver_spool_events 0")
        })
        .await;
    }

    /// The sessions in the store, oldest first.
    async fn sessions(&self) -> Vec<String> {
        let page = self
            .store
            .list(Filter::default(), 1000, None)
            .await
            .unwrap();
        let sessions = page.events.iter().rev();
        sessions
            .map(|event| event.session_id.as_ref().unwrap().to_string())
            .collect()
    }

    async fn count(&self) -> usize {
        self.sessions().await.len()
    }
}

/// Opens the spool's file.
fn spool(
    dir: &std::path::Path,
    clock: Clock,
) -> impl Fn() -> Result<SqliteStore, OpenError> + Send + Sync + 'static {
    let path = dir.join("spool");
    move || Ok(sqlite(&path, clock))
}

fn new(appended: Appended) -> EventId {
    match appended {
        Appended::New(id) => id,
        Appended::Duplicate(id) => panic!("{id} was there already"),
    }
}

#[tokio::test]
async fn what_a_failing_store_does_not_take_is_spooled_and_drained_in_order_under_the_same_ids() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    let mut ids = Vec::new();
    for n in 0..600 {
        ids.push(new(append(&s.journal, failure(&format!("s{n:03}"))).await));
    }
    assert_eq!(s.journal.write_target().await.unwrap(), WriteTarget::Spool);
    assert_eq!(
        s.store.appends.load(SeqCst),
        1,
        "only the first asked the store"
    );
    assert_eq!(s.count().await, 0);
    s.drain();
    let oldest = || {
        let metrics = s.metrics.render();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("suki_receiver_spool_oldest_seconds "));
        line.unwrap().parse::<f64>().unwrap()
    };
    until("the metric shows what is spooled", || {
        s.metrics
            .render()
            .contains("suki_receiver_spool_events 600")
            && oldest() > 0.0
    })
    .await;
    s.store.appends_fail.store(false, SeqCst);
    eventually("all are in the store", || async { s.count().await == 600 }).await;
    until("nothing is left that is old", || oldest() == 0.0).await;
    let expected: Vec<_> = (0..600).map(|n| format!("s{n:03}")).collect();
    assert_eq!(s.sessions().await, expected);
    for id in ids {
        assert!(s.store.event(id).await.unwrap().is_some());
    }
    s.is_drained().await;
    eventually("the store takes notifications again", || async {
        s.journal.write_target().await.unwrap() == WriteTarget::Store
    })
    .await;
}

#[tokio::test]
async fn one_that_waits_for_a_hanging_store_takes_the_others_with_it_and_the_next_do_not_wait() {
    let s = Spooled::new();
    s.store.appends_hang.store(true, SeqCst);
    let all = (0..50).map(|n| append(&s.journal, completed(&format!("s{n}"), &[])));
    let start = Instant::now();
    futures_util::future::join_all(all).await;
    let asked = s.store.appends.load(SeqCst);
    assert!(
        start.elapsed() >= DEADLINE,
        "the first ones waited for the deadline"
    );
    for n in 50..150 {
        append(&s.journal, completed(&format!("s{n}"), &[])).await;
    }
    assert_eq!(
        s.store.appends.load(SeqCst),
        asked,
        "the later ones did not ask the store"
    );
    s.store.appends_hang.store(false, SeqCst);
    s.drain();
    eventually("all are in the store", || async { s.count().await == 150 }).await;
}

#[tokio::test]
async fn a_failure_that_one_sees_sends_those_that_still_wait_to_the_spool() {
    let s = Spooled::with_deadline(PATIENCE * 10);
    s.store.appends_hang.store(true, SeqCst);
    let journal = s.journal.clone();
    let waiting = tokio::spawn(async move { append(&journal, failure("waiting")).await });
    until("it waits for the store", || {
        s.store.appends.load(SeqCst) == 1
    })
    .await;
    s.store.appends_fail.store(true, SeqCst);
    append(&s.journal, failure("failing")).await;
    // Long before its own deadline.
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(s.store.appends.load(SeqCst), 2);
}

#[tokio::test]
async fn what_the_store_kept_without_saying_so_is_not_kept_twice() {
    let s = Spooled::new();
    s.store.answers_are_lost.store(true, SeqCst);
    let id = new(append(&s.journal, failure("a")).await);
    s.store.answers_are_lost.store(false, SeqCst);
    s.drain();
    s.is_drained().await;
    eventually("the store takes notifications again", || async {
        s.journal.write_target().await.unwrap() == WriteTarget::Store
    })
    .await;
    assert_eq!(s.sessions().await, ["a"]);
    assert_eq!(
        append(&s.journal, failure("a")).await,
        Appended::Duplicate(id)
    );
}

#[tokio::test]
async fn a_duplicate_is_recognised_within_the_spool_and_across_it() {
    let s = Spooled::new();
    let before = new(append(&s.journal, failure("before")).await);
    s.store.appends_fail.store(true, SeqCst);
    let during = new(append(&s.journal, failure("during")).await);
    assert_eq!(
        append(&s.journal, failure("during")).await,
        Appended::Duplicate(during)
    );
    append(&s.journal, failure("before")).await;
    s.store.appends_fail.store(false, SeqCst);
    s.drain();
    eventually("what was spooled is in the store", || async {
        s.count().await == 2
    })
    .await;
    s.is_drained().await;
    assert_eq!(s.sessions().await, ["before", "during"]);
    assert!(s.store.event(before).await.unwrap().is_some());
}

#[tokio::test]
async fn only_when_both_fail_is_a_notification_refused() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    append(&s.journal, failure("a")).await;
    // The spool's file is taken away from under it: its commits fail from now on.
    let file = rusqlite_lock(&s.dir.path().join("spool/data/receiver.db"));
    assert!(try_append(&s.journal, failure("b")).await.is_err());
    assert!(s.journal.write_target().await.is_err());
    drop(file);
    eventually("the spool takes notifications again", || async {
        try_append(&s.journal, failure("b")).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn what_is_in_the_spool_is_drained_after_a_restart() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    append(&s.journal, failure("a")).await;
    s.journal.close().await;
    let (store, journal) = s.again();
    let draining = journal.clone();
    tokio::spawn(async move { draining.drain(BOUNDS, Metrics::new()).await });
    eventually("it is in the store", || async {
        let page = store.list(Filter::default(), 10, None).await.unwrap();
        page.events.len() == 1
    })
    .await;
}

#[tokio::test]
async fn refused_requests_go_through_the_spool_as_well() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    let request = RejectedRequest {
        received_at: jiff::Timestamp::from_millisecond(1_765_977_748_432).unwrap(),
        generated_at: "1765977748432".to_owned(),
        signature: "ab".repeat(32),
        body: bytes::Bytes::from_static(b"refused"),
    };
    s.journal
        .keep_rejected(vec![request.clone()], BOUNDS)
        .await
        .unwrap();
    assert_eq!(s.store.rejected(0, 10).await.unwrap(), []);
    s.store.appends_fail.store(false, SeqCst);
    s.drain();
    eventually("it is in the store", || async {
        let kept = s.store.rejected(0, 10).await.unwrap();
        kept.iter().map(|(_, kept)| kept).eq([&request])
    })
    .await;
}

#[tokio::test]
async fn a_way_to_the_store_that_is_too_slow_for_a_whole_batch_is_drained_in_smaller_ones() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    for n in 0..40 {
        append(&s.journal, failure(&format!("s{n:02}"))).await;
    }
    s.store.crowd.store(8, SeqCst);
    s.store.appends_fail.store(false, SeqCst);
    s.drain();
    eventually("all are in the store", || async { s.count().await == 40 }).await;
}

#[tokio::test]
async fn a_store_that_is_back_gets_notifications_though_the_spool_cannot_let_go_of_what_it_has() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    append(&s.journal, failure("spooled")).await;
    let file = rusqlite_lock(&s.dir.path().join("spool/data/receiver.db"));
    s.store.appends_fail.store(false, SeqCst);
    s.drain();
    eventually("the store takes notifications", || async {
        s.journal
            .write_target()
            .await
            .is_ok_and(|taking| taking == WriteTarget::StoreWithoutSpool)
    })
    .await;
    append(&s.journal, failure("later")).await;
    assert_eq!(s.sessions().await, ["spooled", "later"]);
    drop(file);
    s.is_drained().await;
    assert_eq!(s.count().await, 2, "once each");
}

#[tokio::test]
async fn a_spooled_notification_that_cannot_be_read_stays_is_told_of_and_holds_up_no_other() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    for name in ["a", "b", "c"] {
        append(&s.journal, failure(name)).await;
    }
    let file = rusqlite::Connection::open(s.dir.path().join("spool/data/receiver.db")).unwrap();
    file.execute(
        "UPDATE receipts SET source = '?' WHERE session_id = 'b'",
        [],
    )
    .unwrap();
    s.store.appends_fail.store(false, SeqCst);
    s.drain();
    eventually("the others are in the store", || async {
        s.count().await == 2
    })
    .await;
    assert_eq!(s.sessions().await, ["a", "c"]);
    eventually("an operator can see it", || async {
        s.journal.write_target().await.unwrap() == WriteTarget::StoreRefusing(1)
    })
    .await;
    file.execute("UPDATE receipts SET source = 'webhook'", [])
        .unwrap();
    s.is_drained().await;
    eventually("no fault was found", || async {
        s.journal.write_target().await.unwrap() == WriteTarget::Store
    })
    .await;
    assert_eq!(s.count().await, 3);
}

#[tokio::test]
async fn a_damaged_page_of_the_spool_holds_up_only_the_notifications_on_it() {
    let s = Spooled::new();
    s.store.appends_fail.store(true, SeqCst);
    for n in 100..200 {
        let filler = "x".repeat(600);
        let body = format!(r#"{{"session_id":"s{n}","status":"failure","body":"{n} {filler}"}}"#);
        append(&s.journal, body.into_bytes()).await;
    }
    s.journal.close().await;
    let file = s.dir.path().join("spool/data/receiver.db");
    damage_page_of(&file, br#""body":"150 x"#);

    let (store, journal) = s.again();
    let draining = journal.clone();
    tokio::spawn(async move { draining.drain(BOUNDS, Metrics::new()).await });
    eventually("an operator can see it", || async {
        let target = journal.write_target().await;
        matches!(target, Ok(WriteTarget::StoreRefusing(1..=20)))
    })
    .await;
    assert!(journal.is_damaged());
    let moved = store.list(Filter::default(), 1000, None).await.unwrap();
    let moved: Vec<String> = moved
        .events
        .iter()
        .map(|event| event.session_id.as_ref().unwrap().to_string())
        .collect();
    assert!((90..100).contains(&moved.len()), "{moved:?}");
    assert!(!moved.contains(&"s150".to_owned()), "{moved:?}");
}

#[tokio::test]
async fn a_spool_whose_disk_is_full_at_the_start_is_opened_when_there_is_room() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let store = FailingStore::around(Arc::new(sqlite(&dir.path().join("shared"), clock)));
    let (journal, _inbox) = Journal::new(store.clone(), DEADLINE, 1, Clock::start());
    let (is_full, open) = (Arc::new(AtomicBool::new(true)), spool(dir.path(), clock));
    let room = Arc::clone(&is_full);
    let journal = journal
        .with_spool(move || {
            if room.load(SeqCst) {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                let path = "spool.db".into();
                let source = Arc::new(full);
                return Err(Error::Io { path, source }.into());
            }
            open()
        })
        .unwrap();
    let draining = journal.clone();
    tokio::spawn(async move { draining.drain(BOUNDS, Metrics::new()).await });
    append(&journal, failure("a")).await;
    assert_eq!(
        journal.write_target().await.unwrap(),
        WriteTarget::StoreWithoutSpool
    );
    store.appends_fail.store(true, SeqCst);
    try_append(&journal, failure("nowhere")).await.unwrap_err();
    store.appends_fail.store(false, SeqCst);
    eventually("a store that is back is used without a spool", || async {
        try_append(&journal, failure("back")).await.is_ok()
    })
    .await;
    is_full.store(false, SeqCst);
    eventually("the spool is there", || async {
        journal.write_target().await.unwrap() == WriteTarget::Store
    })
    .await;
    store.appends_fail.store(true, SeqCst);
    append(&journal, failure("b")).await;
}

/// Holds the write lock of a store's file.
fn rusqlite_lock(path: &std::path::Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    connection
}
