//! Causes, and replays of all that a filter finds.

use suki_receiver::domain::{Cause, DeliveryState, EventId, EventState, Reason};
use suki_receiver::journal::{
    AuditEntry, AuditFilter, Cancelled, Filter, JobState, NewReplayJob, Order, ReplayFrom,
    ReplayJob, ReplayStep, Retrieval, Standing, Tally,
};

use super::*;
use crate::support::failure;

fn dead_of(cause: Cause) -> DeliveryEnd {
    DeliveryEnd::Dead {
        reason: Reason::new(cause, "HTTP 422").answered(Some(422)),
    }
}

async fn begin(s: &Opened, filter: Filter) -> ReplayJob {
    let id = s.store.begin_job(NewReplayJob {
        filter,
        from: ReplayFrom::Deliver,
        sinks: Vec::new(),
        rate: Some(5),
        actor: "ops".to_owned(),
        reason: Some("the rule is fixed".to_owned()),
        created_at: s.clock.now(),
    });
    let id = id.await.unwrap();
    s.store.job(id).await.unwrap().unwrap()
}

fn step(job: &ReplayJob, events: &[EventId], next: i64) -> ReplayStep {
    ReplayStep {
        job: job.id,
        cursor: job.cursor,
        next,
        events: events.to_vec(),
        is_last: false,
        configured: names(&["a", "b"]),
    }
}

async fn listed(s: &Opened, filter: Filter) -> Vec<EventId> {
    let page = s.store.list(filter, 100, None).await.unwrap();
    page.events.iter().map(|event| event.id).collect()
}

pub async fn what_did_not_succeed_is_grouped_by_its_cause_and_found_by_it(s: Opened) {
    let rejected = s.delivering("s1", &["a", "b"]).await;
    s.make("a", s.delivered()).await;
    s.make("b", dead_of(Cause::DeliverRejected)).await;
    let unread = id(append(&s.journal, failure("s2")).await);
    let claimed = s.event().await;
    let found = claimed.found.clone();
    let reason = Reason::new(Cause::FetchIdentity, "contents: HTTP 403").answered(Some(403));
    let dead = Retrieval::Dead {
        found,
        reason,
        sinks: Vec::new(),
    };
    s.end(&claimed.lease, dead).await;
    let junk = id(append(&s.journal, b"<xml/>".to_vec()).await);

    let groups = s.store.causes().await.unwrap();
    let mut told: Vec<_> = groups
        .iter()
        .map(|group| {
            (
                group.standing,
                group.cause,
                group.sink.as_deref(),
                group.events,
            )
        })
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            (Standing::Dead, Cause::FetchIdentity, None, 1),
            (Standing::Dead, Cause::DeliverRejected, Some("b"), 1),
            (Standing::Quarantined, Cause::ParseNotJson, None, 1),
        ]
    );
    let of_cause = |cause| Filter {
        cause: Some(cause),
        ..Filter::default()
    };
    assert_eq!(listed(&s, of_cause(Cause::FetchIdentity)).await, [unread]);
    assert_eq!(listed(&s, of_cause(Cause::ParseNotJson)).await, [junk]);
    let at = |sink: &str, delivery| Filter {
        sink: Some(sink.to_owned()),
        delivery,
        ..of_cause(Cause::DeliverRejected)
    };
    assert_eq!(listed(&s, at("b", None)).await, [rejected]);
    assert!(listed(&s, at("a", None)).await.is_empty());
    let delivered = Filter {
        sink: Some("a".to_owned()),
        delivery: Some(DeliveryState::Delivered),
        ..Filter::default()
    };
    assert_eq!(listed(&s, delivered).await, [rejected]);
    let several = Filter {
        states: vec![EventState::Dead, EventState::Quarantined],
        order: Order::OldestFirst,
        ..Filter::default()
    };
    assert_eq!(listed(&s, several.clone()).await, [rejected, unread, junk]);
    assert_eq!(s.store.count(several, 2).await.unwrap(), 2);

    let detail = s.store.event(rejected).await.unwrap().unwrap();
    assert_eq!(detail.event.cause, Some(Cause::DeliverRejected));
    let at_b = &detail.deliveries[1];
    assert_eq!(at_b.cause, Some(Cause::DeliverRejected));
    assert_eq!(at_b.http_status, Some(422));
    assert!(at_b.took.is_some());
    let attempt = detail.attempts.last().unwrap();
    assert_eq!(attempt.cause, Some(Cause::DeliverRejected));
    assert!(s.store.purge(unread, "ops".to_owned()).await.unwrap());
    assert!(listed(&s, of_cause(Cause::FetchIdentity)).await.is_empty());
    s.is_well().await;
}

