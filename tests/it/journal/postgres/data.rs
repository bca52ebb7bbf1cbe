//! What PostgreSQL cannot store as it comes, refuses, or could be told to keep less safely.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use suki_receiver::domain::Clock;
use suki_receiver::journal::{Appended, Filter, Received, Records, Store, Task, Wanted};
use tokio_postgres::Client;

use super::journal;
use crate::journal::contract::{
    append, claim_events, deliver, end, fetched, id, only, soon, verified,
};
use crate::support::{Database, eventually, failure};

#[tokio::test]
async fn text_with_the_character_that_postgresql_has_not_is_kept_and_the_body_as_it_came() {
    let database = Database::create().await;
    let (store, clock) = (
        Arc::new(database.store(Clock::start()).await),
        Clock::start(),
    );
    let journal = journal(&store);
    let body = |zero: &str| {
        format!(
            r#"{{"session_id":"s{zero}x","encounter_id":"e{zero}","status":"su{zero}","_links":{{"contents":[{{"href":"/a{zero}"}}]}}}}"#
        )
        .into_bytes()
    };
    let event = append(&journal, body("\\u0000")).await;
    assert_eq!(
        append(&journal, body("\\u0000")).await,
        Appended::Duplicate(id(event))
    );
    let replaced = append(&journal, body("\u{FFFD}")).await;
    assert!(
        matches!(replaced, Appended::New(_)),
        "another content is another event, though its columns look the same"
    );
    let kept = store.payload(id(event)).await.unwrap().unwrap();
    assert_eq!(kept, body("\\u0000"));

    let claimed = claim_events(&*store, clock).await.remove(0);
    let mut link = fetched(0, "{}");
    link.link.href = "/a\0".to_owned();
    link.link.reason = Some("r\0".to_owned());
    end(&*store, &claimed.lease, deliver(&["a"], vec![link])).await;
    let filter = Filter {
        session_id: Some("s\0x".to_owned()),
        encounter_id: Some("e\0".to_owned()),
        ..Filter::default()
    };
    assert_eq!(store.list(filter, 10, None).await.unwrap().events.len(), 2);
}

