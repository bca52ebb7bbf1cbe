//! Several instances on one database: each event is worked on once, whoever gets it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use suki_receiver::domain::{Clock, EventId, EventState};
use suki_receiver::journal::{
    Appended, Ended, Expiry, Filter, Pauses, PostgresStore, Records, Store,
};
use tokio::time::timeout;

use super::journal;
use crate::journal::contract::{
    EVENTS, append, claim_deliveries, claim_events, deliver, end, events, id, kept, only, soon,
};
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
        let mut some = soon(clock, &EVENTS);
        some.limit = 3;
        let claimed = events(store.claim(some).await.unwrap());
        if claimed.is_empty() {
            return worked;
        }
        for event in claimed {
            let ended = end(store, &event.lease, deliver(&[], Vec::new())).await;
            assert_eq!(ended, kept(Some(EventState::Done)));
            worked.push(event.receipt.id);
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

/// Has all instances seen for the last time so long ago. Those that live say so again within seconds.
async fn age_all(database: &Database, seconds: i64) {
    let client = database.client().await;
    let aged = "UPDATE instances SET seen_at = seen_at - $1::bigint * 1000";
    client.execute(aged, &[&seconds]).await.unwrap();
}

#[tokio::test]
async fn what_an_instance_holds_that_is_gone_is_taken_over_and_it_writes_no_more() {
    let database = Database::create().await;
    let (gone, other) = (
        Arc::new(database.store(Clock::start()).await),
        database.store(Clock::start()).await,
    );
    let clock = Clock::start();
    let event = id(append(&journal(&gone), failure("s")).await);
    let held = only(claim_events(&*gone, clock).await);
    assert_eq!(held.receipt.id, event);
    assert!(claim_events(&other, clock).await.is_empty(), "it lives");
    eventually("the other one takes it over", || async {
        age_all(&database, 60).await;
        let taken = claim_events(&other, clock).await;
        taken.iter().any(|taken| taken.receipt.id == event)
    })
    .await;
    let late = end(&*gone, &held.lease, deliver(&[], Vec::new())).await;
    assert_eq!(late, Ended::Lost);
}

#[tokio::test]
async fn what_a_closed_instance_held_is_taken_over_at_once() {
    let database = Database::create().await;
    let (closed, other) = (
        Arc::new(database.store(Clock::start()).await),
        database.store(Clock::start()).await,
    );
    let clock = Clock::start();
    append(&journal(&closed), failure("s")).await;
    only(claim_events(&*closed, clock).await);
    closed.close().await;
    eventually("the other one takes it over", || async {
        !claim_events(&other, clock).await.is_empty()
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

#[tokio::test]
async fn a_pause_by_one_instance_holds_for_the_others_and_so_does_its_end() {
    let database = Database::create().await;
    let (stores, clock) = (three(&database).await, Clock::start());
    append(&journal(&stores[0]), failure("s1")).await;
    let event = only(claim_events(&*stores[0], clock).await);
    let planned = deliver(&["ehr"], Vec::new());
    end(&*stores[0], &event.lease, planned).await;
    let (sink, actor) = ("ehr".to_owned(), "ops".to_owned());
    let before = stores[1].pause(sink.clone(), actor, None).await.unwrap();
    assert_eq!(before, None);
    for store in &stores {
        assert_eq!(store.paused().await.unwrap().len(), 1);
        assert!(claim_deliveries(&**store, "ehr", clock).await.is_empty());
    }
    stores[2].resume(sink).await.unwrap();
    only(claim_deliveries(&*stores[0], "ehr", clock).await);
}
