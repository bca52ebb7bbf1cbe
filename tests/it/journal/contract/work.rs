//! What the tests of every store share to work as the worker does: claims, and how work ends.

use std::time::Duration;

use bytes::Bytes;
use suki_receiver::domain::{
    Cause, Clock, EventState, LinkGroup, LinkState, Outcome, Reason, Session, SessionKind,
};
use suki_receiver::journal::{
    Claimed, ClaimedDelivery, ClaimedEvent, DeliveryEnd, End, Ended, Found, How, Journal,
    LateEvent, Lease, LinkRecord, Linked, Planned, PostgresStore, Retrieval, SqliteStore, Store,
    Task, Wanted,
};

use crate::support::FailingStore;

/// The tasks that bring an event to its sinks.
pub const EVENTS: [Task; 3] = [Task::Forward, Task::New, Task::Retrieve];

/// What is due of these tasks `ahead` of the present.
pub fn due(clock: Clock, ahead: Duration, tasks: &[Task]) -> Wanted {
    Wanted {
        now: clock.monotonic_in(ahead),
        tasks: vec![(tasks.to_vec(), 1000)],
        limit: 1000,
    }
}

/// What is due of these tasks now.
pub fn soon(clock: Clock, tasks: &[Task]) -> Wanted {
    due(clock, Duration::from_millis(5), tasks)
}

pub fn to(sink: &str) -> Task {
    Task::Deliver(sink.to_owned())
}

pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Where work is claimed and ended: at a store, or at the journal in front of it.
pub trait Queue {
    fn take(&self, wanted: Wanted) -> impl Future<Output = Vec<Claimed>> + Send;
    fn put_down(&self, end: End) -> impl Future<Output = Ended> + Send;
}

macro_rules! queues {
    ($($queue:ty),+) => {$(
        impl Queue for $queue {
            async fn take(&self, wanted: Wanted) -> Vec<Claimed> {
                self.claim(wanted).await.unwrap()
            }

            async fn put_down(&self, end: End) -> Ended {
                self.finish(vec![end]).await.unwrap().remove(0)
            }
        }
    )+};
}

queues!(
    dyn Store + '_,
    SqliteStore,
    PostgresStore,
    FailingStore,
    Journal
);

/// Claims every event that is due now.
pub async fn claim_events(queue: &(impl Queue + ?Sized), clock: Clock) -> Vec<ClaimedEvent> {
    events(queue.take(soon(clock, &EVENTS)).await)
}

/// Claims every delivery to this sink that is due now.
pub async fn claim_deliveries(
    queue: &(impl Queue + ?Sized),
    sink: &str,
    clock: Clock,
) -> Vec<ClaimedDelivery> {
    deliveries(queue.take(soon(clock, &[to(sink)])).await)
}

/// Claims every event whose late content is to be asked for now.
pub async fn claim_late(queue: &(impl Queue + ?Sized), clock: Clock) -> Vec<LateEvent> {
    let claimed = queue.take(soon(clock, &[Task::Refresh])).await;
    let late = claimed.into_iter().map(|claimed| match claimed {
        Claimed::Late(late) => *late,
        other => panic!("not asked for: {other:?}"),
    });
    late.collect()
}

pub fn events(claimed: Vec<Claimed>) -> Vec<ClaimedEvent> {
    let events = claimed.into_iter().map(|claimed| match claimed {
        Claimed::Event(event) => *event,
        other => panic!("not asked for: {other:?}"),
    });
    events.collect()
}

pub fn deliveries(claimed: Vec<Claimed>) -> Vec<ClaimedDelivery> {
    let deliveries = claimed.into_iter().map(|claimed| match claimed {
        Claimed::Delivery(delivery) => delivery,
        other => panic!("not asked for: {other:?}"),
    });
    deliveries.collect()
}

/// Writes down how one piece of work ended.
pub async fn end(queue: &(impl Queue + ?Sized), lease: &Lease, how: impl Into<Ending>) -> Ended {
    let end = End {
        lease: lease.clone(),
        how: how.into().0,
        took: std::time::Duration::ZERO,
        instance: "one".into(),
    };
    queue.put_down(end).await
}

/// How work ended, from its kind.
pub struct Ending(How);

impl From<Retrieval> for Ending {
    fn from(retrieval: Retrieval) -> Self {
        Self(How::Retrieval(Box::new(retrieval)))
    }
}

impl From<DeliveryEnd> for Ending {
    fn from(delivery: DeliveryEnd) -> Self {
        Self(How::Delivery(delivery))
    }
}

impl From<How> for Ending {
    fn from(how: How) -> Self {
        Self(how)
    }
}

/// It was written down, and nothing is held by it.
pub fn kept(event: Option<EventState>) -> Ended {
    Ended::Kept {
        sequence: None,
        event,
        deliveries: Vec::new(),
    }
}

/// What was found of a completed session.
pub fn found(links: Vec<Linked>) -> Found {
    Found {
        session: Session {
            outcome: Outcome::Completed,
            kind: SessionKind::Ambient,
            status: Some("completed".to_owned()),
        },
        links,
    }
}

/// It goes to these sinks, with these links.
pub fn deliver(sinks: &[&str], links: Vec<Linked>) -> Retrieval {
    deliver_as(sinks, false, links)
}

/// The same, and whoever retrieved it delivers it.
pub fn deliver_at_once(sinks: &[&str], links: Vec<Linked>) -> Retrieval {
    deliver_as(sinks, true, links)
}

fn deliver_as(sinks: &[&str], is_held: bool, links: Vec<Linked>) -> Retrieval {
    let planned = |&sink: &&str| Planned {
        sink: sink.to_owned(),
        is_held,
    };
    Retrieval::Deliver {
        found: found(links),
        sinks: sinks.iter().map(planned).collect(),
        refresh_at: None,
    }
}

pub fn fetched(n: u32, body: impl AsRef<[u8]>) -> Linked {
    let body = body.as_ref();
    let (group, href) = (LinkGroup::new("contents"), format!("/{n}"));
    let link = LinkRecord {
        instance: Some("one".to_owned()),
        http_status: Some(200),
        bytes: Some(body.len() as u64),
        fetched_at: Some(Clock::start().now()),
        ..LinkRecord::new(n, group, href, LinkState::Fetched)
    };
    Linked {
        link,
        body: Some(Bytes::copy_from_slice(body)),
    }
}

/// A link that led to nothing.
pub fn missing(n: u32) -> Linked {
    let mut linked = fetched(n, "");
    linked.link.state = LinkState::Missing;
    linked.link.http_status = Some(404);
    linked.link.bytes = None;
    linked.link.reason = Some("HTTP 404".to_owned());
    linked.body = None;
    linked
}

pub fn delivered(clock: Clock) -> DeliveryEnd {
    DeliveryEnd::Delivered {
        at: clock.now(),
        applied_by: None,
    }
}

pub fn dead() -> DeliveryEnd {
    DeliveryEnd::Dead {
        reason: Reason::new(Cause::Internal, "HTTP 400"),
    }
}
