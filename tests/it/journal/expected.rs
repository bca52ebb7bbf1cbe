//! Expected sessions in every store: each reaches one recorded end, and of a notification and a recovery one comes first.

use std::time::Duration;

use bytes::Bytes;
use suki_receiver::domain::{
    EventId, EventState, Expected, ExpectedState, Lane, Notification, Origin, Outcome, Poll,
    Registration, Session, SessionId, SessionKind, Source,
};
use suki_receiver::journal::{
    Again, Amendment, Applied, Change, ExpectedFilter, Follows, How, NewExpected, PollAnswer,
    PollEnded, Polled, Recovered, Registered, Requeued, Retrieval, Seen, SentAlert,
};

use super::contract::{
    Opened, append, append_sent, deliver, fetched, found, id, kept, only, quarantine,
};
use crate::support::{completed, failure};

fn session_id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

/// A session that is due now.
fn new(s: &Opened, name: &str) -> NewExpected {
    let due = s.clock.monotonic();
    NewExpected {
        registration: Registration {
            provider: Some("dr-1".to_owned()),
            ..Registration::of(session_id(name), Origin::Registered)
        },
        registered_at: s.clock.now(),
        first_poll: Poll {
            due,
            lane: Lane::Other,
        },
    }
}

async fn expect(s: &Opened, name: &str) -> Registered {
    only(s.store.expect(vec![new(s, name)]).await.unwrap())
}

async fn expected(s: &Opened, name: &str) -> Expected {
    s.store.expected(session_id(name)).await.unwrap().unwrap()
}

async fn due(s: &Opened) -> Vec<Expected> {
    let now = s.clock.monotonic_in(Duration::from_millis(5));
    s.store.due_sessions(now, 16).await.unwrap().unwrap()
}

fn answer(of: &Expected, s: &Opened, follows: Follows) -> Polled {
    Polled {
        number: of.number,
        polls: of.polls,
        at: s.clock.now(),
        answer: PollAnswer {
            status: Some("completed".to_owned()),
            result: "the session is completed".to_owned(),
            kind: SessionKind::Ambient,
            aborted_at: None,
            follows,
        },
    }
}

fn recovered(of: &Expected) -> Follows {
    Follows::Recovered(Box::new(Recovered {
        id: EventId::generate(),
        notification: Notification::recovered(
            of.registration.session_id.clone(),
            None,
            Outcome::Completed,
            SessionKind::Ambient,
        ),
        session: Session {
            outcome: Outcome::Completed,
            kind: SessionKind::Ambient,
            status: Some("completed".to_owned()),
        },
    }))
}

