//! One file, several versions and processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use suki_receiver::domain::{Clock, DedupeKey, DeliveryState, EventId, EventState, Notification};
use suki_receiver::journal::{
    Access, Appended, ClaimedEvent, Expiry, Filter, Journal, Records, SqliteStore, Store,
};
use suki_receiver::metrics::Metrics;

use super::contract::{
    append, claim_deliveries, claim_events, claim_late, deliver, delivered, end, kept, only,
    quarantine, sqlite,
};
use crate::support::{completed, failure};

#[tokio::test]
async fn a_file_made_by_the_first_version_is_opened_by_this_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/receiver.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // As version 0.1.0 left it: schema 1 and one event.
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../fixtures/store-0.1.0.sql"))
        .unwrap();
    drop(old);
    let store = sqlite(dir.path(), Clock::start());
    let page = store.list(Filter::default(), 10, None).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(
        page.events[0].session_id.as_ref().unwrap().as_str(),
        "from-0.1.0"
    );
    store.close().await;
}

/// The schema before the queue was a table of its own.
const V5: [&str; 5] = [
    include_str!("../../../src/journal/sqlite/migrations/V1__events.sql"),
    include_str!("../../../src/journal/sqlite/migrations/V2__unauthentic.sql"),
    include_str!("../../../src/journal/sqlite/migrations/V3__upkeep.sql"),
    include_str!("../../../src/journal/sqlite/migrations/V4__late.sql"),
    include_str!("../../../src/journal/sqlite/migrations/V5__purged.sql"),
];

/// An event in each state, one that a process held and one that amends another, as that version left them.
const EVENTS_OF_V5: &str = "
    INSERT INTO events (seq, id, session_id, dedupe, encounter_id, received_at, source, stale, status, outcome, kind,
        state, needs_sdp, attempts, started_at, next_attempt_at, holder, last_error, retrieved_at, ended_at, purged_at, body)
    VALUES
    (1, ID1;, 'new', KEY1;, NULL, 1000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'received', TRUE, 0, 1000, 1000, NULL, NULL, NULL, NULL, NULL, BODY1;),
    (2, ID2;, 'retried', KEY2;, NULL, 2000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'retrieving', TRUE, 2, 2000, 2000, NULL, 'HTTP 503', NULL, NULL, NULL, BODY2;),
    (3, ID3;, 'delivering', KEY3;, NULL, 3000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'delivering', TRUE, 1, 3000, NULL, NULL, NULL, 3000, NULL, NULL, BODY3;),
    (4, ID4;, 'done', KEY4;, 'e4', 4000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'done', TRUE, 1, 4000, NULL, NULL, NULL, 4000, 4000, NULL, BODY4;),
    (5, ID5;, 'dead', KEY5;, NULL, 5000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'dead', TRUE, 3, 5000, NULL, NULL, 'HTTP 410', NULL, 5000, NULL, BODY5;),
    (6, ID6;, '', KEY6;, NULL, 6000, 'webhook', FALSE, NULL, 'unknown', 'unknown',
        'quarantined', FALSE, 0, 6000, NULL, NULL, 'not JSON', NULL, NULL, NULL, BODY6;),
    (7, ID7;, 'failed', KEY7;, NULL, 7000, 'webhook', FALSE, 'failure', 'failed', 'unknown',
        'received', FALSE, 0, 7000, 7000, NULL, NULL, NULL, NULL, NULL, BODY7;),
    (8, ID8;, 'held', KEY8;, NULL, 8000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'retrieving', TRUE, 1, 8000, 8000000000000, ID99;, NULL, NULL, NULL, NULL, BODY8;),
    (9, ID9;, 'purged', KEY9;, NULL, 9000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'dead', TRUE, 1, 9000, NULL, NULL, 'purged by an operator', 9000, 9000, 9000, NULL),
    (10, ID10;, 'done', KEY10;, 'e4', 9500, 'refresh', FALSE, 'success', 'completed', 'ambient',
        'delivering', TRUE, 0, 9500, NULL, NULL, NULL, 4000, NULL, NULL, BODY4;);
    INSERT INTO amendments (event, revision, replaces) VALUES (10, 2, ID4;);
    INSERT INTO links (event, n, link_group, href, state, http_status, fetched_at, bytes, body) VALUES
    (2, 0, 'contents', '/2', 'fetched', 200, 2000, 2, LINK),
    (2, 1, 'transcripts', '/2t', 'pending', NULL, NULL, NULL, NULL),
    (3, 0, 'contents', '/3', 'fetched', 200, 3000, 2, LINK),
    (4, 0, 'contents', '/4', 'fetched', 200, 4000, 2, LINK),
    (9, 0, 'contents', '/9', 'fetched', 200, 9000, 2, NULL),
    (10, 0, 'contents', '/4', 'fetched', 200, 4000, 2, LINK);
    INSERT INTO deliveries (event, sink, state, attempts, started_at, next_attempt_at, holder, delivered_at, last_error)
    VALUES
    (2, 'waits', 'pending', 0, 2000, NULL, NULL, NULL, NULL),
    (3, 'a', 'delivered', 1, 3000, NULL, NULL, 3000, NULL),
    (3, 'b', 'pending', 4, 3000, 3000, NULL, NULL, 'HTTP 500'),
    (3, 'held', 'pending', 1, 3000, 8000000000000, ID99;, NULL, NULL),
    (4, 'a', 'delivered', 1, 4000, NULL, NULL, 4000, NULL),
    (9, 'a', 'dead', 1, 9000, NULL, NULL, NULL, 'purged by an operator'),
    (10, 'amended', 'pending', 0, 9500, 9500, NULL, NULL, NULL);
    INSERT INTO late (event, refresh_at) VALUES (10, 9000);";

