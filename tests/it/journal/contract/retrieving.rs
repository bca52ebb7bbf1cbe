//! From the receipt to every sink.

use std::time::Duration;

use suki_receiver::domain::{Cause, EventState, LinkState, Reason, SessionKind};
use suki_receiver::journal::{
    Appended, DeliveryEnd, End, Ended, Filter, How, Lease, ReplayFrom, Retrieval, Task,
};

use super::*;
use crate::support::{completed, failure};

fn note(session: &str) -> Vec<u8> {
    completed(session, &[("contents", "/0".to_owned())])
}

pub async fn an_event_goes_from_receipt_to_done(s: Opened) {
    let body = note("s");
    let event = id(append(&s.journal, body.clone()).await);
    let claimed = s.event().await;
    assert_eq!(claimed.receipt.id, event);
    assert_eq!(claimed.receipt.body, body);
    assert_eq!((claimed.attempt, claimed.found.links.len()), (1, 0));
    assert_eq!(claimed.lease.task(), &Task::New);
    let links = vec![fetched(0, "{\"x\":1}"), missing(1), fetched(2, "[2]")];
    let ended = s.end(&claimed.lease, deliver(&["a"], links)).await;
    assert_eq!(ended, kept(None));
    let delivery = s.delivery("a").await;
    let document = &delivery.document;
    assert_eq!(document.id, event);
    assert_eq!(document.notification.as_deref(), Some(&body[..]));
    let resources = document.resources.iter();
    let resources: Vec<_> = resources.map(|resource| &resource.body[..]).collect();
    assert_eq!(resources, [&b"{\"x\":1}"[..], b"[2]"]);
    assert_eq!(document.missing[0].href, "/1");
    assert_eq!(document.session_status.as_deref(), Some("completed"));
    let ended = s.end(&delivery.lease, s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    assert_eq!(s.state(event).await, EventState::Done);
    assert!(s.events().await.is_empty());
    assert!(s.deliveries("a").await.is_empty());
    assert!(s.store.held().await.unwrap().is_empty());
}

pub async fn what_was_done_for_an_event_names_the_instance_that_did_it(s: Opened) {
    let event = id(append(&s.journal, note("s")).await);
    let by = async |lease: &Lease, how: How, instance: &str| {
        let (lease, took) = (lease.clone(), Duration::ZERO);
        let instance = instance.into();
        let end = End {
            lease,
            how,
            took,
            instance,
        };
        s.store.finish(vec![end]).await.unwrap();
    };
    let reason = || Reason::new(Cause::Internal, "HTTP 503");
    let at = s.clock.monotonic();
    let retry = Retrieval::Retry {
        found: found(vec![]),
        at,
        tried_for: Duration::ZERO,
        reason: reason(),
        sinks: vec![],
    };
    let first = s.event().await;
    by(&first.lease, How::Retrieval(Box::new(retry)), "east").await;
    let second = s.event().await;
    let mut linked = fetched(0, "{}");
    linked.link.instance = Some("west".to_owned());
    let done = Box::new(deliver(&["a"], vec![linked]));
    by(&second.lease, How::Retrieval(done), "west").await;
    let retry = DeliveryEnd::Retry {
        at,
        reason: reason(),
    };
    by(&s.delivery("a").await.lease, How::Delivery(retry), "east").await;
    let delivered = How::Delivery(s.delivered());
    by(&s.delivery("a").await.lease, delivered, "west").await;
    let replayed = s
        .store
        .replay(event, ReplayFrom::Deliver, names(&["a"]), "ops".to_owned());
    replayed.await.unwrap();

    let detail = s.store.event(event).await.unwrap().unwrap();
    let attempts = detail.attempts.iter();
    let attempts = attempts.map(|attempt| (&*attempt.what, attempt.instance.as_deref()));
    assert_eq!(
        attempts.collect::<Vec<_>>(),
        [
            ("retrieve", Some("east")),
            ("deliver to a", Some("east")),
            ("replay", None),
            // The delivery before the replay.
            ("deliver to a", Some("west")),
        ]
    );
    assert_eq!(detail.links[0].instance.as_deref(), Some("west"));
    // Replayed: the delivery is to be made again, and nobody has yet.
    assert_eq!(detail.deliveries[0].instance, None);
    by(
        &s.delivery("a").await.lease,
        How::Delivery(s.delivered()),
        "west",
    )
    .await;
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.deliveries[0].instance.as_deref(), Some("west"));
}