/// Finds the only session that is due to have ended.
async fn recover(s: &Opened) -> EventId {
    let session = only(due(s).await);
    let polled = answer(&session, s, recovered(&session));
    match only(s.store.polled(vec![polled]).await.unwrap()) {
        PollEnded::Recovered(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn counts(s: &Opened) -> Vec<(ExpectedState, u64)> {
    let mut counts = s.store.expected_stats().await.unwrap().counts;
    counts.retain(|(_, count)| *count > 0);
    counts
}

fn note(session: &str) -> Vec<u8> {
    let link = format!("/api/v1/ambient/session/{session}/content");
    completed(session, &[("contents", link)])
}

pub async fn a_registration_is_idempotent_and_learns_what_was_not_known(s: Opened) {
    let first = expect(&s, "a").await;
    assert!(first.is_new);
    assert_eq!(first.expected.state, ExpectedState::Open);
    let mut more = new(&s, "a");
    more.registration.provider = Some("dr-2".to_owned());
    more.registration.ended_at = Some(s.clock.now());
    let again = only(s.store.expect(vec![more]).await.unwrap());
    assert!(!again.is_new);
    assert_eq!(again.expected.number, first.expected.number);
    assert_eq!(
        again.expected.registration.provider.as_deref(),
        Some("dr-1")
    );
    assert!(again.expected.registration.ended_at.is_some());
    let twice = vec![new(&s, "b"), new(&s, "b")];
    let twice: Vec<bool> = s
        .store
        .expect(twice)
        .await
        .unwrap()
        .iter()
        .map(|it| it.is_new)
        .collect();
    assert_eq!(twice, [true, false]);
    assert_eq!(counts(&s).await, [(ExpectedState::Open, 2)]);
}

pub async fn a_notification_meets_its_session_whichever_of_the_two_comes_first(s: Opened) {
    expect(&s, "a").await;
    let event = id(append(&s.journal, failure("a")).await);
    let met = expected(&s, "a").await;
    assert_eq!((met.state, met.event), (ExpectedState::Met, Some(event)));
    assert_eq!(met.next_poll_at, None);
    let earlier = id(append(&s.journal, failure("b")).await);
    for claimed in s.events().await {
        s.end(&claimed.lease, deliver(&[], vec![])).await;
    }
    let late = expect(&s, "b").await;
    assert!(late.is_new);
    let late = late.expected;
    assert_eq!(
        (late.state, late.event),
        (ExpectedState::Met, Some(earlier))
    );
    assert!(due(&s).await.is_empty());
    assert_eq!(counts(&s).await, [(ExpectedState::Met, 2)]);
    s.is_well().await;
}

pub async fn one_that_is_registered_before_its_notification_is_worked_on_is_met_then(s: Opened) {
    let event = id(append(&s.journal, failure("a")).await);
    expect(&s, "a").await;
    let claimed = s.event().await;
    s.end(&claimed.lease, deliver(&[], vec![])).await;
    let met = expected(&s, "a").await;
    assert_eq!((met.state, met.event), (ExpectedState::Met, Some(event)));
}

pub async fn one_whose_notification_was_kept_before_and_that_nobody_has_looked_at_is_met(
    s: Opened,
) {
    let event = id(append(&s.journal, failure("a")).await);
    expect(&s, "a").await;
    for session in due(&s).await {
        let polled = answer(&session, &s, recovered(&session));
        let ended = s.store.polled(vec![polled]).await.unwrap();
        assert_eq!(ended, [PollEnded::Met]);
    }
    assert_eq!(expected(&s, "a").await.event, Some(event));
    assert_eq!(s.store.stats().await.unwrap().total(), 1);
}

pub async fn a_session_that_ended_unheard_becomes_an_event_without_a_notification(s: Opened) {
    expect(&s, "a").await;
    let event = recover(&s).await;
    let recovered = expected(&s, "a").await;
    let stands = (recovered.state, recovered.event, recovered.polls);
    assert_eq!(stands, (ExpectedState::Recovered, Some(event), 1));
    assert!(due(&s).await.is_empty());
    let claimed = s.event().await;
    assert_eq!(
        (claimed.receipt.id, claimed.receipt.source),
        (event, Source::Reconcile)
    );
    assert!(claimed.receipt.body.is_empty() && claimed.receipt.status.is_none());
    assert_eq!(claimed.found.session.status.as_deref(), Some("completed"));
    let notification = claimed.notification.as_deref().unwrap();
    assert_eq!(notification.session_id.as_str(), "a");
    assert!(notification.needs_sdp());
    let links = vec![fetched(0, "{\"x\":1}")];
    s.end(&claimed.lease, deliver(&["sink"], links)).await;
    let delivery = s.delivery("sink").await;
    let document = &delivery.document;
    assert_eq!(
        (&document.notification, document.resources.len()),
        (&None, 1)
    );
    assert_eq!(
        document.expected.as_ref().unwrap().provider.as_deref(),
        Some("dr-1")
    );
    assert_eq!(document.sequence.unwrap().session, 1);
    assert_eq!(s.store.payload(event).await.unwrap(), None);
    s.end(&delivery.lease, s.delivered()).await;
    assert_eq!(s.state(event).await, EventState::Done);
    s.is_well().await;
}

pub async fn what_was_found_is_written_once_and_only_while_the_session_is_awaited(s: Opened) {
    expect(&s, "a").await;
    expect(&s, "b").await;
    let mut sessions = due(&s).await;
    sessions.sort_by_key(|session| session.number);
    // The notification of one comes while it is asked for.
    let event = id(append(&s.journal, failure("a")).await);
    let polled = |of: &Expected| answer(of, &s, recovered(of));
    let ended = s.store.polled(vec![polled(&sessions[0])]).await.unwrap();
    assert_eq!(ended, [PollEnded::Met]);
    assert_eq!(expected(&s, "a").await.event, Some(event));
    // Two have asked for the other one.
    let ended = s.store.polled(vec![polled(&sessions[1])]).await.unwrap();
    assert!(matches!(ended[..], [PollEnded::Recovered(_)]));
    let ended = s.store.polled(vec![polled(&sessions[1])]).await.unwrap();
    assert_eq!(ended, [PollEnded::Lost]);
    assert_eq!(s.store.stats().await.unwrap().total(), 2);
    s.is_well().await;
}

pub async fn a_session_that_goes_on_is_asked_for_again_in_its_time(s: Opened) {
    expect(&s, "a").await;
    let session = only(due(&s).await);
    let later = Poll {
        due: s.clock.monotonic_in(Duration::from_secs(60)),
        lane: Lane::Ended,
    };
    let again = |counts, state| Follows::Again {
        poll: later,
        state,
        counts,
    };
    let unanswered = answer(&session, &s, again(false, ExpectedState::Open));
    s.store.polled(vec![unanswered]).await.unwrap();
    let stands = expected(&s, "a").await;
    assert_eq!((stands.state, stands.polls), (ExpectedState::Open, 0));
    assert!(due(&s).await.is_empty());
    let now = s.clock.monotonic();
    s.store
        .poll_now(session_id("a"), now)
        .await
        .unwrap()
        .unwrap();
    let session = only(due(&s).await);
    let running = answer(&session, &s, again(true, ExpectedState::Polling));
    s.store.polled(vec![running]).await.unwrap();
    let stands = expected(&s, "a").await;
    assert_eq!((stands.state, stands.polls), (ExpectedState::Polling, 1));
    assert_eq!(stands.registration.kind, SessionKind::Ambient);
    let over = answer(&stands, &s, Follows::Over(ExpectedState::Expired));
    s.store.polled(vec![over]).await.unwrap();
    assert_eq!(counts(&s).await, [(ExpectedState::Expired, 1)]);
    // A notification that comes after all is its end.
    append(&s.journal, failure("a")).await;
    assert_eq!(counts(&s).await, [(ExpectedState::Met, 1)]);
}

pub async fn a_notification_that_comes_late_takes_the_place_of_what_was_recovered(s: Opened) {
    expect(&s, "a").await;
    let event = recover(&s).await;
    let claimed = s.event().await;
    s.end(&claimed.lease, deliver(&["sink"], vec![fetched(0, "{}")]))
        .await;
    s.make("sink", s.delivered()).await;
    let late = id(append(&s.journal, note("a")).await);
    let stands = expected(&s, "a").await;
    assert_eq!(
        (stands.state, stands.event),
        (ExpectedState::Late, Some(event))
    );
    let claimed = s.event().await;
    let receipt = &claimed.receipt;
    assert_eq!((receipt.id, receipt.revision), (late, 2));
    assert!(receipt.is_late() && receipt.replaces == Some(event));
    let (before, _) = s.store.found(event).await.unwrap().unwrap();
    assert_eq!(before.state, EventState::Done);
    let same = Retrieval::Same {
        found: found(vec![fetched(0, "{}")]),
        same_as: event,
    };
    s.end(&claimed.lease, same).await;
    let ended = s.store.event(late).await.unwrap().unwrap().event;
    assert_eq!(
        (ended.state, ended.same_as),
        (EventState::Done, Some(event))
    );
    assert!(s.deliveries("sink").await.is_empty());
    // What changes later replaces what the sink has.
    assert!(s.store.refetch(late, s.clock.monotonic()).await.unwrap());
    let look = only(s.late().await);
    let mut changed = look.found.clone();
    changed.links = vec![fetched(0, "{\"x\":1}")];
    let amendment = Amendment {
        id: EventId::generate(),
        received_at: s.clock.now(),
        sinks: vec!["sink".to_owned()],
        found: changed,
    };
    let amended = How::Refresh {
        next: None,
        noted_at: look.again.noted_at(),
        retry_at: None,
        seen: Seen::Amended(Box::new(amendment)),
    };
    assert_eq!(s.end(&look.lease, amended).await, kept(None));
    let document = s.delivery("sink").await.document;
    assert_eq!((document.revision, document.replaces), (2, Some(event)));
    s.is_well().await;
}

pub async fn a_late_notification_that_was_quarantined_is_compared_with_what_was_recovered(
    s: Opened,
) {
    expect(&s, "a").await;
    let event = recover(&s).await;
    let late = quarantine(&s.journal, b"what an older version could not read").await;
    let parsed = Notification::parse(Bytes::from(note("a"))).unwrap();
    let requeued = s.store.requeue(late, Box::new(parsed), "ops".to_owned());
    assert_eq!(requeued.await.unwrap(), Requeued::Scheduled);
    assert_eq!(expected(&s, "a").await.state, ExpectedState::Late);
    let claimed = s.events().await;
    let mut claimed = claimed.iter().map(|claimed| &claimed.receipt);
    let receipt = claimed.find(|receipt| receipt.id == late).unwrap();
    assert_eq!(
        (receipt.revision, receipt.replaces),
        (2, Some(event)),
        "{receipt:?}"
    );
    s.is_well().await;
}

pub async fn a_repeat_that_was_sent_well_after_the_fetch_makes_it_fetched_again(s: Opened) {
    let first = s.clock.now();
    let event = id(append_sent(&s.journal, note("a"), first).await);
    let claimed = s.event().await;
    s.end(&claimed.lease, deliver(&[], vec![fetched(0, "{}")]))
        .await;
    // The same request again, and one that was sent a moment later.
    append_sent(&s.journal, note("a"), first).await;
    let soon = first + Duration::from_secs(10);
    append_sent(&s.journal, note("a"), soon).await;
    assert!(s.late().await.is_empty());
    let later = first + Duration::from_secs(120);
    assert_eq!(id(append_sent(&s.journal, note("a"), later).await), event);
    let look = only(s.late().await);
    assert_eq!(look.id, event);
    assert_eq!(look.again, Again::Repeated(later.as_millisecond()));
    // Another one while it is looked at.
    let latest = first + Duration::from_secs(240);
    append_sent(&s.journal, note("a"), latest).await;
    let same = How::Refresh {
        next: None,
        noted_at: look.again.noted_at(),
        retry_at: None,
        seen: Seen::Same(Box::new(look.found.clone())),
    };
    assert_eq!(s.end(&look.lease, same).await, kept(None));
    let again = only(s.late().await);
    assert_eq!(again.again, Again::Repeated(latest.as_millisecond()));
    s.is_well().await;
}

pub async fn what_somebody_wants_fetched_again_is_due_and_what_is_not_there_is_not(s: Opened) {
    let event = id(append(&s.journal, note("a")).await);
    let now = s.clock.monotonic();
    assert!(
        !s.store.refetch(event, now).await.unwrap(),
        "it is not retrieved"
    );
    let claimed = s.event().await;
    s.end(&claimed.lease, deliver(&[], vec![fetched(0, "{}")]))
        .await;
    assert!(s.store.refetch(event, now).await.unwrap());
    let look = only(s.late().await);
    assert_eq!(look.again, Again::Asked(now));
    let later = s.clock.now() + Duration::from_secs(120);
    append_sent(&s.journal, note("a"), later).await;
    let failed = How::Refresh {
        next: None,
        noted_at: None,
        retry_at: Some(s.clock.monotonic()),
        seen: Seen::Nothing,
    };
    assert_eq!(s.end(&look.lease, failed).await, kept(None));
    let again = only(s.late().await).again;
    assert_eq!(
        again,
        Again::Asked(later.as_millisecond()),
        "all is asked for still"
    );
    assert!(!s.store.refetch(EventId::generate(), now).await.unwrap());
}

pub async fn what_is_withdrawn_is_not_asked_for_and_a_change_is_kept(s: Opened) {
    expect(&s, "a").await;
    expect(&s, "b").await;
    let ended_at = s.clock.now();
    let change = Change {
        ended_at: Some(ended_at),
        ..Change::default()
    };
    let later = Poll {
        due: s.clock.monotonic_in(Duration::from_secs(120)),
        lane: Lane::Ended,
    };
    let changed = s
        .store
        .change_expected(session_id("b"), change, Some(later))
        .await;
    let changed = changed.unwrap().unwrap();
    let millis = |at: Option<jiff::Timestamp>| at.map(|at| at.as_millisecond());
    assert_eq!(
        millis(changed.registration.ended_at),
        millis(Some(ended_at))
    );
    assert_eq!(only(due(&s).await).registration.session_id.as_str(), "a");
    let withdrawn = s.store.withdraw(session_id("a")).await.unwrap().unwrap();
    assert_eq!(withdrawn.state, ExpectedState::Withdrawn);
    assert!(due(&s).await.is_empty());
    append(&s.journal, failure("a")).await;
    assert_eq!(expected(&s, "a").await.state, ExpectedState::Withdrawn);
    let none = s.store.withdraw(session_id("c")).await.unwrap();
    assert_eq!(none, None);
}

pub async fn a_transcript_that_is_deleted_already_is_not_about_to_be(s: Opened) {
    let earliest = async || s.store.expected_stats().await.unwrap().earliest;
    let now = s.clock.now();
    let days = |days: u64| now - Duration::from_secs(days * 24 * 3600);
    for (name, ended_at) in [("kept", days(29)), ("deleted", days(31))] {
        let mut session = new(&s, name);
        session.registration.ended_at = Some(ended_at);
        s.store.expect(vec![session]).await.unwrap();
    }
    let earliest = earliest().await.unwrap();
    assert_eq!(earliest.as_millisecond(), days(29).as_millisecond());
}

pub async fn sessions_are_listed_by_state_provider_and_being_overdue(s: Opened) {
    for name in ["a", "b", "c"] {
        expect(&s, name).await;
    }
    append(&s.journal, failure("b")).await;
    let list = |filter: ExpectedFilter, limit, cursor| {
        let store = s.store.clone();
        async move {
            let page = store.list_expected(filter, limit, cursor).await.unwrap();
            let names = page.sessions.iter();
            let names: Vec<String> = names
                .map(|it| it.registration.session_id.to_string())
                .collect();
            (names, page.next)
        }
    };
    let (first, next) = list(ExpectedFilter::default(), 2, None).await;
    assert_eq!(first, ["c", "b"]);
    let (rest, end) = list(ExpectedFilter::default(), 2, next).await;
    assert_eq!((&rest[..], end), (&["a".to_owned()][..], None));
    let of = |filter| list(filter, 10, None);
    let met = ExpectedFilter {
        state: Some(ExpectedState::Met),
        ..ExpectedFilter::default()
    };
    assert_eq!(of(met).await.0, ["b"]);
    let overdue = ExpectedFilter {
        overdue_at: Some(s.clock.now() + Duration::from_secs(1)),
        ..ExpectedFilter::default()
    };
    assert_eq!(of(overdue).await.0, ["c", "a"]);
    let nobody = ExpectedFilter {
        provider: Some("dr-9".to_owned()),
        ..ExpectedFilter::default()
    };
    assert!(of(nobody).await.0.is_empty());
}

pub async fn a_confirmation_is_kept_for_what_was_delivered_and_missed_after_its_time(s: Opened) {
    let event = s.delivering("a", &["ehr"]).await;
    let applied = |sink: &str| s.store.applied(event, sink.to_owned(), s.clock.now());
    assert_eq!(applied("ehr").await.unwrap(), Applied::NotDelivered);
    let mut end = s.delivered();
    let suki_receiver::journal::DeliveryEnd::Delivered { applied_by, .. } = &mut end else {
        unreachable!("it is delivered");
    };
    *applied_by = Some(s.clock.monotonic());
    s.make("ehr", end).await;
    let late = s.clock.monotonic_in(Duration::from_millis(5));
    let overdue = s.store.overdue_applied(late).await.unwrap();
    assert_eq!(overdue, [("ehr".to_owned(), 1)]);
    assert_eq!(applied("ehr").await.unwrap(), Applied::Noted);
    assert_eq!(applied("ehr").await.unwrap(), Applied::Noted);
    assert!(s.store.overdue_applied(late).await.unwrap().is_empty());
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert!(detail.deliveries[0].applied_at.is_some());
    let nobody = s
        .store
        .applied(EventId::generate(), "ehr".to_owned(), s.clock.now());
    assert_eq!(nobody.await.unwrap(), Applied::NotFound);
}

pub async fn what_a_sink_was_told_of_an_alert_is_kept_until_it_is_told_the_end(s: Opened) {
    let told = |sink: &str, message: &str| SentAlert {
        sink: sink.to_owned(),
        alert: "sink_exhausted".to_owned(),
        about: "ehr".to_owned(),
        since: jiff::Timestamp::UNIX_EPOCH,
        message: message.to_owned(),
    };
    s.store
        .record_sent_alert(told("on-call", "once"))
        .await
        .unwrap();
    s.store
        .record_sent_alert(told("chat", "once"))
        .await
        .unwrap();
    s.store
        .record_sent_alert(told("chat", "anew"))
        .await
        .unwrap();
    let mut kept = s.store.sent_alerts().await.unwrap();
    kept.sort_by(|one, other| one.sink.cmp(&other.sink));
    assert_eq!(kept, [told("chat", "anew"), told("on-call", "once")]);
    s.store.forget_sent_alert(told("chat", "")).await.unwrap();
    let kept = s.store.sent_alerts().await.unwrap();
    assert_eq!(kept, [told("on-call", "once")]);
}