/// What lost its content to retention while something of it was still to be done.
const PURGED_OF_V5: &str = "
    INSERT INTO events (seq, id, session_id, dedupe, received_at, source, stale, status, outcome, kind,
        state, needs_sdp, attempts, started_at, last_error, retrieved_at, ended_at, body) VALUES
    (1, ID1;, 'new', KEY1;, 1000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'dead', TRUE, 1, 1000, 'HTTP 410', NULL, 1000, NULL),
    (4, ID4;, 'done', KEY4;, 4000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'done', TRUE, 1, 4000, NULL, 4000, 4000, NULL);
    INSERT INTO deliveries (event, sink, state, attempts, started_at, next_attempt_at, delivered_at) VALUES
    (1, 'a', 'pending', 1, 1000, 1000, NULL),
    (4, 'a', 'delivered', 1, 4000, NULL, 4000);
    INSERT INTO late (event, refresh_at) VALUES (4, 9000);";

/// How a store writes bytes and ids.
pub struct Dialect {
    pub bytes: fn(&[u8]) -> String,
    pub id: fn(&[u8]) -> String,
}

impl Dialect {
    pub fn events_of_v5(&self) -> String {
        self.filled(EVENTS_OF_V5)
    }

    pub fn purged_of_v5(&self) -> String {
        self.filled(PURGED_OF_V5)
    }

    fn filled(&self, sql: &str) -> String {
        let mut sql = sql.replace("LINK", &(self.bytes)(b"{}"));
        for n in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99] {
            let body = body_of(n);
            let key = match (n, Notification::parse(body.clone().into())) {
                // It is a duplicate of nothing: its key is the id of what it replaces.
                (10, _) => vec![4; 16],
                (_, Ok(notification)) => notification.dedupe.as_bytes().to_vec(),
                (_, Err(_)) => DedupeKey::of_raw(&body).as_bytes().to_vec(),
            };
            sql = sql
                .replace(&format!("ID{n};"), &(self.id)(&[n; 16]))
                .replace(&format!("KEY{n};"), &(self.bytes)(&key))
                .replace(&format!("BODY{n};"), &(self.bytes)(&body));
        }
        sql
    }
}

/// What came as this event.
fn body_of(n: u8) -> Vec<u8> {
    match n {
        1 => completed("new", &[]),
        2 => completed("retried", &[]),
        3 => completed("delivering", &[]),
        4 => completed("done", &[]),
        5 => completed("dead", &[]),
        7 => failure("failed"),
        8 => completed("held", &[]),
        9 => completed("purged", &[]),
        _ => b"junk".to_vec(),
    }
}

fn of(n: u8) -> EventId {
    EventId::from_bytes([n; 16])
}

/// What was pending goes on where it was, and what was over is as it was.
pub async fn goes_on_from_v5(store: Arc<dyn Store>, clock: Clock) {
    let (journal, _inbox) = Journal::new(store.clone(), Duration::from_secs(5), 1, clock);
    is_as_it_was(&*store).await;
    for n in (1..10).filter(|&n| n != 6) {
        let again = append(&journal, body_of(n)).await;
        assert_eq!(again, Appended::Duplicate(of(n)), "{n}");
    }
    assert_eq!(quarantine(&journal, b"junk").await, of(6));
    let retried = events_go_on(&*store, clock).await;
    deliveries_go_on(&*store, clock).await;

    let ended = end(
        &*store,
        &retried.lease,
        deliver(&[], retried.found.links.clone()),
    )
    .await;
    assert_eq!(ended, kept(None), "one of its sinks waited for it");
    only(claim_deliveries(&*store, "waits", clock).await);
    let late = only(claim_late(&*store, clock).await);
    assert_eq!(late.id, of(10));
}

