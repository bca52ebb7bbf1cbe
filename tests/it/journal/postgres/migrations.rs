//! The schema: brought up to date once, and never taken away from an older version that still runs.

use std::sync::Arc;

use futures_util::future::join_all;
use suki_receiver::config::{self, PostgresUrl};
use suki_receiver::domain::Clock;
use suki_receiver::journal::{Access, Filter, PostgresStore, Store};
use suki_receiver::metrics::Metrics;

use super::journal;
use crate::journal::contract::append;
use crate::journal::upgrade::{events_of_v5, goes_on_from_v5};
use crate::support::{Database, eventually, failure, open, ready};

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
            "ALTER TABLE receipts ADD COLUMN future text NOT NULL DEFAULT 'x';
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

/// The schema before the queue was a table of its own.
const V3: [&str; 3] = [
    include_str!("../../../../src/journal/postgres/migrations/V1__events.sql"),
    include_str!("../../../../src/journal/postgres/migrations/V2__late.sql"),
    include_str!("../../../../src/journal/postgres/migrations/V3__purged.sql"),
];

#[tokio::test]
async fn a_database_from_before_the_queue_is_brought_over_once_the_older_instances_have_ended() {
    let (fresh, database, clock) = (
        Database::create().await,
        Database::create().await,
        Clock::start(),
    );
    fresh.store(clock).await.close().await;
    let history = "SELECT version, name, applied_on, checksum FROM refinery_schema_history WHERE version <= 3";
    let history = fresh.client().await.query(history, &[]).await.unwrap();
    let older = database.client().await;
    for sql in V3 {
        older.batch_execute(sql).await.unwrap();
    }
    older
        .batch_execute(
            "CREATE TABLE refinery_schema_history
             (version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255));
             SET application_name = 'suki-receiver'",
        )
        .await
        .unwrap();
    for row in history {
        let made = (
            row.get::<_, i32>(0),
            row.get::<_, String>(1),
            row.get::<_, String>(2),
            row.get::<_, String>(3),
        );
        older
            .execute(
                "INSERT INTO refinery_schema_history VALUES ($1, $2, $3, $4)",
                &[&made.0, &made.1, &made.2, &made.3],
            )
            .await
            .unwrap();
    }
    let ids = |bytes: &[u8]| match bytes.len() {
        16 => format!("'{}'::uuid", hex::encode(bytes)),
        _ => format!("decode('{}', 'hex')", hex::encode(bytes)),
    };
    older.batch_execute(&events_of_v5(ids)).await.unwrap();

    let store = open(&database.url(), clock);
    eventually("it says what it waits for", || async {
        let error = store.check().await.unwrap_err().to_string();
        error.contains("instances of an earlier version")
    })
    .await;
    drop(older);
    ready(&store).await;
    goes_on_from_v5(&store, clock).await;
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