pub async fn a_job_replays_each_event_once_and_tells_what_became_of_it(s: Opened) {
    let mut dead = Vec::new();
    for session in ["s1", "s2"] {
        dead.push(s.delivering(session, &["a"]).await);
        s.make("a", dead_of(Cause::DeliverTimeout)).await;
    }
    let unread = id(append(&s.journal, failure("s3")).await);
    let filter = Filter::of_state(EventState::Dead);
    let preview = s.store.preview(Filter::default()).await.unwrap();
    assert_eq!(preview.total(), 3);
    let expected = Tally {
        scheduled: 2,
        not_retrieved: 1,
        ..Tally::default()
    };
    assert_eq!(preview.tally(ReplayFrom::Deliver), expected);
    assert_eq!(preview.tally(ReplayFrom::Retrieve).scheduled, 3);

    let job = begin(&s, filter).await;
    assert_eq!((job.state, job.total), (JobState::Running, 2));
    assert_eq!(job.asked.reason.as_deref(), Some("the rule is fixed"));
    let claimed = s.store.claim_jobs().await.unwrap();
    assert_eq!(claimed.len(), 1);
    let first = step(&job, &dead[..1], 10);
    assert!(s.store.advance_job(first.clone()).await.unwrap());
    assert!(
        !s.store.advance_job(first).await.unwrap(),
        "its cursor has moved"
    );
    let progress = s.store.progress(job.id).await.unwrap();
    assert_eq!((progress.in_progress, progress.done), (1, 0));
    s.make("a", s.delivered()).await;
    assert!(s.deliveries("a").await.is_empty(), "once");

    let job = s.store.job(job.id).await.unwrap().unwrap();
    let last = ReplayStep {
        is_last: true,
        ..step(&job, &[dead[1], unread], 20)
    };
    assert!(s.store.advance_job(last).await.unwrap());
    s.make("a", dead_of(Cause::DeliverTimeout)).await;
    let job = s.store.job(job.id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Done);
    assert!(job.ended_at.is_some());
    assert_eq!((job.tally.scheduled, job.tally.not_retrieved), (2, 1));
    let progress = s.store.progress(job.id).await.unwrap();
    assert_eq!(
        (progress.in_progress, progress.done, progress.dead),
        (0, 1, 1)
    );
    assert!(s.store.claim_jobs().await.unwrap().is_empty());
    s.is_well().await;
}

pub async fn a_job_that_is_stopped_replays_no_more(s: Opened) {
    let dead = s.delivering("s", &["a"]).await;
    s.make("a", dead_of(Cause::DeliverTls)).await;
    let job = begin(&s, Filter::of_state(EventState::Dead)).await;
    let cancel = |id| s.store.cancel_job(id, "ann".to_owned());
    assert_eq!(cancel(job.id).await.unwrap(), Cancelled::Stopped);
    assert_eq!(cancel(job.id).await.unwrap(), Cancelled::Over);
    assert_eq!(cancel(job.id + 1).await.unwrap(), Cancelled::NotFound);
    assert!(!s.store.advance_job(step(&job, &[dead], 10)).await.unwrap());
    assert!(s.deliveries("a").await.is_empty());
    let jobs = s.store.jobs(10).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].state, JobState::Cancelled);
    assert_eq!(jobs[0].cancelled_by.as_deref(), Some("ann"));
}