async fn is_as_it_was(store: &dyn Store) {
    use EventState::{Dead, Delivering, Done, Purged, Quarantined, Received, Retrieving};
    let page = store.list(Filter::default(), 100, None).await.unwrap();
    let states: Vec<_> = page.events.iter().rev().map(|event| event.state).collect();
    assert_eq!(
        states,
        [
            Received,
            Retrieving,
            Delivering,
            Done,
            Dead,
            Quarantined,
            Received,
            Retrieving,
            Purged,
            Delivering
        ]
    );
    let stats = store.stats().await.unwrap();
    for state in states.iter().copied() {
        let there = states.iter().filter(|&&other| other == state).count();
        assert_eq!(stats.count(state), there as u64, "{state}");
    }
    assert_eq!(store.inspect().await.unwrap(), [] as [&str; 0]);
    for (n, body) in [(4, Some("{}".into())), (9, None)] {
        let notification = body.as_ref().map(|_| body_of(n).into());
        assert_eq!(store.resource(of(n), 0).await.unwrap(), body);
        assert_eq!(store.payload(of(n)).await.unwrap(), notification);
    }
    let filter = Filter {
        encounter_id: Some("e4".to_owned()),
        ..Filter::default()
    };
    assert_eq!(store.list(filter, 10, None).await.unwrap().events.len(), 2);
    let dead = store.event(of(5)).await.unwrap().unwrap().event;
    assert_eq!(dead.last_error.as_deref(), Some("HTTP 410"));
    let done = store.event(of(4)).await.unwrap().unwrap().deliveries;
    assert_eq!(only(done).state, DeliveryState::Delivered);
}

/// Gives the one that was tried before.
async fn events_go_on(store: &dyn Store, clock: Clock) -> ClaimedEvent {
    let mut claimed = claim_events(store, clock).await;
    claimed.sort_unstable_by_key(|event| event.receipt.id);
    let sessions: Vec<_> = claimed
        .iter()
        .map(|event| (event.receipt.session_id.as_str(), event.attempt))
        .collect();
    // What was held had begun, and nobody holds it now.
    assert_eq!(
        sessions,
        [("new", 1), ("retried", 3), ("failed", 1), ("held", 2)]
    );
    let retried = claimed.remove(1);
    let links = retried.found.links.iter();
    let bodies: Vec<_> = links.map(|linked| linked.body.clone()).collect();
    assert_eq!(bodies, [Some("{}".into()), None]);
    retried
}

async fn deliveries_go_on(store: &dyn Store, clock: Clock) {
    assert!(claim_deliveries(store, "waits", clock).await.is_empty());
    let amended = only(claim_deliveries(store, "amended", clock).await).document;
    assert_eq!(
        (amended.id, amended.revision, amended.replaces),
        (of(10), 2, Some(of(4)))
    );
    for (sink, attempt, event) in [("held", 2, None), ("b", 5, Some(EventState::Done))] {
        let delivery = only(claim_deliveries(store, sink, clock).await);
        let resources = delivery.document.resources.len();
        assert_eq!((delivery.attempt, resources), (attempt, 1), "{sink}");
        let ended = end(store, &delivery.lease, delivered(clock)).await;
        assert_eq!(ended, kept(event), "{sink}");
    }
}

/// Without its content nobody could do it.
pub async fn is_no_work_any_more(store: &dyn Store, clock: Clock) {
    assert!(claim_deliveries(store, "a", clock).await.is_empty());
    assert!(claim_late(store, clock).await.is_empty());
    assert!(store.held().await.unwrap().is_empty());
    assert_eq!(store.inspect().await.unwrap(), [] as [&str; 0]);
}

