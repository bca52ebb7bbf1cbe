//! The contract of `Store` for what is announced before it is retrieved, for time that counts, and for late content.

use std::time::Duration;

use suki_receiver::domain::{Cause, EventId, EventState, Outcome, Reason, Source};
use suki_receiver::journal::{
    Amendment, Ended, Found, How, LateEvent, ReplayFrom, Replayed, Retrieval, Seen, Task,
};

use super::contract::{
    Opened, append, deliver, events, fetched, found, id, kept, missing, names, only, soon,
};
use crate::support::{completed, failure};

fn note() -> Vec<u8> {
    completed("s", &[("contents", "/0".to_owned())])
}

fn retry(s: &Opened, tried_for: Duration) -> Retrieval {
    Retrieval::Retry {
        found: found(Vec::new()),
        at: s.clock.monotonic(),
        tried_for,
        reason: Reason::new(Cause::Internal, "HTTP 404"),
        sinks: Vec::new(),
    }
}

pub async fn what_nobody_has_worked_on_is_announced_once_and_then_retrieved(s: Opened) {
    let event = id(append(&s.journal, note()).await);
    append(&s.journal, failure("needs no call")).await;
    let new = async || s.store.claim(soon(s.clock, &[Task::New])).await.unwrap();
    let claimed = only(events(new().await));
    assert_eq!(
        claimed.receipt.id, event,
        "what needs no call is not announced"
    );
    assert!(new().await.is_empty());
    let end = Retrieval::Announced {
        sinks: names(&["lean"]),
    };
    assert_eq!(s.end(&claimed.lease, end).await, kept(None));
    assert!(new().await.is_empty());
    let lean = s.delivery("lean").await;
    assert_eq!(lean.document.id, event);
    let ended = s.end(&lean.lease, s.delivered()).await;
    assert_eq!(ended, kept(None), "it is not retrieved yet");
    let retrieve = s.store.claim(soon(s.clock, &[Task::Retrieve])).await;
    let claimed = only(events(retrieve.unwrap()));
    assert_eq!(claimed.receipt.id, event);
    assert_eq!(claimed.attempt, 1, "announcing is no attempt");
    let links = vec![fetched(0, "{}")];
    s.end(&claimed.lease, deliver(&["lean", "full"], links))
        .await;
    assert!(s.deliveries("lean").await.is_empty(), "it has it");
    let ended = s.make("full", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
}

pub async fn the_time_that_was_tried_is_kept_and_a_replay_begins_anew(s: Opened) {
    let event = id(append(&s.journal, note()).await);
    let mut expected = Duration::ZERO;
    for _ in 0..3 {
        let claimed = s.event().await;
        assert_eq!(claimed.tried_for, expected);
        s.end(&claimed.lease, How::GivenBack).await;
        let claimed = s.event().await;
        assert_eq!(claimed.tried_for, expected, "it was given back");
        expected += Duration::from_millis(1234);
        s.end(&claimed.lease, retry(&s, expected)).await;
    }
    let replayed = s
        .store
        .replay(event, ReplayFrom::Retrieve, vec![], "ops".to_owned());
    assert_eq!(replayed.await.unwrap(), Replayed::Scheduled);
    assert_eq!(s.event().await.tried_for, Duration::ZERO);
}

pub async fn a_dead_event_is_delivered_to_the_sinks_that_are_named(s: Opened) {
    let event = id(append(&s.journal, note()).await);
    let claimed = s.event().await;
    let end = Retrieval::Dead {
        found: found(vec![missing(0)]),
        reason: Reason::new(Cause::Internal, "contents: HTTP 410"),
        sinks: names(&["lean"]),
    };
    let ended = s.end(&claimed.lease, end).await;
    assert_eq!(ended, kept(Some(EventState::Dead)));
    let lean = s.delivery("lean").await;
    assert_eq!(lean.document.id, event);
    let ended = s.end(&lean.lease, s.delivered()).await;
    assert_eq!(ended, kept(None), "it stays dead");
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.event.state, EventState::Dead);
    assert_eq!(detail.links.len(), 1, "how its links stood is known");
    s.is_well().await;
}

/// An event that was delivered to `a` without its second link, which is asked for at once.
async fn delivered_without(s: &Opened) -> EventId {
    let event = id(append(&s.journal, note()).await);
    retrieve_without(s).await;
    s.make("a", s.delivered()).await;
    event
}

async fn retrieve_without(s: &Opened) {
    let claimed = s.event().await;
    let links = vec![fetched(0, "{\"x\":0}"), missing(1)];
    let mut end = deliver(&["a"], links);
    if let Retrieval::Deliver { refresh_at, .. } = &mut end {
        *refresh_at = Some(s.clock.monotonic());
    }
    s.end(&claimed.lease, end).await;
}

async fn late(s: &Opened) -> LateEvent {
    only(s.late().await)
}

fn amendment(s: &Opened, late: &LateEvent) -> Amendment {
    let mut found: Found = late.found.clone();
    let mut came = fetched(1, "{\"x\":1}");
    came.link.href.clone_from(&found.links[1].link.href);
    found.links[1] = came;
    Amendment {
        id: EventId::generate(),
        received_at: s.clock.now(),
        sinks: names(&["a"]),
        found,
    }
}

