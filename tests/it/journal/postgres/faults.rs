//! A server or a network that is not there, goes away, or says nothing.

use std::sync::Arc;
use std::time::Duration;

use suki_receiver::domain::Clock;
use suki_receiver::journal::{
    Appended, AuditEntry, AuditFilter, Error, Filter, Journal, PostgresStore, Received, Records,
    Store,
};
use suki_receiver::lab::simulator::Proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::journal;
use crate::journal::contract::{EVENTS, append, due, verified};
use crate::support::{Database, eventually, failure, open, open_with, ready};

async fn behind_a_proxy(database: &Database) -> (Proxy, Arc<PostgresStore>) {
    let proxy = Proxy::start(database.address()).await.unwrap();
    let store = Arc::new(open(&database.url_by(proxy.address()), Clock::start()));
    (proxy, store)
}

async fn try_append(journal: &Journal, session: &str) -> Result<Appended, Error> {
    let received = Received::read(&verified(failure(session)), Clock::start().now(), false);
    journal.append(&received).await.map(|kept| kept.appended)
}

async fn works_again(journal: &Journal) {
    eventually("the store takes writes again", || async {
        try_append(journal, "again").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn it_opens_while_the_server_is_down_and_works_when_it_is_there() {
    let database = Database::create().await;
    let proxy = Proxy::start(database.address()).await.unwrap();
    proxy.cut();
    let store = Arc::new(open(&database.url_by(proxy.address()), Clock::start()));
    let journal = journal(&store);
    let error = try_append(&journal, "s").await.unwrap_err();
    assert!(error.is_outage(), "{error}");
    proxy.restore();
    works_again(&journal).await;
}

#[tokio::test]
async fn a_batch_that_nobody_waits_for_any_more_makes_room_for_the_next() {
    let database = Database::create().await;
    let store = Arc::new(database.store(Clock::start()).await);
    let (journal, _inbox) = Journal::new(store.clone(), Duration::from_secs(1), 1, Clock::start());
    append(&journal, failure("one")).await;
    append(&journal, failure("two")).await;
    // Whoever keeps one of them again has to wait for what becomes of this.
    let client = database.client().await;
    client
        .batch_execute("BEGIN; DELETE FROM receipts")
        .await
        .unwrap();
    for name in ["one", "two"] {
        let late = try_append(&journal, name).await;
        assert!(matches!(late, Err(Error::Deadline)), "{late:?}");
    }
    // As many batches hang as there may be at once.
    try_append(&journal, "three").await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    assert!(matches!(
        append(&journal, failure("one")).await,
        Appended::Duplicate(_)
    ));
}

#[tokio::test]
async fn after_a_cut_it_connects_again() {
    let database = Database::create().await;
    let (proxy, store) = behind_a_proxy(&database).await;
    ready(&store).await;
    let journal = journal(&store);
    append(&journal, failure("before")).await;
    proxy.cut();
    let error = try_append(&journal, "during").await.unwrap_err();
    assert!(error.is_outage(), "{error}");
    proxy.restore();
    works_again(&journal).await;
}

#[tokio::test]
async fn a_server_that_ends_every_connection_is_connected_to_again() {
    let database = Database::create().await;
    let store = Arc::new(database.store(Clock::start()).await);
    append(&journal(&store), failure("before")).await;
    database
        .client()
        .await
        .batch_execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        .await
        .unwrap();
    works_again(&journal(&store)).await;
}

#[tokio::test]
async fn while_nothing_moves_an_append_ends_at_its_deadline_and_then_all_goes_on() {
    let database = Database::create().await;
    let (proxy, store) = behind_a_proxy(&database).await;
    ready(&store).await;
    let shared: Arc<dyn Store> = store.clone();
    let (journal, _) = Journal::new(shared, Duration::from_millis(300), 1, Clock::start());
    append(&journal, failure("before")).await;
    proxy.stall();
    let error = try_append(&journal, "during").await.unwrap_err();
    assert!(matches!(error, Error::Deadline), "{error}");
    proxy.restore();
    eventually("the same can be sent again", || async {
        try_append(&journal, "during").await.is_ok()
    })
    .await;
    let page = store.list(Filter::default(), 10, None).await.unwrap();
    assert_eq!(page.events.len(), 2, "once each");
}

#[tokio::test]
async fn a_call_that_is_dropped_in_the_middle_leaves_no_connection_in_its_state() {
    let database = Database::create().await;
    let store = database.store(Clock::start()).await;
    let mut client = database.client().await;
    let lock = client.transaction().await.unwrap();
    lock.batch_execute("LOCK TABLE audit").await.unwrap();
    // As many as there are connections, each cut off while the server makes it wait.
    for _ in 0..4 {
        let entry = AuditEntry {
            reason: None,
            at: Clock::start().now(),
            actor: "ops".to_owned(),
            action: "read".to_owned(),
            event: None,
        };
        let cut_off = tokio::time::timeout(Duration::from_millis(200), store.audit(entry)).await;
        assert!(cut_off.is_err(), "it waits for the lock");
    }
    let others = tokio::time::timeout(Duration::from_secs(5), store.check()).await;
    others
        .expect("no other call waits behind what was cut off")
        .unwrap();
}

#[tokio::test]
async fn a_listener_whose_connection_is_half_closed_notices_and_listens_again() {
    let database = Database::create().await;
    let (proxy, listener) = behind_a_proxy(&database).await;
    ready(&listener).await;
    let other = Arc::new(database.store(Clock::start()).await);
    proxy.half_close();
    let heard = tokio::spawn(async move { listener.announced().await });
    let journal = journal(&other);
    let mut number = 0;
    eventually("it hears the other instance again", || {
        number += 1;
        let (journal, session) = (journal.clone(), format!("s{number}"));
        let is_heard = heard.is_finished();
        async move {
            append(&journal, failure(&session)).await;
            is_heard
        }
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_by_its_error() {
    let database = Database::create().await;
    let url = format!("{}_of_nobody", database.url());
    let store = open(&url, Clock::start());
    eventually("the reason is told", || async {
        let error = store.check().await.unwrap_err();
        error.is_outage()
            && error.to_string().contains("3D000")
            && error.to_string().contains("does not exist")
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_named_by_its_error_and_not_shown() {
    // A server that refuses whoever comes: the tests' own lets everyone in.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let read = client.read(&mut [0; 1024]).await;
            assert!(read.is_ok_and(|read| read > 0), "who comes says who it is");
            let fields = b"SFATAL\0C28P01\0Mpassword authentication failed for user \"u\"\0\0";
            let mut refusal = vec![b'E'];
            refusal.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
            refusal.extend(fields);
            client.write_all(&refusal).await.ok();
        }
    });
    let url = format!("postgres://u:open-sesame@{address}/d");
    let store = open(&url, Clock::start());
    eventually("the reason is told", || async {
        let error = store.check().await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("sesame"), "{shown}");
        shown.contains("28P01") && shown.contains("password authentication failed")
    })
    .await;
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_read_is_an_error_at_once() {
    let settings = suki_receiver::config::Store {
        ca_file: Some("/nowhere/ca.pem".into()),
        ..suki_receiver::config::Store::default()
    };
    let error = open_with(&settings, "postgres://u@db.example/d", Clock::start()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[tokio::test]
async fn looks_of_operators_that_hang_hold_up_neither_the_health_check_nor_the_work_nor_an_append()
{
    let database = Database::create().await;
    let store = Arc::new(database.store(Clock::start()).await);
    let (journal, clock) = (journal(&store), Clock::start());
    let other = database.client().await;
    other
        .batch_execute("BEGIN; LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let mut looks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let store = Arc::clone(&store);
        looks.spawn(async move { store.audit_log(AuditFilter::default(), 10, None).await });
    }
    eventually("some of them hang", || async {
        let waiting = other
            .query_one("SELECT count(*) FROM pg_locks WHERE NOT granted", &[])
            .await
            .unwrap();
        waiting.get::<_, i64>(0) >= 4
    })
    .await;
    let work = async {
        for n in 0..5 {
            store.check().await.unwrap();
            try_append(&journal, &format!("s{n}")).await.unwrap();
        }
        let due = due(clock, Duration::from_secs(1), &EVENTS);
        assert_eq!(store.claim(due).await.unwrap().len(), 5);
    };
    tokio::time::timeout(Duration::from_secs(4), work)
        .await
        .expect("nothing waits for them");
    looks.abort_all();
    other.batch_execute("ROLLBACK").await.unwrap();
    let log = store
        .audit_log(AuditFilter::default(), 10, None)
        .await
        .unwrap();
    assert!(log.entries.is_empty());
    store.close().await;
}
