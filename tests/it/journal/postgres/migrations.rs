//! The schema: brought up to date once, and never taken away from an older version that still runs.

use std::sync::Arc;

use futures_util::future::join_all;
use suki_receiver::config::{self, PostgresUrl};
use suki_receiver::domain::Clock;
use suki_receiver::journal::{Access, Filter, PostgresStore, Store};
use suki_receiver::metrics::Metrics;

use super::journal;
use crate::journal::contract::append;
use crate::support::{Database, eventually, failure, open};

#[tokio::test]
async fn several_instances_may_bring_an_empty_database_up_to_date_at_once() {
    let database = Database::create().await;
    let stores = join_all((0..5).map(|_| database.store(Clock::start()))).await;
    let applied = database
        .client()
        .await
        .query_one(
            "SELECT count(*) = count(DISTINCT version), count(*) > 0 FROM refinery_schema_history",
            &[],
        )
        .await
        .unwrap();
    assert!(applied.get::<_, bool>(0) && applied.get::<_, bool>(1));
    for store in &stores {
        assert_eq!(store.inspect().await.unwrap(), [] as [&str; 0]);
    }
}

#[tokio::test]
async fn an_older_version_starts_and_goes_on_beside_a_newer_schema() {
    let database = Database::create().await;
    let before = Arc::new(database.store(Clock::start()).await);
    append(&journal(&before), failure("before")).await;
    database
        .client()
        .await
        .batch_execute(
            "ALTER TABLE events ADD COLUMN future text NOT NULL DEFAULT 'x';
             INSERT INTO refinery_schema_history VALUES (99, 'future', '2030-01-01T00:00:00Z', '1')",
        )
        .await
        .unwrap();
    let after = Arc::new(database.store(Clock::start()).await);
    append(&journal(&before), failure("still there")).await;
    append(&journal(&after), failure("after")).await;
    let page = after.list(Filter::default(), 10, None).await.unwrap();
    assert_eq!(page.events.len(), 3);
}

#[tokio::test]
async fn a_schema_that_was_made_by_something_else_is_refused() {
    let database = Database::create().await;
    database.store(Clock::start()).await.close().await;
    database
        .client()
        .await
        .batch_execute("UPDATE refinery_schema_history SET checksum = '1'")
        .await
        .unwrap();
    let store = open(&database.url(), Clock::start());
    eventually("the reason is told", || async {
        let error = store.check().await.unwrap_err().to_string();
        error.contains("migrate")
    })
    .await;
}

#[tokio::test]
async fn a_guest_makes_no_tables_and_says_that_there_are_none() {
    let database = Database::create().await;
    let (settings, url) = (
        config::Store::default(),
        PostgresUrl::parse(&database.url()).unwrap(),
    );
    let guest = || {
        let clock = Clock::start();
        PostgresStore::open(&settings, &url, Access::Guest, clock, Metrics::new()).unwrap()
    };
    let error = guest().stats().await.unwrap_err().to_string();
    assert!(error.contains("tables are not there"), "{error}");
    database.store(Clock::start()).await.close().await;
    assert!(guest().stats().await.is_ok());
}