/// But for what the server's clock and this one's are apart from one claim to the next.
fn is_as_old(one: &LateEvent, other: &LateEvent) {
    let apart = one.retrieved_at - other.retrieved_at;
    assert!(apart.abs() <= 1000, "{apart} ms apart");
}

fn refresh(next: Option<i64>, amendment: Option<&Amendment>) -> How {
    How::Refresh {
        next,
        noted_at: None,
        retry_at: None,
        seen: amendment.map_or(Seen::Nothing, |it| Seen::Amended(Box::new(it.clone()))),
    }
}

pub async fn late_content_goes_out_once_as_an_event_that_replaces_the_first(s: Opened) {
    let first = delivered_without(&s).await;
    let begun = late(&s).await;
    assert_eq!(
        (begun.id, begun.found.session.outcome),
        (first, Outcome::Completed)
    );
    assert!(s.late().await.is_empty(), "it is held");
    // Nothing came yet.
    let next = Some(s.clock.monotonic());
    assert_eq!(s.end(&begun.lease, refresh(next, None)).await, kept(None));
    let again = late(&s).await;
    is_as_old(&again, &begun);
    let amendment = amendment(&s, &again);
    for expected in [kept(None), Ended::Lost] {
        let ended = s.end(&again.lease, refresh(None, Some(&amendment))).await;
        assert_eq!(ended, expected, "it is amended once");
    }
    let a = s.delivery("a").await;
    let document = &a.document;
    assert_eq!(document.id, amendment.id);
    assert_eq!((document.revision, document.replaces), (2, Some(first)));
    assert_eq!(document.source, Source::Refresh);
    let bodies: Vec<_> = document.resources.iter().map(|r| &r.body[..]).collect();
    assert_eq!(bodies, [&b"{\"x\":0}"[..], b"{\"x\":1}"]);
    assert_eq!(document.missing, []);
    assert_eq!(document.notification.as_deref(), Some(&note()[..]));
    let ended = s.end(&a.lease, s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    assert!(s.late().await.is_empty());
    assert_eq!(s.store.stats().await.unwrap().count(EventState::Done), 2);
    s.is_well().await;
}

pub async fn what_is_missing_still_is_asked_for_at_the_amendment(s: Opened) {
    delivered_without(&s).await;
    let first = late(&s).await;
    let amendment = amendment(&s, &first);
    let next = Some(s.clock.monotonic());
    s.end(&first.lease, refresh(next, Some(&amendment))).await;
    let second = late(&s).await;
    assert_eq!(second.id, amendment.id);
    assert_eq!(second.found.links[1].body, amendment.found.links[1].body);
    is_as_old(&second, &first);
    s.is_well().await;
}

pub async fn a_look_that_is_given_back_is_due_again(s: Opened) {
    let first = delivered_without(&s).await;
    let begun = late(&s).await;
    assert_eq!(s.end(&begun.lease, How::GivenBack).await, kept(None));
    let again = late(&s).await;
    assert_eq!(again.id, first);
    let amendment = amendment(&s, &begun);
    let ended = s.end(&begun.lease, refresh(None, Some(&amendment))).await;
    assert_eq!(ended, Ended::Lost);
    assert!(s.deliveries("a").await.is_empty());
}

async fn replay(s: &Opened, event: EventId) {
    let replayed = s
        .store
        .replay(event, ReplayFrom::Retrieve, vec![], "ops".to_owned());
    assert_eq!(replayed.await.unwrap(), Replayed::Scheduled);
}

pub async fn what_is_replayed_is_amended_only_by_a_look_that_began_before(s: Opened) {
    let first = delivered_without(&s).await;
    let begun = late(&s).await;
    replay(&s, first).await;
    assert!(s.events().await.is_empty(), "it is still asked for");
    let amendment = amendment(&s, &begun);
    let ended = s.end(&begun.lease, refresh(None, Some(&amendment))).await;
    assert_eq!(ended, kept(None));
    assert_eq!(s.delivery("a").await.document.id, amendment.id);
    retrieve_without(&s).await;
    assert_eq!(s.delivery("a").await.document.id, first);
    // What is due to be asked for is so no more once it is retrieved anew.
    replay_after_release(&s, first).await;
    assert!(s.late().await.is_empty());
    assert_eq!(s.event().await.receipt.id, first);
    s.is_well().await;
}

async fn replay_after_release(s: &Opened, event: EventId) {
    s.journal.release().await.unwrap();
    replay(s, event).await;
}

pub async fn what_was_purged_is_not_amended(s: Opened) {
    let first = delivered_without(&s).await;
    let begun = late(&s).await;
    s.store.purge(first, "ops".to_owned()).await.unwrap();
    let amendment = amendment(&s, &begun);
    let ended = s.end(&begun.lease, refresh(None, Some(&amendment))).await;
    assert_eq!(ended, Ended::Lost);
    assert!(s.deliveries("a").await.is_empty());
    assert!(s.late().await.is_empty());
    s.is_well().await;
}
