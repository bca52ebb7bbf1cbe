//! What an instance holds is its own for as long as it lives, until it ends it or gives it back.

use std::time::Duration;

use suki_receiver::domain::{Cause, EventState, Reason};
use suki_receiver::journal::{DeliveryEnd, End, Ended, How, Retrieval, Task, Wanted};
use tokio::time::timeout;

use super::*;
use crate::support::{PATIENCE, completed, failure};

const HOUR: Duration = Duration::from_secs(3600);

fn note(session: &str) -> Vec<u8> {
    completed(session, &[("contents", "/0".to_owned())])
}

pub async fn what_is_claimed_is_claimed_by_nobody_else_however_long_it_takes(s: Opened) {
    s.delivering("delivering", &["a"]).await;
    append(&s.journal, failure("s")).await;
    let (event, delivery) = (s.event().await, s.delivery("a").await);
    let mut tasks = EVENTS.to_vec();
    tasks.push(to("a"));
    let claimed = s.store.claim(due(s.clock, HOUR, &tasks)).await.unwrap();
    assert!(claimed.is_empty(), "{claimed:?}");
    let held = s.store.held().await.unwrap();
    assert_eq!(held.len(), 2);
    assert!(held.contains(&event.lease) && held.contains(&delivery.lease));
    let ended = s.end(&delivery.lease, s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    assert_eq!(s.store.held().await.unwrap(), [event.lease]);
}

pub async fn no_more_is_claimed_than_is_wanted_of_a_kind_and_of_all(s: Opened) {
    for n in 0..3 {
        append(&s.journal, note(&format!("with{n}"))).await;
        append(&s.journal, failure(&format!("without{n}"))).await;
    }
    let wanted = |most| Wanted {
        now: s.clock.monotonic_in(Duration::from_millis(5)),
        tasks: vec![
            (vec![Task::Forward], 2),
            (vec![Task::New, Task::Retrieve], most),
        ],
        limit: 3,
    };
    let tasks = async |most| {
        let claimed = s.store.claim(wanted(most)).await.unwrap();
        let tasks = claimed.iter().map(|it| it.lease().task().clone());
        tasks.collect::<Vec<_>>()
    };
    assert_eq!(tasks(9).await, [Task::Forward, Task::Forward, Task::New]);
    assert_eq!(tasks(0).await, [Task::Forward]);
    assert_eq!(tasks(9).await, [Task::New, Task::New]);
    assert_eq!(tasks(9).await, []);
}

pub async fn what_is_due_first_is_claimed_first(s: Opened) {
    let (mut waits, now) = (Duration::ZERO, s.clock.monotonic());
    s.delivering("later", &["a"]).await;
    s.delivering("sooner", &["a"]).await;
    let mut due_first = None;
    for delivery in s.deliveries("a").await {
        // The one that was claimed last is due first.
        waits += Duration::from_secs(1);
        due_first = Some(delivery.document.id);
        let at = now - i64::try_from(waits.as_millis()).unwrap();
        let reason = Reason::new(Cause::Internal, "down");
        s.end(&delivery.lease, DeliveryEnd::Retry { at, reason })
            .await;
    }
    let one = Wanted {
        limit: 1,
        ..soon(s.clock, &[to("a")])
    };
    let claimed = only(deliveries(s.store.claim(one).await.unwrap()));
    assert_eq!(Some(claimed.document.id), due_first);
}

pub async fn what_is_handed_over_at_its_receipt_is_held_and_ends_like_the_rest(mut s: Opened) {
    s.inbox.admission.set_open(true);
    let event = id(append(&s.journal, note("s")).await);
    let (handed, _place) = s.inbox.events.try_recv().unwrap();
    assert_eq!((handed.receipt.id, handed.attempt), (event, 1));
    assert_eq!(handed.receipt.body, note("s"));
    assert_eq!(handed.lease.task(), &Task::New);
    assert!(handed.notification.is_some() && handed.found.links.is_empty());
    assert_eq!(
        s.store.held().await.unwrap(),
        std::slice::from_ref(&handed.lease)
    );
    assert!(s.events().await.is_empty());
    assert_eq!(s.state(event).await, EventState::Retrieving);
    let ended = s
        .end(&handed.lease, deliver(&["a"], vec![fetched(0, "{}")]))
        .await;
    assert_eq!(ended, kept(None));
    let ended = s.make("a", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    s.is_well().await;
}

pub async fn what_there_is_no_room_for_is_left_to_be_claimed(mut s: Opened) {
    s.inbox.admission.set_open(true);
    let mut handed = Vec::new();
    for n in 0..ROOM {
        append(&s.journal, failure(&format!("s{n}"))).await;
        handed.push(s.inbox.events.try_recv().unwrap());
    }
    let left = id(append(&s.journal, failure("left")).await);
    assert!(s.inbox.events.try_recv().is_err());
    rings(&s).await;
    assert_eq!(s.event().await.receipt.id, left);
    handed.pop();
    append(&s.journal, failure("next")).await;
    assert!(s.inbox.events.try_recv().is_ok(), "there is room again");
}

async fn rings(s: &Opened) {
    let rings = timeout(PATIENCE, s.inbox.wakeup.notified()).await;
    rings.expect("the worker is told");
}

pub async fn a_duplicate_is_handed_over_to_nobody(mut s: Opened) {
    s.inbox.admission.set_open(true);
    append(&s.journal, failure("s")).await;
    let _first = s.inbox.events.try_recv().unwrap();
    for _ in 0..ROOM {
        append(&s.journal, failure("s")).await;
        assert!(s.inbox.events.try_recv().is_err());
    }
    quarantine(&s.journal, b"junk").await;
    assert!(s.inbox.events.try_recv().is_err(), "nor is what is none");
    assert_eq!(s.store.held().await.unwrap().len(), 1);
    append(&s.journal, failure("other")).await;
    assert!(s.inbox.events.try_recv().is_ok(), "they take no room");
}

pub async fn while_nothing_is_let_in_all_is_claimed(mut s: Opened) {
    append(&s.journal, failure("s")).await;
    assert!(s.inbox.events.try_recv().is_err());
    rings(&s).await;
    assert!(s.store.held().await.unwrap().is_empty());
    assert_eq!(s.events().await.len(), 1);
}

pub async fn what_whoever_retrieved_it_delivers_is_held_at_once(s: Opened) {
    append(&s.journal, failure("s")).await;
    let claimed = s.event().await;
    let mut end = deliver_at_once(&["a", "b"], vec![]);
    if let Retrieval::Deliver { sinks, .. } = &mut end {
        sinks[1].is_held = false;
    }
    let Ended::Kept {
        event, deliveries, ..
    } = s.end(&claimed.lease, end).await
    else {
        panic!("the lease stood");
    };
    assert_eq!(event, None);
    let held = only(deliveries);
    assert_eq!(held.task(), &to("a"));
    assert_eq!(s.store.held().await.unwrap(), std::slice::from_ref(&held));
    assert!(s.deliveries("a").await.is_empty());
    assert_eq!(s.end(&held, s.delivered()).await, kept(None));
    let ended = s.make("b", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
}

async fn give_back(s: &Opened, lease: &Lease, ahead: Duration) {
    let at = s.clock.monotonic_in(ahead);
    let given = s.store.give_back(vec![lease.clone()], at).await;
    given.unwrap();
}

pub async fn what_is_given_back_is_due_at_once(s: Opened) {
    append(&s.journal, note("s")).await;
    let held = s.event().await;
    give_back(&s, &held.lease, Duration::ZERO).await;
    assert!(s.store.held().await.unwrap().is_empty());
    let again = s.event().await;
    assert_eq!(again.attempt, 1, "one that was cut short does not count");
    assert_eq!(again.lease.task(), &Task::New, "nobody has looked at it");
    let ended = s.end(&held.lease, deliver(&[], vec![])).await;
    assert_eq!(ended, Ended::Lost);
    let ended = s.end(&again.lease, How::GivenBack).await;
    assert_eq!(ended, kept(None));
    assert_eq!(s.event().await.attempt, 1);
}

pub async fn a_delivery_that_was_given_back_is_made_by_the_next_one_alone(s: Opened) {
    s.delivering("s", &["a"]).await;
    let first = s.delivery("a").await;
    give_back(&s, &first.lease, Duration::ZERO).await;
    assert_eq!(s.end(&first.lease, s.delivered()).await, Ended::Lost);
    let second = s.delivery("a").await;
    assert_eq!((second.attempt, second.document.id), (1, first.document.id));
    assert_eq!(s.end(&first.lease, dead()).await, Ended::Lost);
    give_back(&s, &first.lease, Duration::ZERO).await;
    let ended = s.end(&second.lease, s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)), "it was not taken away");
}

pub async fn what_is_given_back_waits_until_then(s: Opened) {
    append(&s.journal, note("s")).await;
    let held = s.event().await;
    give_back(&s, &held.lease, HOUR).await;
    assert!(s.events().await.is_empty());
    let later = due(s.clock, HOUR + Duration::from_secs(1), &EVENTS);
    assert_eq!(s.store.claim(later).await.unwrap().len(), 1);
}

pub async fn what_is_held_though_nobody_works_on_it_is_given_back_at_the_second_look(s: Opened) {
    append(&s.journal, note("s")).await;
    // Past the journal, as when the answer to its claim is lost.
    let lost = s.event().await;
    assert_eq!(s.journal.reconcile().await.unwrap(), 0, "it may still come");
    assert_eq!(s.journal.reconcile().await.unwrap(), 1);
    rings(&s).await;
    assert_eq!(s.event().await.attempt, 1);
    let ended = s.end(&lost.lease, deliver(&[], vec![])).await;
    assert_eq!(ended, Ended::Lost);
}

/// An event of which the journal knows that it is worked on.
async fn worked_on(s: &Opened) -> Lease {
    append(&s.journal, note("s")).await;
    let claimed = s.journal.claim(soon(s.clock, &EVENTS)).await.unwrap();
    only(events(claimed)).lease
}

pub async fn what_is_abandoned_is_given_back_at_the_next_look(s: Opened) {
    let lease = worked_on(&s).await;
    s.journal.abandon(&lease);
    assert_eq!(s.journal.reconcile().await.unwrap(), 1);
    assert_eq!(s.events().await.len(), 1);
}

pub async fn what_is_worked_on_is_given_back_by_no_look(mut s: Opened) {
    s.inbox.admission.set_open(true);
    append(&s.journal, failure("handed over")).await;
    let _handed = s.inbox.events.try_recv().unwrap();
    s.inbox.admission.set_open(false);
    let lease = worked_on(&s).await;
    let how = How::Retrieval(Box::new(deliver_at_once(&["a"], vec![])));
    let nothing = async || {
        for _ in 0..3 {
            assert_eq!(s.journal.reconcile().await.unwrap(), 0);
        }
    };
    nothing().await;
    let ended = s
        .journal
        .finish(vec![End {
            lease,
            how,
            took: std::time::Duration::ZERO,
            instance: "one".into(),
        }])
        .await
        .unwrap();
    assert!(matches!(&ended[0], Ended::Kept { deliveries, .. } if deliveries.len() == 1));
    nothing().await;
    assert_eq!(s.store.held().await.unwrap().len(), 2);
}

pub async fn all_that_is_held_is_released(mut s: Opened) {
    s.inbox.admission.set_open(true);
    append(&s.journal, failure("handed over")).await;
    let _handed = s.inbox.events.try_recv().unwrap();
    s.inbox.admission.set_open(false);
    worked_on(&s).await;
    s.journal.release().await.unwrap();
    assert!(s.store.held().await.unwrap().is_empty());
    let again = s.events().await;
    assert_eq!(
        again.iter().map(|it| it.attempt).collect::<Vec<_>>(),
        [1, 1]
    );
}
