//! Retrieves events: claims one, makes an attempt, records its end, and starts the deliveries.
//!
//! Sinks that want only the notification do not wait for retrieval: they get it first.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::FutureExt;

use super::breaker::{Admit, Breaker};
use super::claims::Work;
use super::deliver::Outlet;
use super::{Shared, report, trace};
use crate::config::{Follow, Include, Reconcile, Refresh};
use crate::domain::{Cause, EventState, Outcome, Reason, Sequence};
use crate::journal::{
    self, Claimed, ClaimedDelivery, ClaimedEvent, End, Ended, How, Lease, Permit, Retrieval, Task,
    Wanted,
};
use crate::lifecycle::TaskGroup;
use crate::sdp::{self};

/// The work of retrieval.
pub(super) struct Retriever {
    pub(super) shared: Arc<Shared>,
    pub(super) sdp: Option<sdp::Client>,
    pub(super) follow: Follow,
    /// Whether and how expected sessions are polled.
    pub(super) reconcile: Reconcile,
    /// The events and content that each sink wants.
    pub(super) wants: Arc<Vec<Wants>>,
    /// When missing content is fetched again.
    pub(super) refresh: Refresh,
    pub(super) outlets: Arc<Vec<Outlet>>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) tasks: TaskGroup,
}

/// The events and content that one sink wants.
pub(super) struct Wants {
    pub(super) sink: String,
    pub(super) events: Vec<Outcome>,
    pub(super) include: Include,
}

impl Retriever {
    /// Whether some sink wants only the notification, and so does not wait for retrieval.
    fn announces(&self) -> bool {
        let mut wants = self.wants.iter();
        wants.any(|wants| wants.include == Include::NotificationOnly)
    }

    /// Whether this task is to announce a new event to the sinks that do not wait for retrieval.
    fn is_announced_first(&self, task: &Task) -> bool {
        *task == Task::New && self.announces()
    }
}

#[async_trait]
impl Work for Retriever {
    type Item = ClaimedEvent;
    const NAME: &'static str = "retrieval";

    async fn claim(&self, limit: usize) -> Result<Vec<ClaimedEvent>, journal::Error> {
        let admit = match self.sdp {
            Some(_) => self.breaker.admit(Instant::now()),
            None => Admit::None,
        };
        let most_with_sdp = match admit {
            Admit::All => limit,
            Admit::One => 1,
            Admit::None => 0,
        };
        // Events to announce come first, whether or not the API may be called.
        let tasks = if self.announces() {
            vec![
                (vec![Task::New, Task::Forward], limit),
                (vec![Task::Retrieve], most_with_sdp),
            ]
        } else {
            vec![
                (vec![Task::Forward], limit),
                (vec![Task::Retrieve, Task::New], most_with_sdp),
            ]
        };
        let wanted = Wanted {
            now: self.shared.clock.monotonic(),
            tasks,
            limit,
        };
        let claimed = self.shared.journal.claim(wanted).await.map(|claimed| {
            let events = claimed.into_iter().filter_map(|claimed| match claimed {
                Claimed::Event(event) => Some(*event),
                Claimed::Delivery(_) | Claimed::Late(_) => None,
            });
            events.collect::<Vec<ClaimedEvent>>()
        });
        let tries = |claimed: &Vec<ClaimedEvent>| {
            let mut tasks = claimed.iter().map(|event| event.lease.task());
            tasks.any(|task| *task != Task::Forward && !self.is_announced_first(task))
        };
        if admit == Admit::One && !claimed.as_ref().is_ok_and(tries) {
            self.breaker.probe_ended();
        }
        claimed
    }

    fn lets_in(&self) -> bool {
        self.sdp.is_some() && self.breaker.is_closed()
    }

    async fn work(self: Arc<Self>, claimed: ClaimedEvent, permit: Permit) {
        let span = trace::retrieval(&self.shared, &claimed);
        span.scope(self.retrieve(claimed, permit)).await;
    }
}

