//! One file, several versions and processes.

use std::sync::Arc;
use std::time::Duration;

use suki_receiver::domain::{Clock, EventId, EventState};
use suki_receiver::journal::{Access, Expiry, Filter, Journal, SqliteStore, Store};
use suki_receiver::metrics::Metrics;

use super::contract::{
    append, claim_deliveries, claim_events, claim_late, delivered, end, kept, only, sqlite,
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

/// An event in each state, as that version left them.
pub const EVENTS_OF_V5: &str = "
    INSERT INTO events (seq, id, session_id, dedupe, encounter_id, received_at, source, stale, status, outcome, kind,
        state, needs_sdp, attempts, started_at, next_attempt_at, last_error, retrieved_at, ended_at, body) VALUES
    (1, ID1, 'new', KEY1, NULL, 1000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'received', TRUE, 0, 1000, 1000, NULL, NULL, NULL, BODY1),
    (2, ID2, 'retried', KEY2, NULL, 2000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'retrieving', TRUE, 2, 2000, 2000, 'HTTP 503', NULL, NULL, BODY2),
    (3, ID3, 'delivering', KEY3, NULL, 3000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'delivering', TRUE, 1, 3000, NULL, NULL, 3000, NULL, BODY3),
    (4, ID4, 'done', KEY4, 'e4', 4000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'done', TRUE, 1, 4000, NULL, NULL, 4000, 4000, BODY4),
    (5, ID5, 'dead', KEY5, NULL, 5000, 'webhook', FALSE, 'success', 'completed', 'ambient',
        'dead', TRUE, 3, 5000, NULL, 'HTTP 410', NULL, 5000, BODY5),
    (6, ID6, '', KEY6, NULL, 6000, 'webhook', FALSE, NULL, 'unknown', 'unknown',
        'quarantined', FALSE, 0, 6000, NULL, 'not JSON', NULL, NULL, BODY6),
    (7, ID7, 'failed', KEY7, NULL, 7000, 'webhook', FALSE, 'failure', 'failed', 'unknown',
        'received', FALSE, 0, 7000, 7000, NULL, NULL, NULL, BODY7);
    INSERT INTO links (event, n, link_group, href, state, http_status, fetched_at, bytes, body) VALUES
    (2, 0, 'contents', '/2', 'fetched', 200, 2000, 2, LINK),
    (2, 1, 'transcripts', '/2t', 'pending', NULL, NULL, NULL, NULL),
    (3, 0, 'contents', '/3', 'fetched', 200, 3000, 2, LINK),
    (4, 0, 'contents', '/4', 'fetched', 200, 4000, 2, LINK);
    INSERT INTO deliveries (event, sink, state, attempts, started_at, next_attempt_at, delivered_at, last_error) VALUES
    (3, 'a', 'delivered', 1, 3000, NULL, 3000, NULL),
    (3, 'b', 'pending', 4, 3000, 3000, NULL, 'HTTP 500'),
    (4, 'a', 'delivered', 1, 4000, NULL, 4000, NULL);
    INSERT INTO late (event, refresh_at) VALUES (4, 9000);";

/// What of it a store keeps in its own way.
pub fn events_of_v5(blob: fn(&[u8]) -> String) -> String {
    let mut sql = EVENTS_OF_V5.to_owned();
    for n in (1..=7_u8).rev() {
        let body = match n {
            6 => b"junk".to_vec(),
            7 => failure("failed"),
            n => completed(
                ["", "new", "retried", "delivering", "done", "dead"][usize::from(n)],
                &[],
            ),
        };
        sql = sql
            .replace(&format!("ID{n}"), &blob(&[n; 16]))
            .replace(&format!("KEY{n}"), &blob(&[n; 32]))
            .replace(&format!("BODY{n}"), &blob(&body));
    }
    sql.replace("LINK", &blob(b"{}"))
}

/// What was pending goes on where it was, and what was over is as it was.
pub async fn goes_on_from_v5(store: &dyn Store, clock: Clock) {
    use EventState::{Dead, Delivering, Done, Quarantined, Received, Retrieving};
    let page = store.list(Filter::default(), 10, None).await.unwrap();
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
            Received
        ]
    );
    assert_eq!(store.inspect().await.unwrap(), [] as [&str; 0]);
    let of = |n: u8| EventId::from_bytes([n; 16]);
    assert_eq!(store.resource(of(4), 0).await.unwrap().unwrap(), "{}");
    let filter = Filter {
        encounter_id: Some("e4".to_owned()),
        ..Filter::default()
    };
    assert_eq!(store.list(filter, 10, None).await.unwrap().events.len(), 1);
    let dead = store.event(of(5)).await.unwrap().unwrap().event;
    assert_eq!(dead.last_error.as_deref(), Some("HTTP 410"));

    let claimed = claim_events(store, clock).await;
    let mut sessions: Vec<_> = claimed
        .iter()
        .map(|event| (event.receipt.session_id.as_str(), event.attempt))
        .collect();
    sessions.sort_unstable();
    assert_eq!(sessions, [("failed", 1), ("new", 1), ("retried", 3)]);
    let again = claimed.iter().find(|event| event.attempt == 3).unwrap();
    let bodies: Vec<_> = again
        .found
        .links
        .iter()
        .map(|linked| linked.body.clone())
        .collect();
    assert_eq!(bodies, [Some("{}".into()), None]);

    let delivery = only(claim_deliveries(store, "b", clock).await);
    assert_eq!(
        (delivery.attempt, delivery.document.resources.len()),
        (5, 1)
    );
    let ended = end(store, &delivery.lease, delivered(clock)).await;
    assert_eq!(ended, kept(Some(Done)));
    let late = only(claim_late(store, clock).await);
    assert_eq!(late.id, of(4));
}

#[tokio::test]
async fn a_file_from_before_the_queue_is_brought_over_and_all_of_it_goes_on() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let fresh = dir.path().join("fresh");
    sqlite(&fresh, clock).close().await;
    let path = dir.path().join("data/receiver.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let old = rusqlite::Connection::open(&path).unwrap();
    for sql in V5 {
        old.execute_batch(sql).unwrap();
    }
    let newer = fresh.join("data/receiver.db");
    old.execute("ATTACH ?1 AS fresh", [newer.to_str().unwrap()])
        .unwrap();
    let hex = |bytes: &[u8]| format!("x'{}'", hex::encode(bytes));
    old.execute_batch(&format!(
        "CREATE TABLE refinery_schema_history AS SELECT * FROM fresh.refinery_schema_history WHERE version <= 5; {}",
        events_of_v5(hex)
    ))
    .unwrap();
    drop(old);

    // A process that follows would change the store beneath the one that runs.
    let access = Access::Successor {
        longest_wait: Duration::from_secs(1),
    };
    let refused = SqliteStore::open(&path, access, 10, clock, Metrics::new()).unwrap_err();
    assert!(refused.to_string().contains("older version"), "{refused}");

    let store = sqlite(dir.path(), clock);
    goes_on_from_v5(&store, clock).await;
    // The copies are removed a little at a time.
    let expiry = Expiry {
        content: 0,
        dead: None,
        quarantined: None,
        receipts: 0,
    };
    store.retain(expiry, 100).await.unwrap();
    store.close().await;
    let file = rusqlite::Connection::open(&path).unwrap();
    let left = file.query_row("SELECT count(*) FROM old_events", [], |row| {
        row.get::<_, u32>(0)
    });
    assert_eq!(left.unwrap(), 0);
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