pub async fn a_duplicate_has_the_first_ones_id_and_changes_nothing(s: Opened) {
    let first = append(&s.journal, failure("s")).await;
    assert!(matches!(first, Appended::New(_)));
    assert_eq!(
        append(&s.journal, failure("s")).await,
        Appended::Duplicate(id(first))
    );
    let page = s.store.list(Filter::default(), 10, None).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(s.events().await.len(), 1);
}

pub async fn a_system_clock_that_jumps_while_the_store_is_open_neither_stalls_nor_ages_what_comes(
    s: Opened,
) {
    let hour = Duration::from_secs(3600);
    let before = s.clock.monotonic();
    for (session, at) in [
        ("ahead", s.clock.now() + hour),
        ("back", s.clock.now() - hour),
    ] {
        append_at(&s.journal, failure(session), at).await.unwrap();
    }
    let claimed = s.events().await;
    assert_eq!(claimed.len(), 2, "both are due");
    for event in claimed {
        assert!(
            (before - 1000..=s.clock.monotonic() + 1000).contains(&event.started_at),
            "{}: its attempts begin now, not when the system clock says",
            event.receipt.session_id.as_str()
        );
    }
}

pub async fn a_lost_lease_writes_nothing(s: Opened) {
    let event = id(append(&s.journal, note("s")).await);
    let first = s.event().await;
    let now = s.clock.monotonic();
    let given = s.store.give_back(vec![first.lease.clone()], now).await;
    given.unwrap();
    let links = || vec![fetched(0, "{}")];
    let ended = s.end(&first.lease, deliver(&["a"], links())).await;
    assert_eq!(ended, Ended::Lost, "nobody has it");
    let second = s.event().await;
    let ended = s.end(&first.lease, deliver(&["a"], links())).await;
    assert_eq!(ended, Ended::Lost, "another has it");
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert!(detail.links.is_empty() && detail.deliveries.is_empty());
    let ended = s.end(&second.lease, deliver(&["a"], links())).await;
    assert_eq!(ended, kept(None));
    let ended = s.end(&second.lease, deliver(&["a"], links())).await;
    assert_eq!(ended, Ended::Lost, "only once");
}

pub async fn events_that_need_no_call_are_claimed_while_the_api_is_down(s: Opened) {
    let with = id(append(&s.journal, note("with")).await);
    let without = id(append(&s.journal, failure("without")).await);
    let forward = s.store.claim(soon(s.clock, &[Task::Forward])).await;
    assert_eq!(only(events(forward.unwrap())).receipt.id, without);
    assert_eq!(s.event().await.receipt.id, with);
}

fn retry(s: &Opened) -> Retrieval {
    Retrieval::Retry {
        found: found(vec![fetched(0, "{}")]),
        at: s.clock.monotonic(),
        tried_for: Duration::ZERO,
        reason: Reason::new(Cause::Internal, "not yet"),
        sinks: Vec::new(),
    }
}

pub async fn what_was_found_is_there_at_the_next_attempt(s: Opened) {
    let event = id(append(&s.journal, note("s")).await);
    let claimed = s.event().await;
    s.end(&claimed.lease, retry(&s)).await;
    let again = s.event().await;
    let link = &again.found.links[0];
    assert_eq!(link.link.state, LinkState::Fetched);
    assert_eq!(link.body.as_deref(), Some(&b"{}"[..]));
    assert_eq!(again.found.session.kind, SessionKind::Ambient);
    assert_eq!(again.lease.task(), &Task::Retrieve);
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.links.len(), 1);
    assert_eq!(detail.attempts[0].detail, "not yet");
}