/// A file of that version with this in it.
fn a_file_of_v5(dir: &Path, sql: &str) -> PathBuf {
    let fresh = dir.join("fresh");
    drop(sqlite(&fresh, Clock::start()));
    let path = dir.join("data/receiver.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let old = rusqlite::Connection::open(&path).unwrap();
    for sql in V5 {
        old.execute_batch(sql).unwrap();
    }
    let newer = fresh.join("data/receiver.db");
    old.execute("ATTACH ?1 AS fresh", [newer.to_str().unwrap()])
        .unwrap();
    old.execute_batch(&format!(
        "CREATE TABLE refinery_schema_history AS SELECT * FROM fresh.refinery_schema_history WHERE version <= 5; {sql}"
    ))
    .unwrap();
    path
}

fn hex(bytes: &[u8]) -> String {
    format!("x'{}'", hex::encode(bytes))
}

const SQLITE: Dialect = Dialect {
    bytes: hex,
    id: hex,
};

#[tokio::test]
async fn a_file_from_before_the_queue_is_brought_over_and_all_of_it_goes_on() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let path = a_file_of_v5(dir.path(), &SQLITE.events_of_v5());

    // A process that follows would change the store beneath the one that runs.
    let access = Access::Successor {
        longest_wait: Duration::from_secs(1),
    };
    let refused = SqliteStore::open(&path, access, 10, clock, Metrics::new()).unwrap_err();
    assert!(refused.to_string().contains("older version"), "{refused}");

    let store = Arc::new(sqlite(dir.path(), clock));
    goes_on_from_v5(store.clone(), clock).await;
    // The copies are removed a little at a time.
    let expiry = Expiry {
        content: 0,
        dead: None,
        quarantined: None,
        receipts: 0,
    };
    let copies = || {
        let file = rusqlite::Connection::open(&path).unwrap();
        let count = "SELECT count(*) FROM old_events";
        file.query_row(count, [], |row| row.get::<_, u32>(0))
            .unwrap()
    };
    assert_eq!(copies(), 10);
    store.retain(expiry, 4).await.unwrap();
    assert_eq!(copies(), 6);
    while !store.retain(expiry, 4).await.unwrap().is_all {}
    assert_eq!(copies(), 0);
    store.close().await;
}

#[tokio::test]
async fn what_had_lost_its_content_before_the_queue_is_no_work_any_more() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    a_file_of_v5(dir.path(), &SQLITE.purged_of_v5());
    is_no_work_any_more(&sqlite(dir.path(), clock), clock).await;
}

#[tokio::test]
async fn a_migration_that_is_cut_off_is_made_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/receiver.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    // The last thing that a migration writes is that it was made.
    file.execute_batch(
        "CREATE TABLE refinery_schema_history (version INT4 PRIMARY KEY, name TEXT, applied_on TEXT, checksum TEXT);
         CREATE TRIGGER cut BEFORE INSERT ON refinery_schema_history BEGIN SELECT RAISE(ABORT, 'cut off'); END",
    )
    .unwrap();
    let access = Access::Owner {
        longest_wait: Duration::from_secs(1),
    };
    let error = SqliteStore::open(&path, access, 10, Clock::start(), Metrics::new()).unwrap_err();
    assert!(error.to_string().contains("cut off"), "{error}");
    file.execute_batch("DROP TRIGGER cut").unwrap();
    let store = Arc::new(sqlite(dir.path(), Clock::start()));
    let (journal, _inbox) = Journal::new(store.clone(), Duration::from_secs(5), 1, Clock::start());
    append(&journal, failure("s")).await;
    store.close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    sqlite(dir.path(), Clock::start()).close().await;
    let path = dir.path().join("data/receiver.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer
        .execute("INSERT INTO refinery_schema_history VALUES (999, 'future', '2030-01-01T00:00:00Z', '1')", [])
        .unwrap();
    drop(newer);
    let access = Access::Owner {
        longest_wait: Duration::from_secs(1),
    };
    let error = SqliteStore::open(&path, access, 10, Clock::start(), Metrics::new()).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[tokio::test]
async fn two_services_cannot_serve_from_one_file_but_a_guest_may_look() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(sqlite(dir.path(), Clock::start()));
    let (journal, _) = Journal::new(store.clone(), Duration::from_secs(5), 1, Clock::start());
    append(&journal, failure("s")).await;
    let path = dir.path().join("data/receiver.db");
    let open = |access| SqliteStore::open(&path, access, 10, Clock::start(), Metrics::new());
    let error = open(Access::Owner {
        longest_wait: Duration::from_secs(1),
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("in use by another running receiver"),
        "{error}"
    );
    let guest = open(Access::Guest).unwrap();
    assert_eq!(
        guest
            .list(Filter::default(), 10, None)
            .await
            .unwrap()
            .events
            .len(),
        1
    );
    guest.close().await;
    store.close().await;
    open(Access::Owner {
        longest_wait: Duration::from_secs(1),
    })
    .unwrap()
    .close()
    .await;
}
