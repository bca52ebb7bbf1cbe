//! One file, several versions and processes.

use std::sync::Arc;
use std::time::Duration;

use suki_receiver::domain::Clock;
use suki_receiver::journal::{Access, Filter, Journal, SqliteStore, Store};
use suki_receiver::metrics::Metrics;

use super::contract::{append, sqlite};
use crate::support::failure;

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
    let (journal, _wakeups) = Journal::new(store.clone(), Duration::from_secs(5));
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
    let (journal, _) = Journal::new(store.clone(), Duration::from_secs(5));
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
