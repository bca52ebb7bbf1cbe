//! Several instances on one database: each event is worked on once, whoever gets it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use suki_receiver::domain::{Clock, EventId, EventState};
use suki_receiver::journal::{Appended, Expiry, Filter, Held, PostgresStore, Store};
use tokio::time::timeout;

use super::journal;
use crate::journal::contract::{append, deliver, due, id, soon};
use crate::support::{Database, PATIENCE, eventually, failure};

async fn three(database: &Database) -> Vec<Arc<PostgresStore>> {
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Arc::new(database.store(Clock::start()).await));
    }
    stores
}

#[tokio::test]
async fn three_instances_work_on_each_event_once() {
    let database = Database::create().await;
    let stores = three(&database).await;
    let mut kept = HashSet::new();
    for n in 0..60 {
        let journal = journal(&stores[n % 3]);
        kept.insert(id(append(&journal, failure(&format!("s{n}"))).await));
    }
    let worked = join_all(stores.iter().map(|store| work_off(store))).await;
    let all: Vec<EventId> = worked.concat();
    assert_eq!(all.len(), 60, "none twice");
    assert_eq!(all.into_iter().collect::<HashSet<_>>(), kept);
    let stats = stores[0].stats().await.unwrap();
    assert!(stats.events.contains(&(EventState::Done, 60)), "{stats:?}");
    assert_eq!(stores[1].inspect().await.unwrap(), [] as [&str; 0]);
}

/// Claims a few at a time and ends them, beside the others' claims, counts and retention.
async fn work_off(store: &PostgresStore) -> Vec<EventId> {
    let clock = Clock::start();
    let mut worked = Vec::new();
    loop {
        let mut some = soon(clock);
        some.limit = 3;
        let claimed = store.claim_events(some, 3).await.unwrap();
        if claimed.is_empty() {
            return worked;
        }
        for event in claimed {
            let end = deliver(&[], clock);
            let held = store.finish_retrieval(event.lease, vec![], end).await;
            assert_eq!(held.unwrap(), Held::Kept);
            worked.push(event.id);
        }
        let none = Expiry {
            content: 0,
            dead: None,
            quarantined: None,
            receipts: 0,
        };
        store.retain(none, 10).await.unwrap();
    }
}

#[tokio::test]
async fn the_same_notification_at_several_instances_is_one_event_with_one_id() {
    let database = Database::create().await;
    let stores = three(&database).await;
    let sent = stores.iter().enumerate().flat_map(|(number, store)| {
        let journal = journal(store);
        // Each instance gets them in another order.
        (0..40_usize).map(move |n| {
            let (journal, session) = (journal.clone(), format!("s{}", (n * 7 + number * 13) % 40));
            async move { (append(&journal, failure(&session)).await, session) }
        })
    });
    let mut by_session: HashMap<String, Vec<Appended>> = HashMap::new();
    for (appended, session) in join_all(sent).await {
        by_session.entry(session).or_default().push(appended);
    }
    assert_eq!(by_session.len(), 40);
    for (session, answers) in by_session {
        let new = answers
            .iter()
            .filter(|answer| matches!(answer, Appended::New(_)));
        assert_eq!(new.count(), 1, "{session}: {answers:?}");
        let ids: HashSet<EventId> = answers.iter().map(|&answer| id(answer)).collect();
        assert_eq!(ids.len(), 1, "{session}: {answers:?}");
    }
    let page = stores[0].list(Filter::default(), 100, None).await.unwrap();
    assert_eq!(page.events.len(), 40);
}

#[tokio::test]
async fn what_a_killed_instance_held_is_taken_up_when_its_lease_ends() {
    let database = Database::create().await;
    let (killed, other) = (
        Arc::new(database.store(Clock::start()).await),
        database.store(Clock::start()).await,
    );
    let event = id(append(&journal(&killed), failure("s")).await);
    let clock = Clock::start();
    let lease = Duration::from_secs(3);
    let held = killed
        .claim_events(due(clock, Duration::from_millis(5), lease), 10)
        .await
        .unwrap();
    assert_eq!(held[0].id, event);
    // As by a kill: nothing is given back, and nothing is closed.
    drop(killed);
    let early = other.claim_events(soon(clock), 10).await.unwrap();
    assert!(early.is_empty(), "the lease still stands");
    eventually("the lease ends", || async {
        let taken = other.claim_events(soon(clock), 10).await.unwrap();
        taken
            .iter()
            .any(|taken| taken.id == event && taken.attempt == 2)
    })
    .await;
}

#[tokio::test]
async fn what_one_instance_keeps_wakes_the_others_and_not_itself() {
    let database = Database::create().await;
    let (one, other) = (
        Arc::new(database.store(Clock::start()).await),
        Arc::new(database.store(Clock::start()).await),
    );
    let of_one = id(append(&journal(&one), failure("of-one")).await);
    assert_eq!(timeout(PATIENCE, other.announced()).await, Ok(of_one));
    let of_other = id(append(&journal(&other), failure("of-other")).await);
    assert_eq!(
        timeout(PATIENCE, one.announced()).await,
        Ok(of_other),
        "the first that it hears is not its own"
    );
}
