//! The contract of `Store` for what is announced before it is retrieved, for time that counts, and for late content.

use std::time::Duration;

use suki_receiver::domain::{EventId, EventState, LinkState, Outcome, SessionKind, Source};
use suki_receiver::journal::{
    Amendment, DeliveryEnd, Ended, Held, Link, ReplayFrom, Replayed, Retrieval,
};

use super::contract::{Opened, append, deliver, fetched, id, soon};
use crate::support::{completed, failure};

fn note() -> Vec<u8> {
    completed("s", &[("contents", "/0".to_owned())])
}

fn retry(s: &Opened, tried_for: Duration) -> Retrieval {
    Retrieval::Retry {
        outcome: Outcome::Completed,
        kind: SessionKind::Ambient,
        session_status: None,
        at: s.clock.steady(),
        tried_for,
        reason: "HTTP 404".to_owned(),
        sinks: Vec::new(),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

pub async fn what_nobody_has_worked_on_is_announced_once_and_then_retrieved(s: Opened) {
    let event = id(append(&s.journal, note()).await);
    append(&s.journal, failure("needs no call")).await;
    let claimed = s.store.claim_new(soon(s.clock)).await.unwrap();
    assert_eq!(claimed.len(), 1, "what needs no call is not announced");
    assert_eq!((claimed[0].id, claimed[0].lease.is_first()), (event, true));
    assert!(s.store.claim_new(soon(s.clock)).await.unwrap().is_empty());
    let end = Retrieval::Announced {
        sinks: names(&["lean"]),
        at: s.clock.steady(),
    };
    let held = s
        .store
        .finish_retrieval(claimed[0].lease, vec![], end)
        .await;
    assert_eq!(held.unwrap(), Held::Kept);
    assert!(s.store.claim_new(soon(s.clock)).await.unwrap().is_empty());
    let lean = s
        .store
        .claim_deliveries("lean", soon(s.clock))
        .await
        .unwrap();
    assert_eq!(lean[0].id, event);
    let end = DeliveryEnd::Delivered { at: s.clock.now() };
    let ended = s.store.finish_delivery(lean[0].lease.clone(), end).await;
    assert_eq!(ended.unwrap(), Ended::NotYet, "it is not retrieved yet");
    let claimed = s.store.claim_events(soon(s.clock), 10).await.unwrap();
    let claimed = claimed.iter().find(|claimed| claimed.id == event).unwrap();
    assert_eq!(claimed.attempt, 1, "announcing is no attempt");
    let end = deliver(&["lean", "full"], s.clock);
    s.store
        .finish_retrieval(claimed.lease, vec![fetched(0, "{}")], end)
        .await
        .unwrap();
    let lean = s
        .store
        .claim_deliveries("lean", soon(s.clock))
        .await
        .unwrap();
    assert!(lean.is_empty(), "it has it");
    let full = s
        .store
        .claim_deliveries("full", soon(s.clock))
        .await
        .unwrap();
    let end = DeliveryEnd::Delivered { at: s.clock.now() };
    let ended = s.store.finish_delivery(full[0].lease.clone(), end).await;
    assert_eq!(ended.unwrap(), Ended::Event(EventState::Done));
}

pub async fn the_time_that_was_tried_is_kept_and_a_replay_begins_anew(s: Opened) {
    let event = id(append(&s.journal, note()).await);
    let mut expected = Duration::ZERO;
    for _ in 0..3 {
        let claimed = s
            .store
            .claim_events(soon(s.clock), 10)
            .await
            .unwrap()
            .remove(0);
        assert_eq!(claimed.tried_for, expected);
        expected += Duration::from_millis(1234);
        let end = retry(&s, expected);
        s.store
            .finish_retrieval(claimed.lease, vec![], end)
            .await
            .unwrap();
    }
    let replayed = s
        .store
        .replay(event, ReplayFrom::Retrieve, vec![], "ops".to_owned())
        .await;
    assert_eq!(replayed.unwrap(), Replayed::Scheduled);
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(claimed.tried_for, Duration::ZERO);
}

pub async fn a_dead_event_is_delivered_to_the_sinks_that_are_named(s: Opened) {
    let event = id(append(&s.journal, note()).await);
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    let end = Retrieval::Dead {
        reason: "contents: HTTP 410".to_owned(),
        sinks: names(&["lean"]),
        at: s.clock.steady(),
    };
    s.store
        .finish_retrieval(claimed.lease, vec![], end)
        .await
        .unwrap();
    let lean = s
        .store
        .claim_deliveries("lean", soon(s.clock))
        .await
        .unwrap();
    let document = s.store.document(&lean[0].lease).await.unwrap().unwrap();
    assert_eq!(document.id, event);
    let end = DeliveryEnd::Delivered { at: s.clock.now() };
    let ended = s.store.finish_delivery(lean[0].lease.clone(), end).await;
    assert_eq!(ended.unwrap(), Ended::NotYet, "it stays dead");
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.event.state, EventState::Dead);
    assert_eq!(s.store.inspect().await.unwrap(), [] as [&str; 0]);
}

/// An event that was delivered to `a` without its second link, which is asked for at once.
async fn delivered_without(s: &Opened) -> EventId {
    let event = id(append(&s.journal, note()).await);
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    let mut links = vec![fetched(0, "{\"x\":0}"), fetched(1, "")];
    links[1].link.state = LinkState::Missing;
    links[1].link.reason = Some("HTTP 404".to_owned());
    links[1].body = None;
    let Retrieval::Deliver {
        outcome,
        kind,
        session_status,
        sinks,
        at,
        ..
    } = deliver(&["a"], s.clock)
    else {
        unreachable!("it is one")
    };
    let end = Retrieval::Deliver {
        outcome,
        kind,
        session_status,
        sinks,
        at,
        refresh_at: Some(at),
    };
    s.store
        .finish_retrieval(claimed.lease, links, end)
        .await
        .unwrap();
    let a = s.store.claim_deliveries("a", soon(s.clock)).await.unwrap();
    let end = DeliveryEnd::Delivered { at: s.clock.now() };
    s.store
        .finish_delivery(a[0].lease.clone(), end)
        .await
        .unwrap();
    event
}

fn amendment(s: &Opened, link: &Link) -> Amendment {
    let mut came = fetched(link.n, "{\"x\":1}");
    came.link.href.clone_from(&link.href);
    Amendment {
        id: EventId::generate(),
        received_at: s.clock.now(),
        sinks: names(&["a"]),
        at: s.clock.steady(),
        links: vec![came],
    }
}

pub async fn late_content_goes_out_once_as_an_event_that_replaces_the_first(s: Opened) {
    let first = delivered_without(&s).await;
    let late = s.store.claim_late(soon(s.clock)).await.unwrap().remove(0);
    assert_eq!((late.id, late.outcome), (first, Outcome::Completed));
    assert!(
        s.store.claim_late(soon(s.clock)).await.unwrap().is_empty(),
        "it is leased"
    );
    // Nothing came yet.
    let next = Some(s.clock.steady());
    let kept = s.store.finish_late(late.lease, next, None).await.unwrap();
    assert_eq!(kept, Held::Kept);
    let late = s.store.claim_late(soon(s.clock)).await.unwrap().remove(0);
    let amendment = amendment(&s, &late.links[1]);
    for expected in [Held::Kept, Held::Lost] {
        let again = Some(amendment.clone());
        let held = s.store.finish_late(late.lease, None, again).await.unwrap();
        assert_eq!(held, expected, "it is amended once");
    }
    let a = s.store.claim_deliveries("a", soon(s.clock)).await.unwrap();
    assert_eq!(a.len(), 1);
    let document = s.store.document(&a[0].lease).await.unwrap().unwrap();
    assert_eq!(document.id, amendment.id);
    assert_eq!((document.revision, document.replaces), (2, Some(first)));
    assert_eq!(document.source, Source::Refresh);
    let bodies: Vec<_> = document.resources.iter().map(|r| &r.body[..]).collect();
    assert_eq!(bodies, [&b"{\"x\":0}"[..], b"{\"x\":1}"]);
    assert_eq!(document.missing, []);
    assert_eq!(document.notification, note());
    let end = DeliveryEnd::Delivered { at: s.clock.now() };
    let ended = s.store.finish_delivery(a[0].lease.clone(), end).await;
    assert_eq!(ended.unwrap(), Ended::Event(EventState::Done));
    assert!(s.store.claim_late(soon(s.clock)).await.unwrap().is_empty());
    assert_eq!(s.store.stats().await.unwrap().count(EventState::Done), 2);
    assert_eq!(s.store.inspect().await.unwrap(), [] as [&str; 0]);
}

pub async fn what_was_replayed_or_purged_is_not_amended(s: Opened) {
    let first = delivered_without(&s).await;
    let late = s.store.claim_late(soon(s.clock)).await.unwrap().remove(0);
    s.store
        .replay(first, ReplayFrom::Retrieve, vec![], "ops".to_owned())
        .await
        .unwrap();
    let came = Some(amendment(&s, &late.links[1]));
    let held = s.store.finish_late(late.lease, None, came).await.unwrap();
    assert_eq!(held, Held::Lost);
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    let Retrieval::Deliver { at, .. } = deliver(&[], s.clock) else {
        unreachable!("it is one")
    };
    let end = Retrieval::Deliver {
        outcome: Outcome::Completed,
        kind: SessionKind::Ambient,
        session_status: None,
        sinks: vec![],
        at,
        refresh_at: Some(at),
    };
    s.store
        .finish_retrieval(claimed.lease, vec![], end)
        .await
        .unwrap();
    s.store.purge(first, "ops".to_owned()).await.unwrap();
    assert!(s.store.claim_late(soon(s.clock)).await.unwrap().is_empty());
}
