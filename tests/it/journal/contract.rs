//! The contract of `Store`, run against each implementation and against the failing store while it does not fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use suki_receiver::domain::{
    Clock, EventId, EventState, LinkGroup, LinkState, Malformed, Notification, Outcome, SessionKind,
};
use suki_receiver::journal::{
    Access, Appended, Bounds, DeliveryEnd, DeliveryLease, Due, Ended, Error, Expiry, Filter, Held,
    Journal, Link, LinkUpdate, ReplayFrom, Replayed, Requeued, Retrieval, SqliteStore, Store,
    Unauthentic,
};
use suki_receiver::metrics::Metrics;
use suki_receiver::signature::{Claim, Received, SecretBytes, Secrets, Verified, sign, verify};

use super::amendments::{
    a_dead_event_is_delivered_to_the_sinks_that_are_named,
    late_content_goes_out_once_as_an_event_that_replaces_the_first,
    the_time_that_was_tried_is_kept_and_a_replay_begins_anew,
    what_nobody_has_worked_on_is_announced_once_and_then_retrieved,
    what_was_replayed_or_purged_is_not_amended,
};
use crate::support::{Database, FailingStore, completed, failure};

/// A store, and what it lives in as long.
pub struct Opened {
    pub store: Arc<dyn Store>,
    pub journal: Journal,
    pub clock: Clock,
    _lives_in: Box<dyn Send>,
}

pub fn sqlite(dir: &std::path::Path, clock: Clock) -> SqliteStore {
    let access = Access::Owner {
        longest_wait: Duration::from_secs(300),
    };
    SqliteStore::open(
        &dir.join("data/receiver.db"),
        access,
        1000,
        clock,
        Metrics::new(),
    )
    .unwrap()
}

fn opened(wrap: impl FnOnce(SqliteStore) -> Arc<dyn Store>) -> Opened {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let store = wrap(sqlite(dir.path(), clock));
    with_journal(store, clock, dir)
}

fn with_journal(store: Arc<dyn Store>, clock: Clock, lives_in: impl Send + 'static) -> Opened {
    let (journal, _) = Journal::new(Arc::clone(&store), Duration::from_secs(5));
    Opened {
        store,
        journal,
        clock,
        _lives_in: Box::new(lives_in),
    }
}

async fn on_a_database() -> Opened {
    let (database, clock) = (Database::create().await, Clock::start());
    let store = Arc::new(database.store(clock).await);
    with_journal(store, clock, database)
}

pub fn verified(body: Vec<u8>) -> Verified {
    let secrets = Secrets::new([SecretBytes {
        id: "test",
        key: b"k",
    }]);
    let signature = sign(b"k", "1765977748432", &body);
    verify(
        &secrets,
        &Claim::of(Some(signature.as_bytes()), Some(&b"1765977748432"[..])),
        &Received::plain(Bytes::from(body)),
    )
    .unwrap()
}

pub async fn append(journal: &Journal, body: Vec<u8>) -> Appended {
    try_append(journal, body).await.unwrap()
}

pub async fn try_append(journal: &Journal, body: Vec<u8>) -> Result<Appended, Error> {
    append_at(journal, body, Clock::start().now()).await
}

async fn append_at(journal: &Journal, body: Vec<u8>, at: Timestamp) -> Result<Appended, Error> {
    let verified = verified(body);
    let notification = Notification::parse(verified.body().clone()).unwrap();
    journal.append(&verified, notification, at, false).await
}

async fn quarantine(journal: &Journal, body: &[u8]) -> EventId {
    let verified = verified(body.to_vec());
    let kept = journal.quarantine(&verified, Malformed::NotJson, Clock::start().now());
    id(kept.await.unwrap())
}

pub fn id(appended: Appended) -> EventId {
    match appended {
        Appended::New(id) | Appended::Duplicate(id) => id,
    }
}

/// Everything due within a lease of a minute, claimed `ahead` of the present.
pub fn due(clock: Clock, ahead: Duration, lease: Duration) -> Due {
    let now = clock.steady_in(ahead);
    Due {
        now,
        until: now + i64::try_from(lease.as_millis()).unwrap(),
        limit: 10,
    }
}

pub fn soon(clock: Clock) -> Due {
    due(clock, Duration::from_millis(5), Duration::from_secs(60))
}