pub async fn an_attempt_counts_when_it_ends(s: Opened) {
    append(&s.journal, note("s")).await;
    for attempt in 1..4 {
        let claimed = s.event().await;
        assert_eq!(claimed.attempt, attempt);
        s.end(&claimed.lease, How::GivenBack).await;
        let again = s.event().await;
        assert_eq!(again.attempt, attempt, "it was given back");
        s.end(&again.lease, retry(&s)).await;
    }
}

pub async fn each_sink_has_its_own_state(s: Opened) {
    s.delivering("s", &["a", "b"]).await;
    let retry = DeliveryEnd::Retry {
        at: s.clock.monotonic_in(Duration::from_secs(60)),
        reason: Reason::new(Cause::Internal, "down"),
    };
    assert_eq!(s.make("a", retry).await, kept(None));
    assert_eq!(s.make("b", s.delivered()).await, kept(None));
    assert!(s.deliveries("a").await.is_empty(), "not due yet");
    let later = due(s.clock, Duration::from_secs(61), &[to("a")]);
    let claimed = only(deliveries(s.store.claim(later).await.unwrap()));
    assert_eq!(claimed.attempt, 2);
    let ended = s.end(&claimed.lease, s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
}

pub async fn a_dead_sink_makes_a_dead_event_with_a_reason(s: Opened) {
    let event = s.delivering("s", &["a", "b"]).await;
    assert_eq!(s.make("a", dead()).await, kept(None));
    let ended = s.make("b", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Dead)));
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.event.last_error.as_deref(), Some("a: HTTP 400"));
    let mut attempts = detail.attempts.iter();
    assert!(attempts.any(|attempt| attempt.what == "deliver to a"));
}

pub async fn many_ends_are_written_down_together_each_by_its_own_lease(s: Opened) {
    for session in ["done", "lost", "again"] {
        append(&s.journal, note(session)).await;
    }
    let leases: Vec<Lease> = s.events().await.into_iter().map(|it| it.lease).collect();
    let now = s.clock.monotonic();
    let given = s.store.give_back(vec![leases[1].clone()], now).await;
    given.unwrap();
    let hows = [
        How::Retrieval(Box::new(deliver(&["a"], vec![fetched(0, "{}")]))),
        How::Retrieval(Box::new(deliver(&["a"], vec![]))),
        How::Retrieval(Box::new(retry(&s))),
    ];
    let ends = leases.into_iter().zip(hows);
    let ends = ends
        .map(|(lease, how)| End {
            lease,
            how,
            took: std::time::Duration::ZERO,
            instance: "one".into(),
        })
        .collect();
    let ended = s.store.finish(ends).await.unwrap();
    assert_eq!(ended, [kept(None), Ended::Lost, kept(None)]);
    assert_eq!(s.deliveries("a").await.len(), 1);
    let mut attempts: Vec<_> = s.events().await.iter().map(|it| it.attempt).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2]);
    s.is_well().await;
}

pub async fn an_event_whose_deliveries_end_together_is_said_to_be_over_once(s: Opened) {
    s.delivering("s", &["a", "b"]).await;
    let mut ends = Vec::new();
    for sink in ["a", "b"] {
        ends.push(End {
            lease: s.delivery(sink).await.lease,
            how: How::Delivery(s.delivered()),
            took: std::time::Duration::ZERO,
            instance: "one".into(),
        });
    }
    let ended = s.store.finish(ends).await.unwrap();
    let over = ended
        .iter()
        .filter(|it| **it == kept(Some(EventState::Done)));
    assert_eq!(over.count(), 1, "{ended:?}");
    assert!(!ended.contains(&Ended::Lost));
}