impl Retriever {
    /// Makes one attempt and records its end.
    async fn retrieve(&self, claimed: ClaimedEvent, permit: Permit) {
        let (journal, task) = (&self.shared.journal, claimed.lease.task().clone());
        let start = Instant::now();
        let is_announced = self.is_announced_first(&task) && !claimed.receipt.is_late();
        let attempt = async {
            if is_announced {
                self.announced(&claimed)
            } else {
                self.attempt_once(&claimed).await
            }
        };
        let attempt = tokio::select! {
            biased;
            () = journal.lost() => None,
            attempt = AssertUnwindSafe(attempt).catch_unwind() => Some(attempt),
        };
        if task != Task::Forward && !is_announced {
            self.breaker.probe_ended();
        }
        let Some(attempt) = attempt else {
            // This instance's leases are no longer valid: another instance will do this work, and a result from here
            // would not be recorded.
            return journal.abandon(&claimed.lease);
        };
        drop(permit);
        let mut end = attempt.unwrap_or_else(|_| {
            let (found, wait) = (claimed.found.clone(), self.wait(&claimed, None));
            self.retry(
                &claimed,
                found,
                wait,
                true,
                Reason::new(Cause::Internal, "processing panicked"),
            )
        });
        report::attempt(&claimed, &end);
        trace::retrieved(&end);
        let permits = self.take_permits(&mut end);
        let ended = self.shared.ends.write(End {
            lease: claimed.lease.clone(),
            how: How::Retrieval(Box::new(end.clone())),
            took: start.elapsed(),
            instance: Arc::clone(&self.shared.instance),
        });
        match ended.await {
            Some(Ended::Kept {
                event,
                deliveries,
                sequence,
            }) => {
                self.start(&claimed, &end, (deliveries, sequence), permits);
                self.kept(&claimed, &end, event);
                self.expect_siblings(&claimed).await;
            }
            Some(Ended::Lost) => {
                tracing::debug!(event.id = %claimed.receipt.id, "another attempt has taken over");
            }
            None => {}
        }
    }

    /// Takes a permit of each sink that has a free one. Those deliveries then start without another read from the
    /// store.
    fn take_permits(&self, end: &mut Retrieval) -> Vec<Option<Permit>> {
        let Retrieval::Deliver { sinks, .. } = end else {
            return Vec::new();
        };
        let permits = sinks.iter_mut().map(|planned| {
            let outlet = self.outlet(&planned.sink)?;
            let permit = outlet.admission.try_acquire();
            planned.is_held = permit.is_some();
            permit
        });
        permits.collect()
    }

    fn outlet(&self, sink: &str) -> Option<&Outlet> {
        self.outlets.iter().find(|outlet| outlet.name() == sink)
    }

    /// Starts the deliveries whose leases this instance holds.
    fn start(
        &self,
        claimed: &ClaimedEvent,
        end: &Retrieval,
        (leases, sequence): (Vec<Lease>, Option<Sequence>),
        mut permits: Vec<Option<Permit>>,
    ) {
        let Retrieval::Deliver { found, sinks, .. } = end else {
            return;
        };
        if leases.is_empty() {
            return;
        }
        let mut document = claimed.receipt.document(found);
        document.sequence = sequence;
        let document = Arc::new(document);
        for lease in leases {
            let Task::Deliver(sink) = lease.task().clone() else {
                continue;
            };
            let at = sinks.iter().position(|planned| planned.sink == sink);
            let permit = at.and_then(|at| permits[at].take());
            if let (Some(outlet), Some(permit)) = (self.outlet(&sink), permit) {
                let delivery = ClaimedDelivery {
                    lease,
                    started_at: self.shared.clock.monotonic(),
                    attempt: 1,
                    document: Arc::clone(&document),
                };
                outlet.start(delivery, permit, &self.tasks);
            } else {
                self.shared.journal.abandon(&lease);
            }
        }
    }

    /// After an attempt's end was recorded: wakes the tasks that continue the work, and counts it.
    fn kept(&self, claimed: &ClaimedEvent, end: &Retrieval, over: Option<EventState>) {
        let source = claimed.receipt.source;
        let mut is_any_due = true;
        match end {
            Retrieval::Retry { sinks, .. } => is_any_due = !sinks.is_empty(),
            Retrieval::Announced { .. } => self.shared.journal.wake(),
            Retrieval::Deliver { found, sinks, .. } => {
                self.shared.metrics.session(found.session.outcome, source);
                is_any_due = sinks.iter().any(|planned| !planned.is_held);
            }
            Retrieval::Same { found, .. } | Retrieval::Dead { found, .. } => {
                self.shared.metrics.session(found.session.outcome, source);
            }
        }
        if is_any_due {
            self.outlets
                .iter()
                .for_each(|outlet| outlet.wakeup.notify_one());
        }
        let stands = over.unwrap_or(match end {
            Retrieval::Deliver { .. } | Retrieval::Same { .. } => EventState::Delivering,
            Retrieval::Retry { .. } | Retrieval::Announced { .. } => EventState::Retrieving,
            Retrieval::Dead { .. } => EventState::Dead,
        });
        if stands == EventState::Dead {
            self.shared.metrics.dead();
        }
        self.shared
            .journal
            .feed()
            .publish(claimed.receipt.id, stands);
    }
}