pub async fn a_job_passes_over_what_is_for_sinks_that_are_gone(s: Opened) {
    let dead = s.delivering("s", &["old"]).await;
    s.make("old", dead_of(Cause::DeliverTls)).await;
    let job = begin(&s, Filter::of_state(EventState::Dead)).await;
    assert!(s.store.advance_job(step(&job, &[dead], 10)).await.unwrap());
    let job = s.store.job(job.id).await.unwrap().unwrap();
    assert_eq!((job.tally.scheduled, job.tally.no_sink), (0, 1));
    let detail = s.store.event(dead).await.unwrap().unwrap();
    assert_eq!(detail.event.state, EventState::Dead);
}

pub async fn the_audit_log_is_read_by_pages_and_by_who_did_what(s: Opened) {
    let event = EventId::generate();
    for (n, actor) in ["ann", "bob", "ann"].into_iter().enumerate() {
        let entry = AuditEntry {
            at: s.clock.now(),
            actor: actor.to_owned(),
            action: format!("read {n}"),
            event: (n == 2).then_some(event),
            reason: (n == 0).then(|| "a call of the clinic".to_owned()),
        };
        s.store.audit(entry).await.unwrap();
    }
    let read = async |filter, limit, cursor| {
        let page = s.store.audit_log(filter, limit, cursor).await.unwrap();
        let actions = page.entries.iter().map(|entry| entry.action.clone());
        (actions.collect::<Vec<_>>(), page.next)
    };
    let (newest, next) = read(AuditFilter::default(), 2, None).await;
    assert_eq!(newest, ["read 2", "read 1"]);
    let (rest, end) = read(AuditFilter::default(), 2, next).await;
    assert_eq!((rest, end), (vec!["read 0".to_owned()], None));
    let of_ann = AuditFilter {
        actor: Some("ann".to_owned()),
        ..AuditFilter::default()
    };
    assert_eq!(read(of_ann.clone(), 9, None).await.0, ["read 2", "read 0"]);
    let of_event = AuditFilter {
        event: Some(event),
        ..AuditFilter::default()
    };
    assert_eq!(read(of_event, 9, None).await.0, ["read 2"]);
    let page = s.store.audit_log(of_ann, 9, None).await.unwrap();
    let reason = page.entries[1].reason.as_deref();
    assert_eq!(reason, Some("a call of the clinic"));
}

pub async fn there_is_one_note_for_each_cause_and_sink_and_the_last_one_stands(s: Opened) {
    let note = async |sink: Option<&str>, text: Option<&str>, actor: &str| {
        let (sink, text) = (sink.map(str::to_owned), text.map(str::to_owned));
        let cause = Cause::DeliverRejected;
        let noting = s.store.note_cause(cause, sink, text, actor.to_owned());
        noting.await.unwrap();
        let notes = s.store.cause_notes().await.unwrap();
        let told = notes.into_iter().map(|note| {
            assert_eq!(note.cause, cause);
            let age = s.clock.now().duration_since(note.at);
            assert!(age.as_secs().abs() < 60, "{age:?}");
            (note.sink, note.text, note.actor)
        });
        told.collect::<Vec<_>>()
    };
    let of = |sink: Option<&str>, text: &str, actor: &str| {
        (sink.map(str::to_owned), text.to_owned(), actor.to_owned())
    };
    note(None, Some("asked Suki"), "ops").await;
    note(Some("ehr"), Some("ticket 4711"), "ops").await;
    let notes = note(Some("ehr"), Some("fixed on Friday"), "desk").await;
    let of_none = of(None, "asked Suki", "ops");
    assert_eq!(
        notes,
        [of_none.clone(), of(Some("ehr"), "fixed on Friday", "desk")]
    );
    assert_eq!(note(Some("ehr"), None, "ops").await, [of_none]);
    assert_eq!(note(Some("ehr"), None, "ops").await.len(), 1, "once more");
    assert!(note(None, None, "ops").await.is_empty());
}
