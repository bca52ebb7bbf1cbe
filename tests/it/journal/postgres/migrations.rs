//! The schema: brought up to date once, and never taken away from an older version that still runs.

use std::sync::Arc;

use futures_util::future::join_all;
use suki_receiver::config::{self, PostgresUrl};
use suki_receiver::domain::Clock;
use suki_receiver::journal::{Access, Filter, PostgresStore, Records, Store};
use suki_receiver::metrics::Metrics;

use super::journal;
use crate::journal::contract::append;
use crate::journal::upgrade::{Dialect, goes_on_from_v5, is_no_work_any_more};
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

const POSTGRES: Dialect = Dialect {
    bytes: |bytes| format!("decode('{}', 'hex')", hex::encode(bytes)),
    id: |id| format!("'{}'::uuid", hex::encode(id)),
};

/// A database of that version with this in it, and a connection of an instance of that version.
async fn a_database_of_v3(sql: &str) -> (Database, tokio_postgres::Client) {
    let (fresh, database) = (Database::create().await, Database::create().await);
    fresh.store(Clock::start()).await.close().await;
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
    older.batch_execute(sql).await.unwrap();
    (database, older)
}

#[tokio::test]
async fn a_database_from_before_the_queue_is_brought_over_once_the_older_instances_have_ended() {
    let clock = Clock::start();
    let (database, older) = a_database_of_v3(&POSTGRES.events_of_v5()).await;
    let store = Arc::new(open(&database.url(), clock));
    eventually("it says what it waits for", || async {
        let error = store.check().await.unwrap_err().to_string();
        error.contains("instances of an earlier version")
    })
    .await;
    let is_old = "SELECT to_regclass('work') IS NULL AND to_regclass('events') IS NOT NULL";
    let is_old = older.query_one(is_old, &[]).await.unwrap();
    assert!(is_old.get::<_, bool>(0), "the older one goes on meanwhile");
    drop(older);
    ready(&store).await;
    goes_on_from_v5(store, clock).await;
}

#[tokio::test]
async fn what_had_lost_its_content_before_the_queue_is_no_work_any_more() {
    let clock = Clock::start();
    let (database, older) = a_database_of_v3(&POSTGRES.purged_of_v5()).await;
    drop(older);
    let store = open(&database.url(), clock);
    ready(&store).await;
    is_no_work_any_more(&store, clock).await;
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