#[tokio::test]
async fn an_encounter_id_of_any_length_is_kept_worked_on_and_found() {
    let database = Database::create().await;
    let (store, clock) = (
        Arc::new(database.store(Clock::start()).await),
        Clock::start(),
    );
    // Random, so that it is no shorter when it is compressed.
    let long: String = (0..500)
        .map(|_| hex::encode(rand::random::<[u8; 32]>()))
        .collect();
    let body = format!(r#"{{"session_id":"s","status":"failure","encounter_id":"{long}"}}"#);
    append(&journal(&store), body.into_bytes()).await;
    only(claim_events(&*store, clock).await);
    let filter = Filter {
        encounter_id: Some(long),
        ..Filter::default()
    };
    assert_eq!(store.list(filter, 10, None).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn an_event_that_is_refused_takes_no_other_with_it_and_is_not_quoted() {
    let database = Database::create().await;
    let store = Arc::new(database.store(Clock::start()).await);
    database
        .client()
        .await
        .batch_execute(
            "ALTER TABLE receipts ADD CONSTRAINT refused CHECK (session_id <> 'Mrs Smith')",
        )
        .await
        .unwrap();
    let journal = journal(&store);
    let sent = (0..20).map(|n| {
        let name = if n == 7 {
            "Mrs Smith".to_owned()
        } else {
            format!("s{n}")
        };
        let journal = journal.clone();
        async move {
            let now = Clock::start().now();
            let received = Received::read(&verified(failure(&name)), now, false);
            journal.append(&received).await.map(|kept| kept.appended)
        }
    });
    let (kept, refused): (Vec<_>, Vec<_>) =
        join_all(sent).await.into_iter().partition(Result::is_ok);
    assert_eq!((kept.len(), refused.len()), (19, 1));
    let error = refused.into_iter().next().unwrap().unwrap_err();
    assert!(!error.is_outage(), "{error}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("23514"), "{shown}");
    assert!(!shown.contains("Smith"), "{shown}");
}

#[tokio::test]
async fn a_commit_is_on_disk_whatever_the_database_or_role_is_set_to() {
    let database = Database::create().await;
    let url = url::Url::parse(&database.url()).unwrap();
    let name = url.path().trim_start_matches('/');
    let admin = database.client().await;
    admin
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET synchronous_commit = off;
             ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
        ))
        .await
        .unwrap();
    let store = Arc::new(database.store(Clock::start()).await);
    admin
        .batch_execute(
            "CREATE TABLE seen (setting text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                INSERT INTO seen VALUES (current_setting('synchronous_commit')),
                    (current_setting('transaction_isolation')); RETURN NULL; END $$;
             CREATE TRIGGER see AFTER INSERT ON receipts FOR EACH STATEMENT EXECUTE FUNCTION see()",
        )
        .await
        .unwrap();
    append(&journal(&store), failure("s")).await;
    let seen = admin.query("SELECT setting FROM seen", &[]).await.unwrap();
    let seen: Vec<String> = seen.iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, ["on", "read committed"]);
}

#[tokio::test]
async fn a_large_body_comes_out_as_it_went_in() {
    let database = Database::create().await;
    let store = Arc::new(database.store(Clock::start()).await);
    let note = "n".repeat(1 << 20);
    let body = format!(r#"{{"session_id":"s","status":"failure","note":"{note}"}}"#);
    let event = id(append(&journal(&store), body.clone().into_bytes()).await);
    let kept = store.payload(event).await.unwrap();
    assert!(kept == Some(Bytes::from(body)), "not as it went in");
}

/// How many entries of this table's indexes were read, once more than `least` are reported: a connection reports what it
/// has read when it is closed.
async fn entries_read(admin: &Client, table: &str, least: i64) -> i64 {
    let read = async || {
        let read =
            "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = $1::text";
        let row = admin.query_one(read, &[&table]).await.unwrap();
        row.get::<_, i64>(0)
    };
    eventually("the reads are reported", || async { read().await > least }).await;
    read().await
}

#[tokio::test]
async fn a_claim_reads_no_receipts_but_those_of_its_sessions() {
    let database = Database::create().await;
    let (store, clock) = (
        Arc::new(database.store(Clock::start()).await),
        Clock::start(),
    );
    let journal = journal(&store);
    let admin = database.client().await;
    let (rounds, size): (i64, i64) = (40, 100);
    // The first claims are planned while there are few receipts; the plans are kept while there are more and more.
    for round in 0..rounds {
        let sent = (0..size).map(|n| append(&journal, failure(&format!("{round}-{n}"))));
        join_all(sent).await;
        let few = "DELETE FROM work WHERE event <= (SELECT max(event) - 5 FROM work)";
        admin.execute(few, &[]).await.unwrap();
        assert_eq!(claim_events(&*store, clock).await.len(), 5);
    }
    store.close().await;
    let read = entries_read(&admin, "receipts", 0).await;
    assert!(read < 2 * rounds * size, "{read} entries were read");
}

#[tokio::test]
async fn a_claim_reads_no_more_of_a_backlog_than_it_takes() {
    let database = Database::create().await;
    let (store, clock) = (
        Arc::new(database.store(Clock::start()).await),
        Clock::start(),
    );
    let journal = journal(&store);
    let admin = database.client().await;
    let (claims, size) = (150, 10);
    let sent = (0..claims * size).map(|n| append(&journal, failure(&n.to_string())));
    join_all(sent).await;
    for _ in 0..claims {
        let wanted = Wanted {
            limit: size,
            ..soon(clock, &[Task::Forward])
        };
        assert_eq!(store.claim(wanted).await.unwrap().len(), size);
    }
    store.close().await;
    let least = i64::try_from(claims * size).unwrap();
    let read = entries_read(&admin, "work", least).await;
    // If each claim read the whole backlog, this would be 112,500 more.
    assert!(read < 50_000, "{read} entries were read");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_holds_up_no_other() {
    let database = Database::create().await;
    let (store, clock) = (
        Arc::new(database.store(Clock::start()).await),
        Clock::start(),
    );
    for session in ["a", "b"] {
        append(&journal(&store), failure(session)).await;
    }
    let newer = "UPDATE receipts SET outcome = 'a word of a later version' WHERE session_id = 'a'";
    database.client().await.execute(newer, &[]).await.unwrap();

    let claimed = only(claim_events(&*store, clock).await);
    assert_eq!(claimed.receipt.session_id.as_str(), "b");
    assert_eq!(store.held().await.unwrap(), [claimed.lease], "nothing else");
}