pub fn deliver(sinks: &[&str], clock: Clock) -> Retrieval {
    Retrieval::Deliver {
        refresh_at: None,
        outcome: Outcome::Completed,
        kind: SessionKind::Ambient,
        session_status: Some("completed".to_owned()),
        sinks: sinks.iter().map(|&sink| sink.to_owned()).collect(),
        at: clock.steady(),
    }
}

pub fn fetched(n: u32, body: &str) -> LinkUpdate {
    let link = Link {
        n,
        group: LinkGroup::new("contents"),
        href: format!("/{n}"),
        state: LinkState::Fetched,
        http_status: Some(200),
        bytes: Some(body.len() as u64),
        fetched_at: Some(Clock::start().now()),
        reason: None,
    };
    LinkUpdate {
        link,
        body: Some(Bytes::copy_from_slice(body.as_bytes())),
    }
}

/// Runs a test of the contract against every store.
macro_rules! contract {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite { $(#[tokio::test] async fn $name() { super::$name(super::opened(|store| std::sync::Arc::new(store))).await; })+ }
        mod on_postgres { $(#[tokio::test] async fn $name() { super::$name(super::on_a_database().await).await; })+ }
        mod on_a_store_that_could_fail { $(#[tokio::test] async fn $name() { super::$name(super::opened(|store| super::FailingStore::around(store))).await; })+ }
    };
}

contract! {
    an_event_goes_from_receipt_to_done,
    a_duplicate_has_the_first_ones_id_and_changes_nothing,
    what_is_claimed_is_not_claimed_again_until_its_lease_runs_out,
    a_system_clock_that_jumps_while_the_store_is_open_neither_stalls_nor_ages_what_comes,
    a_lost_lease_writes_nothing,
    events_that_need_no_call_are_claimed_while_the_api_is_down,
    links_that_were_written_down_are_there_at_the_next_attempt,
    each_sink_has_its_own_state,
    a_dead_sink_makes_a_dead_event_with_a_reason,
    a_replay_from_delivery_delivers_again_to_the_sinks_that_are_named,
    a_replay_takes_the_event_away_from_whoever_holds_it,
    a_document_is_not_read_once_its_delivery_is_taken_away,
    a_replay_for_one_sink_gives_the_others_nothing_before_it_is_fetched,
    a_replay_for_one_sink_takes_the_delivery_to_another_from_nobody,
    what_is_given_back_is_due_at_once,
    a_purge_keeps_the_receipt_and_the_dedupe_key,
    what_an_operator_purged_is_dead_no_more_and_keeps_its_reason,
    what_a_gone_sink_does_not_have_is_found_dropped_or_given_to_another,
    a_quarantined_event_becomes_the_notification_that_it_is,
    retention_purges_what_is_done_and_keeps_what_is_dead,
    what_is_dead_or_quarantined_goes_where_an_age_limit_is_set,
    refused_requests_are_kept_within_bounds_the_newest_first_to_stay,
    an_inspection_of_a_well_store_finds_nothing,
    a_list_has_the_newest_first_and_pages_without_gaps,
    counts_add_up_to_what_was_appended,
    what_nobody_has_worked_on_is_announced_once_and_then_retrieved,
    the_time_that_was_tried_is_kept_and_a_replay_begins_anew,
    a_dead_event_is_delivered_to_the_sinks_that_are_named,
    late_content_goes_out_once_as_an_event_that_replaces_the_first,
    what_was_replayed_or_purged_is_not_amended,
}

async fn an_event_goes_from_receipt_to_done(s: Opened) {
    let body = completed("s", &[("contents", "/0".to_owned())]);
    let event = id(append(&s.journal, body.clone()).await);
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (claimed.id, claimed.attempt, claimed.links.len()),
        (event, 1, 0)
    );
    let end = deliver(&["a"], s.clock);
    let mut links = vec![fetched(2, "[2]"), fetched(0, "{\"x\":1}"), fetched(1, "")];
    links[2].link.state = LinkState::Missing;
    links[2].body = None;
    assert_eq!(
        s.store
            .finish_retrieval(claimed.lease, links, end)
            .await
            .unwrap(),
        Held::Kept
    );
    let delivery = s
        .store
        .claim_deliveries("a", soon(s.clock))
        .await
        .unwrap()
        .remove(0);
    let document = s.store.document(&delivery.lease).await.unwrap().unwrap();
    assert_eq!(document.id, event);
    assert_eq!(document.notification, body);
    let resources = document.resources.iter();
    let resources: Vec<_> = resources.map(|resource| &resource.body[..]).collect();
    assert_eq!(resources, [&b"{\"x\":1}"[..], b"[2]"]);
    assert_eq!(document.missing[0].href, "/1");
    assert_eq!(document.session_status.as_deref(), Some("completed"));
    let end = DeliveryEnd::Delivered { at: s.clock.now() };
    assert_eq!(
        s.store.finish_delivery(delivery.lease, end).await.unwrap(),
        Ended::Event(EventState::Done)
    );
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.event.state, EventState::Done);
    assert!(
        s.store
            .claim_events(soon(s.clock), 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        s.store
            .claim_deliveries("a", soon(s.clock))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_duplicate_has_the_first_ones_id_and_changes_nothing(s: Opened) {
    let first = append(&s.journal, failure("s")).await;
    assert!(matches!(first, Appended::New(_)));
    assert_eq!(
        append(&s.journal, failure("s")).await,
        Appended::Duplicate(id(first))
    );
    assert_eq!(
        s.store
            .list(Filter::default(), 10, None)
            .await
            .unwrap()
            .events
            .len(),
        1
    );
}

async fn what_is_claimed_is_not_claimed_again_until_its_lease_runs_out(s: Opened) {
    append(&s.journal, failure("s")).await;
    let lease = Duration::from_secs(60);
    assert_eq!(
        s.store
            .claim_events(due(s.clock, Duration::from_millis(5), lease), 10)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(
        s.store
            .claim_events(due(s.clock, lease / 2, lease), 10)
            .await
            .unwrap()
            .is_empty()
    );
    let again = s
        .store
        .claim_events(due(s.clock, lease * 2, lease), 10)
        .await
        .unwrap();
    assert_eq!(again[0].attempt, 2);
}

async fn a_system_clock_that_jumps_while_the_store_is_open_neither_stalls_nor_ages_what_comes(
    s: Opened,
) {
    let hour = Duration::from_secs(3600);
    let before = s.clock.steady();
    for (session, at) in [
        ("ahead", s.clock.now() + hour),
        ("back", s.clock.now() - hour),
    ] {
        append_at(&s.journal, failure(session), at).await.unwrap();
    }
    let claimed = s.store.claim_events(soon(s.clock), 10).await.unwrap();
    assert_eq!(claimed.len(), 2, "both are due");
    for event in claimed {
        let session = event.session_id;
        assert!(
            (before - 1000..=s.clock.steady() + 1000).contains(&event.started_at),
            "{session}: its attempts begin now, not when the system clock says"
        );
    }
}

async fn a_lost_lease_writes_nothing(s: Opened) {
    let event = id(append(&s.journal, completed("s", &[("contents", "/0".to_owned())])).await);
    let lease = Duration::from_secs(1);
    let first = s
        .store
        .claim_events(due(s.clock, Duration::from_millis(5), lease), 10)
        .await
        .unwrap()
        .remove(0);
    let second = s
        .store
        .claim_events(due(s.clock, lease * 2, lease), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        s.store
            .record_links(first.lease, vec![fetched(0, "{}")])
            .await
            .unwrap(),
        Held::Lost
    );
    let end = deliver(&["a"], s.clock);
    assert_eq!(
        s.store
            .finish_retrieval(first.lease, vec![], end.clone())
            .await
            .unwrap(),
        Held::Lost
    );
    assert!(
        s.store
            .event(event)
            .await
            .unwrap()
            .unwrap()
            .links
            .is_empty()
    );
    assert_eq!(
        s.store
            .finish_retrieval(second.lease, vec![], end.clone())
            .await
            .unwrap(),
        Held::Kept
    );
    assert_eq!(
        s.store
            .finish_retrieval(second.lease, vec![], end)
            .await
            .unwrap(),
        Held::Lost,
        "only once"
    );
}

async fn events_that_need_no_call_are_claimed_while_the_api_is_down(s: Opened) {
    append(
        &s.journal,
        completed("with", &[("contents", "/0".to_owned())]),
    )
    .await;
    let without = id(append(&s.journal, failure("without")).await);
    let claimed = s.store.claim_events(soon(s.clock), 0).await.unwrap();
    assert_eq!(
        claimed.iter().map(|event| event.id).collect::<Vec<_>>(),
        [without]
    );
    assert_eq!(
        s.store.claim_events(soon(s.clock), 10).await.unwrap().len(),
        1
    );
}

async fn links_that_were_written_down_are_there_at_the_next_attempt(s: Opened) {
    append(&s.journal, completed("s", &[("contents", "/0".to_owned())])).await;
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    s.store
        .record_links(claimed.lease, vec![fetched(0, "{}")])
        .await
        .unwrap();
    let retry = Retrieval::Retry {
        tried_for: std::time::Duration::ZERO,
        sinks: Vec::new(),
        outcome: Outcome::Completed,
        kind: SessionKind::Ambient,
        session_status: None,
        at: s.clock.steady(),
        reason: "not yet".to_owned(),
    };
    s.store
        .finish_retrieval(claimed.lease, vec![], retry)
        .await
        .unwrap();
    let again = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(again.links[0].state, LinkState::Fetched);
    assert_eq!(again.kind, SessionKind::Ambient);
}

/// Appends one event and brings it to its sinks.
async fn delivering(s: &Opened, session: &str, sinks: &[&str]) -> EventId {
    let event = id(append(&s.journal, failure(session)).await);
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    s.store
        .finish_retrieval(claimed.lease, vec![], deliver(sinks, s.clock))
        .await
        .unwrap();
    event
}

async fn finish(s: &Opened, sink: &str, end: DeliveryEnd) -> Ended {
    let claimed = s
        .store
        .claim_deliveries(sink, soon(s.clock))
        .await
        .unwrap()
        .remove(0);
    s.store.finish_delivery(claimed.lease, end).await.unwrap()
}

fn delivered(s: &Opened) -> DeliveryEnd {
    DeliveryEnd::Delivered { at: s.clock.now() }
}

fn dead() -> DeliveryEnd {
    DeliveryEnd::Dead {
        reason: "HTTP 400".to_owned(),
    }
}

async fn each_sink_has_its_own_state(s: Opened) {
    delivering(&s, "s", &["a", "b"]).await;
    let retry = DeliveryEnd::Retry {
        at: s.clock.steady_in(Duration::from_secs(60)),
        reason: "down".to_owned(),
    };
    assert_eq!(finish(&s, "a", retry).await, Ended::NotYet);
    assert_eq!(finish(&s, "b", delivered(&s)).await, Ended::NotYet);
    assert!(
        s.store
            .claim_deliveries("a", soon(s.clock))
            .await
            .unwrap()
            .is_empty(),
        "not due yet"
    );
    let later = due(s.clock, Duration::from_secs(61), Duration::from_secs(60));
    let claimed = s
        .store
        .claim_deliveries("a", later)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(claimed.attempt, 2);
    let end = s
        .store
        .finish_delivery(claimed.lease, delivered(&s))
        .await
        .unwrap();
    assert_eq!(end, Ended::Event(EventState::Done));
}

async fn a_dead_sink_makes_a_dead_event_with_a_reason(s: Opened) {
    let event = delivering(&s, "s", &["a", "b"]).await;
    assert_eq!(finish(&s, "a", dead()).await, Ended::NotYet);
    assert_eq!(
        finish(&s, "b", delivered(&s)).await,
        Ended::Event(EventState::Dead)
    );
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.event.last_error.as_deref(), Some("a: HTTP 400"));
    assert!(
        detail
            .attempts
            .iter()
            .any(|attempt| attempt.what == "deliver to a")
    );
}

async fn a_replay_from_delivery_delivers_again_to_the_sinks_that_are_named(s: Opened) {
    let event = delivering(&s, "s", &["a", "b"]).await;
    finish(&s, "a", delivered(&s)).await;
    finish(&s, "b", dead()).await;
    let replay = |from, sinks: &[&str]| {
        let sinks = sinks.iter().map(|&sink| sink.to_owned()).collect();
        s.store.replay(event, from, sinks, "ops".to_owned())
    };
    assert_eq!(
        replay(ReplayFrom::Deliver, &["b"]).await.unwrap(),
        Replayed::Scheduled
    );
    assert!(
        s.store
            .claim_deliveries("a", soon(s.clock))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        finish(&s, "b", delivered(&s)).await,
        Ended::Event(EventState::Done)
    );
    assert_eq!(
        replay(ReplayFrom::Retrieve, &[]).await.unwrap(),
        Replayed::Scheduled
    );
    let claimed = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    s.store
        .finish_retrieval(claimed.lease, vec![], deliver(&["a", "b"], s.clock))
        .await
        .unwrap();
    finish(&s, "a", delivered(&s)).await;
    assert_eq!(
        finish(&s, "b", delivered(&s)).await,
        Ended::Event(EventState::Done)
    );
    let unknown = s
        .store
        .replay(
            EventId::generate(),
            ReplayFrom::Deliver,
            vec![],
            "ops".to_owned(),
        )
        .await
        .unwrap();
    assert_eq!(unknown, Replayed::NotFound);
}

async fn a_replay_takes_the_event_away_from_whoever_holds_it(s: Opened) {
    let event = id(append(&s.journal, failure("s")).await);
    let held = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    let early = s
        .store
        .replay(event, ReplayFrom::Deliver, vec![], "ops".to_owned())
        .await
        .unwrap();
    assert_eq!(early, Replayed::NotRetrieved);
    s.store
        .replay(event, ReplayFrom::Retrieve, vec![], "ops".to_owned())
        .await
        .unwrap();
    let end = deliver(&["a"], s.clock);
    assert_eq!(
        s.store
            .finish_retrieval(held.lease, vec![], end)
            .await
            .unwrap(),
        Held::Lost
    );
    assert_eq!(
        s.store.claim_events(soon(s.clock), 10).await.unwrap().len(),
        1
    );
}

async fn a_document_is_not_read_once_its_delivery_is_taken_away(s: Opened) {
    let event = delivering(&s, "s", &["a"]).await;
    let ran_out = claim_delivery(&s, soon(s.clock)).await;
    assert!(is_readable(&s, &ran_out).await);
    let minutes_later = due(s.clock, Duration::from_secs(120), Duration::from_secs(60));
    let given_back = claim_delivery(&s, minutes_later).await;
    assert!(!is_readable(&s, &ran_out).await);
    assert!(is_readable(&s, &given_back).await);
    s.store.release(s.clock.steady()).await.unwrap();
    assert!(!is_readable(&s, &given_back).await);
    for from in [ReplayFrom::Deliver, ReplayFrom::Retrieve] {
        let held = claim_delivery(&s, soon(s.clock)).await;
        s.store
            .replay(event, from, vec![], "ops".to_owned())
            .await
            .unwrap();
        assert!(!is_readable(&s, &held).await, "replayed: {from:?}");
    }
}

async fn claim_delivery(s: &Opened, due: Due) -> DeliveryLease {
    let claimed = s.store.claim_deliveries("a", due).await;
    claimed.unwrap().remove(0).lease
}

async fn is_readable(s: &Opened, lease: &DeliveryLease) -> bool {
    s.store.document(lease).await.unwrap().is_some()
}

async fn a_replay_for_one_sink_gives_the_others_nothing_before_it_is_fetched(s: Opened) {
    let event = delivering(&s, "s", &["a", "b"]).await;
    let sinks = vec!["a".to_owned()];
    s.store
        .replay(event, ReplayFrom::Retrieve, sinks, "ops".to_owned())
        .await
        .unwrap();
    for sink in ["a", "b"] {
        let due = s.store.claim_deliveries(sink, soon(s.clock)).await.unwrap();
        assert!(due.is_empty(), "{sink} would get it without its resources");
    }
    let claimed = s.store.claim_events(soon(s.clock), 10).await.unwrap();
    let end = deliver(&["a", "b"], s.clock);
    s.store
        .finish_retrieval(claimed[0].lease, vec![fetched(0, "{}")], end)
        .await
        .unwrap();
    for sink in ["a", "b"] {
        let due = s.store.claim_deliveries(sink, soon(s.clock)).await.unwrap();
        assert_eq!(due.len(), 1, "{sink}");
    }
}

async fn a_replay_for_one_sink_takes_the_delivery_to_another_from_nobody(s: Opened) {
    let event = delivering(&s, "s", &["a", "b"]).await;
    let held = s.store.claim_deliveries("b", soon(s.clock)).await.unwrap();
    let sinks = vec!["a".to_owned()];
    s.store
        .replay(event, ReplayFrom::Deliver, sinks, "ops".to_owned())
        .await
        .unwrap();
    let again = s.store.claim_deliveries("b", soon(s.clock)).await.unwrap();
    assert!(again.is_empty(), "two deliver the same");
    let end = DeliveryEnd::Delivered { at: s.clock.now() };
    let ended = s
        .store
        .finish_delivery(held[0].lease.clone(), end)
        .await
        .unwrap();
    assert_eq!(ended, Ended::NotYet);
}

async fn what_is_given_back_is_due_at_once(s: Opened) {
    append(&s.journal, completed("s", &[("contents", "/0".to_owned())])).await;
    let held = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    s.store
        .record_links(held.lease, vec![fetched(0, "{}")])
        .await
        .unwrap();
    s.store.release(s.clock.steady()).await.unwrap();
    let again = s
        .store
        .claim_events(soon(s.clock), 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        again.attempt, 1,
        "an attempt that was cut short does not count"
    );
    assert_eq!(
        again.links[0].state,
        LinkState::Fetched,
        "what was written down is still known"
    );
    let end = deliver(&[], s.clock);
    assert_eq!(
        s.store
            .finish_retrieval(held.lease, vec![], end)
            .await
            .unwrap(),
        Held::Lost
    );
}

async fn a_purge_keeps_the_receipt_and_the_dedupe_key(s: Opened) {
    let event = delivering(&s, "s", &["a"]).await;
    let held = claim_delivery(&s, soon(s.clock)).await;
    assert!(s.store.purge(event, "ops".to_owned()).await.unwrap());
    assert_eq!(s.store.payload(event).await.unwrap(), None);
    assert!(!is_readable(&s, &held).await);
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert!(detail.event.content_purged);
    assert!(
        s.store
            .claim_deliveries("a", soon(s.clock))
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        append(&s.journal, failure("s")).await,
        Appended::Duplicate(event)
    );
    let replayed = s
        .store
        .replay(event, ReplayFrom::Retrieve, vec![], "ops".to_owned())
        .await
        .unwrap();
    assert_eq!(replayed, Replayed::NoContent);
    assert!(
        !s.store
            .purge(EventId::generate(), "ops".to_owned())
            .await
            .unwrap()
    );
}

async fn what_an_operator_purged_is_dead_no_more_and_keeps_its_reason(s: Opened) {
    let event = delivering(&s, "s", &["a"]).await;
    finish(&s, "a", dead()).await;
    let junk = quarantine(&s.journal, b"junk").await;
    let stats = s.store.stats().await.unwrap();
    assert_eq!(stats.count(EventState::Dead), 1);
    for purged in [event, junk] {
        let before = s.store.event(purged).await.unwrap().unwrap().event;
        assert!(s.store.purge(purged, "ops".to_owned()).await.unwrap());
        let after = s.store.event(purged).await.unwrap().unwrap().event;
        assert_eq!(after.state, EventState::Purged);
        assert!(after.last_error.is_some());
        assert_eq!(after.last_error, before.last_error);
    }
    let stats = s.store.stats().await.unwrap();
    let counts = [
        EventState::Dead,
        EventState::Quarantined,
        EventState::Purged,
    ];
    assert_eq!(counts.map(|state| stats.count(state)), [0, 0, 2]);
    assert_eq!(stats.total(), 2);
    for (state, count) in [
        (EventState::Dead, 0),
        (EventState::Quarantined, 0),
        (EventState::Purged, 2),
    ] {
        let filter = Filter {
            state: Some(state),
            ..Filter::default()
        };
        let page = s.store.list(filter, 10, None).await.unwrap();
        assert_eq!(page.events.len(), count, "{state}");
    }
    assert!(s.store.inspect().await.unwrap().is_empty());
}

async fn what_a_gone_sink_does_not_have_is_found_dropped_or_given_to_another(s: Opened) {
    let known = || vec!["kept".to_owned(), "new".to_owned()];
    let both = delivering(&s, "both", &["gone", "kept"]).await;
    finish(&s, "kept", delivered(&s)).await;
    let dead_there = delivering(&s, "dead", &["gone"]).await;
    // The one of the two that is due first is claimed, and it is given up.
    let claimed = s.store.claim_deliveries("gone", soon(s.clock)).await;
    for claimed in claimed.unwrap() {
        let end = if claimed.id == dead_there {
            dead()
        } else {
            DeliveryEnd::Retry {
                at: s.clock.steady(),
                reason: "down".to_owned(),
            }
        };
        s.store.finish_delivery(claimed.lease, end).await.unwrap();
    }
    let only = delivering(&s, "only", &["gone"]).await;
    assert_eq!(
        s.store.orphans(known()).await.unwrap(),
        [("gone".to_owned(), 2)]
    );
    let all = vec!["gone".to_owned(), "kept".to_owned()];
    assert!(s.store.orphans(all).await.unwrap().is_empty());

    let to_new = async || {
        let (from, to) = ("gone".to_owned(), "new".to_owned());
        let given = s.store.readdress(from, to, 1, "ops".to_owned()).await;
        given.unwrap()
    };
    assert_eq!(to_new().await, 1, "no more than the limit");
    let dropped = s
        .store
        .drop_deliveries("gone".to_owned(), 10, "ops".to_owned())
        .await
        .unwrap();
    assert_eq!((dropped, to_new().await), (2, 0));
    assert!(s.store.orphans(known()).await.unwrap().is_empty());
    let claimed = s.store.claim_deliveries("new", soon(s.clock)).await;
    let claimed = claimed.unwrap();
    assert_eq!(claimed.len(), 1);
    for delivery in claimed {
        s.store
            .finish_delivery(delivery.lease, delivered(&s))
            .await
            .unwrap();
    }
    for event in [both, dead_there, only] {
        let detail = s.store.event(event).await.unwrap().unwrap();
        assert_eq!(detail.event.state, EventState::Done, "{detail:?}");
        assert!(
            detail
                .attempts
                .iter()
                .any(|it| it.detail.contains("by ops"))
        );
        assert!(detail.deliveries.iter().all(|it| it.sink != "gone"));
    }
    assert!(s.store.inspect().await.unwrap().is_empty());
}

async fn a_quarantined_event_becomes_the_notification_that_it_is(s: Opened) {
    let event = quarantine(&s.journal, b"what an older version could not read").await;
    let parsed =
        |session: &str| Box::new(Notification::parse(Bytes::from(failure(session))).unwrap());
    let known = id(append(&s.journal, failure("known")).await);
    let requeue = async |event, session: &str| {
        let done = s.store.requeue(event, parsed(session), "ops".to_owned());
        done.await.unwrap()
    };
    assert_eq!(requeue(event, "known").await, Requeued::Duplicate(known));
    assert_eq!(requeue(known, "x").await, Requeued::NotQuarantined);
    assert_eq!(requeue(EventId::generate(), "x").await, Requeued::NotFound);
    assert_eq!(requeue(event, "new").await, Requeued::Scheduled);
    assert_eq!(requeue(event, "new").await, Requeued::NotQuarantined);
    let claimed = s.store.claim_events(soon(s.clock), 10).await.unwrap();
    let claimed = claimed.iter().find(|claimed| claimed.id == event).unwrap();
    assert_eq!(claimed.session_id, "new");
    assert_eq!(
        append(&s.journal, failure("new")).await,
        Appended::Duplicate(event)
    );
    assert!(s.store.inspect().await.unwrap().is_empty());
}

async fn retention_purges_what_is_done_and_keeps_what_is_dead(s: Opened) {
    let done = delivering(&s, "done", &["a"]).await;
    finish(&s, "a", delivered(&s)).await;
    let lost = delivering(&s, "dead", &["a"]).await;
    finish(&s, "a", dead()).await;
    let content_only = Expiry {
        receipts: 0,
        ..expired(&s)
    };
    let purged = s.store.retain(content_only, 10).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (1, 0));
    assert_eq!(s.store.payload(done).await.unwrap(), None);
    assert!(s.store.payload(lost).await.unwrap().is_some());
    let purged = s.store.retain(expired(&s), 10).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (0, 1));
    assert!(s.store.event(done).await.unwrap().is_none());
    assert!(s.store.event(lost).await.unwrap().is_some());
}

/// All that ended so far is old enough, but for what has no age limit.
fn expired(s: &Opened) -> Expiry {
    let soon = s.clock.steady_in(Duration::from_secs(1));
    Expiry {
        content: soon,
        dead: None,
        quarantined: None,
        receipts: soon,
    }
}

async fn what_is_dead_or_quarantined_goes_where_an_age_limit_is_set(s: Opened) {
    let lost = delivering(&s, "dead", &["a"]).await;
    finish(&s, "a", dead()).await;
    let junk = quarantine(&s.journal, b"[]").await;
    keep_unauthentic(&s, b"refused").await;
    let soon = Some(s.clock.steady_in(Duration::from_secs(1)));
    let limited = Expiry {
        dead: soon,
        quarantined: soon,
        ..expired(&s)
    };
    let purged = s.store.retain(limited, 10).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (2, 2));
    assert!(s.store.event(lost).await.unwrap().is_none());
    assert!(s.store.event(junk).await.unwrap().is_none());
    assert_eq!(s.store.stats().await.unwrap().unauthentic, 0);
}

async fn refused_requests_are_kept_within_bounds_the_newest_first_to_stay(s: Opened) {
    for n in 0..5u8 {
        keep_unauthentic(&s, &[n; 10]).await;
    }
    let kept = s.store.unauthentic(0, 10).await.unwrap();
    let bodies: Vec<u8> = kept.iter().map(|(_, request)| request.body[0]).collect();
    assert_eq!(bodies, [2, 3, 4], "three are within 35 bytes");
    let (number, oldest) = &kept[0];
    assert_eq!(oldest.signature, "ab".repeat(32));
    assert_eq!(oldest.generated_at, "1765977748432");
    assert_eq!(s.store.unauthentic(*number, 1).await.unwrap(), kept[1..2]);
    s.store.forget_unauthentic(vec![*number]).await.unwrap();
    assert_eq!(s.store.unauthentic(0, 10).await.unwrap(), kept[1..]);
    assert_eq!(s.store.stats().await.unwrap().unauthentic, 2);
}

async fn keep_unauthentic(s: &Opened, body: &[u8]) {
    let request = Unauthentic {
        received_at: Clock::start().now(),
        generated_at: "1765977748432".to_owned(),
        signature: "ab".repeat(32),
        body: Bytes::copy_from_slice(body),
    };
    let bounds = Bounds {
        requests: 4,
        bytes: 35,
    };
    s.store
        .keep_unauthentic(vec![request], bounds)
        .await
        .unwrap();
}

async fn an_inspection_of_a_well_store_finds_nothing(s: Opened) {
    delivering(&s, "done", &["a"]).await;
    finish(&s, "a", delivered(&s)).await;
    delivering(&s, "half", &["a"]).await;
    append(&s.journal, failure("new")).await;
    quarantine(&s.journal, b"[]").await;
    assert_eq!(s.store.inspect().await.unwrap(), [] as [&str; 0]);
}

async fn a_list_has_the_newest_first_and_pages_without_gaps(s: Opened) {
    let mut appended = Vec::new();
    for n in 0..7 {
        appended.push(id(append(&s.journal, failure(&format!("s{n}"))).await));
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = s.store.list(Filter::default(), 3, cursor).await.unwrap();
        seen.extend(page.events.iter().map(|event| event.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    appended.reverse();
    assert_eq!(seen, appended);
    let filter = Filter {
        session_id: Some("s3".to_owned()),
        ..Filter::default()
    };
    assert_eq!(
        s.store.list(filter, 10, None).await.unwrap().events.len(),
        1
    );
    let filter = Filter {
        encounter_id: Some("e-s3".to_owned()),
        outcome: Some(Outcome::Completed),
        ..Filter::default()
    };
    assert!(
        s.store
            .list(filter, 10, None)
            .await
            .unwrap()
            .events
            .is_empty()
    );
    let of_encounter = || Filter {
        encounter_id: Some("e-s3".to_owned()),
        ..Filter::default()
    };
    assert_eq!(
        s.store
            .list(of_encounter(), 10, None)
            .await
            .unwrap()
            .events
            .len(),
        1
    );
    s.store.claim_events(soon(s.clock), 10).await.unwrap();
    assert_eq!(
        s.store
            .list(of_encounter(), 10, None)
            .await
            .unwrap()
            .events
            .len(),
        1
    );
}

async fn counts_add_up_to_what_was_appended(s: Opened) {
    delivering(&s, "a", &["a"]).await;
    finish(&s, "a", delivered(&s)).await;
    append(&s.journal, failure("b")).await;
    quarantine(&s.journal, b"junk").await;
    let stats = s.store.stats().await.unwrap();
    let count = |state| {
        stats
            .events
            .iter()
            .find(|(known, _)| *known == state)
            .unwrap()
            .1
    };
    assert_eq!(stats.events.iter().map(|(_, n)| n).sum::<u64>(), 3);
    assert_eq!(
        (
            count(EventState::Done),
            count(EventState::Received),
            count(EventState::Quarantined)
        ),
        (1, 1, 1)
    );
    assert!(stats.oldest_pending.is_some());
}
