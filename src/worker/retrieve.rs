//! One event from receipt to ready: settle how its session ended, plan its links, fetch them, decide.
//!
//! Sinks that want the notification alone do not wait for that: they are told first.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;

use super::breaker::{Admit, Breaker};
use super::claims::Work;
use super::deliver::Outlet;
use super::plan;
use super::session::{is_unsettled, required_of};
use super::settle::{NotYet, Settled, is_unknowable, settle, unknowable_status};
use super::{Shared, backoff, report};
use crate::config::{Follow, Include, Refresh};
use crate::domain::{Notification, Outcome, Session};
use crate::journal::{
    self, Claimed, ClaimedDelivery, ClaimedEvent, End, Ended, Found, How, Lease, Link, Linked,
    Permit, Planned, Retrieval, Task, Wanted,
};
use crate::lifecycle::TaskGroup;
use crate::sdp::{self, Failure};

/// The work of retrieving.
pub(super) struct Retriever {
    pub(super) shared: Arc<Shared>,
    pub(super) sdp: Option<sdp::Client>,
    pub(super) follow: Follow,
    /// What each sink wants.
    pub(super) wants: Arc<Vec<Wants>>,
    /// When what never came is asked for again.
    pub(super) refresh: Refresh,
    pub(super) outlets: Arc<Vec<Outlet>>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) tasks: TaskGroup,
}

/// What one sink wants.
pub(super) struct Wants {
    pub(super) sink: String,
    pub(super) events: Vec<Outcome>,
    pub(super) include: Include,
}

impl Retriever {
    /// Whether some sink wants the notification alone, and does not wait for the rest.
    fn announces(&self) -> bool {
        let mut wants = self.wants.iter();
        wants.any(|wants| wants.include == Include::NotificationOnly)
    }

    /// Whether this event is new to sinks that do not wait for it to be retrieved.
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
        // First what has to be announced, whether or not the API can be asked.
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
        let (journal, task) = (&self.shared.journal, claimed.lease.task().clone());
        let is_announced = self.is_announced_first(&task);
        let attempt = async {
            if is_announced {
                self.announced(&claimed)
            } else {
                self.attempt(&claimed).await
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
            // Others are about to do it, and what comes of it here would not be written down.
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
                "processing panicked".to_owned(),
            )
        });
        report::attempt(&claimed, &end);
        let permits = self.take_permits(&mut end);
        let ended = self.shared.ends.write(End {
            lease: claimed.lease.clone(),
            how: How::Retrieval(Box::new(end.clone())),
        });
        match ended.await {
            Some(Ended::Kept { deliveries, .. }) => {
                self.start(&claimed, &end, deliveries, permits);
                self.kept(&claimed, &end);
            }
            Some(Ended::Lost) => {
                tracing::debug!(event.id = %claimed.receipt.id, "another attempt has taken over");
            }
            None => {}
        }
    }
}

impl Retriever {
    /// Takes room at each sink that has some now: what there is room for is delivered without another look into the
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

    /// Starts the deliveries that this instance holds.
    fn start(
        &self,
        claimed: &ClaimedEvent,
        end: &Retrieval,
        leases: Vec<Lease>,
        mut permits: Vec<Option<Permit>>,
    ) {
        let Retrieval::Deliver { found, sinks, .. } = end else {
            return;
        };
        if leases.is_empty() {
            return;
        }
        let document = Arc::new(claimed.receipt.document(found));
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

    /// An attempt's end is written down: whoever has to go on is told, and it is counted.
    fn kept(&self, claimed: &ClaimedEvent, end: &Retrieval) {
        let source = claimed.receipt.source;
        let mut is_any_due = true;
        match end {
            Retrieval::Retry { sinks, .. } => is_any_due = !sinks.is_empty(),
            Retrieval::Announced { .. } => self.shared.journal.wake(),
            Retrieval::Deliver { found, sinks, .. } => {
                self.shared.metrics.session(found.session.outcome, source);
                is_any_due = sinks.iter().any(|planned| !planned.is_held);
            }
            Retrieval::Dead { found, .. } => {
                self.shared.metrics.session(found.session.outcome, source);
            }
        }
        if is_any_due {
            self.outlets
                .iter()
                .for_each(|outlet| outlet.wakeup.notify_one());
        }
    }
}

impl Retriever {
    /// What the claimed event's sinks that want the notification alone are told, and from when on.
    fn announced(&self, claimed: &ClaimedEvent) -> Retrieval {
        // How it ended may still be found out; a sink that hears of it once should hear the right thing.
        let sinks = match claimed.found.session.outcome {
            // Without credentials nobody finds it out.
            Outcome::Unknown if self.sdp.is_some() => Vec::new(),
            outcome => self.sinks(outcome, Some(Include::NotificationOnly)),
        };
        Retrieval::Announced { sinks }
    }

    /// One attempt, start to end.
    async fn attempt(&self, claimed: &ClaimedEvent) -> Retrieval {
        let mut session = claimed.found.session.clone();
        let Some(notification) = claimed.notification.as_deref() else {
            let reason = "the stored notification cannot be read".to_owned();
            return self.dead(claimed, claimed.found.clone(), reason);
        };
        let needs_sdp = *claimed.lease.task() != Task::Forward;
        let Some(sdp) = self.sdp.as_ref().filter(|_| needs_sdp) else {
            let links = Vec::new();
            return self.deliver(Found { session, links });
        };
        let mut lost_status = None;
        let known = &claimed.found.links;
        if is_unsettled(&session, notification, &self.follow.required)
            && !known.iter().any(|linked| is_unknowable(&linked.link))
        {
            let start = Instant::now();
            let (follow, tried_for) = (&self.follow, claimed.tried_for);
            match settle(sdp, notification, session.clone(), follow, tried_for).await {
                Settled::Known(known) => {
                    self.breaker.success(Instant::now());
                    session = known;
                }
                Settled::NotYet(why) => return self.ask_again(claimed, session, why, start),
                Settled::Unknowable(failure) => {
                    self.note(&failure);
                    lost_status = Some(failure);
                }
            }
        }
        let mut links = if known.is_empty() {
            let planned = self.plan(sdp, notification, &session).into_iter();
            planned.map(unfetched).collect()
        } else {
            known.clone()
        };
        if let Some(failure) = lost_status {
            links.push(unfetched(unknowable_status(links.len(), &failure)));
        }
        self.fetch(sdp, claimed, session, links).await
    }

    /// Another attempt, since an answer to the question of `start` could not tell how the session ended.
    fn ask_again(
        &self,
        claimed: &ClaimedEvent,
        session: Session,
        why: NotYet,
        start: Instant,
    ) -> Retrieval {
        let (session, asked, counts, reason) = match why {
            NotYet::InProgress(session) => {
                self.breaker.success(Instant::now());
                let status = session.status.as_deref().unwrap_or_default();
                let reason = format!("the session is still {status}");
                (session, None, true, reason)
            }
            NotYet::Failed(failure) => {
                self.note(&failure);
                // What fails for this session alone must not be waited out as an outage.
                let counts = !failure.is_outage() || self.breaker.has_answered_since(start);
                (session, failure.after, counts, format!("status: {failure}"))
            }
        };
        let links = claimed.found.links.clone();
        let found = Found { session, links };
        self.retry(claimed, found, self.wait(claimed, asked), counts, reason)
    }

    /// What is to be fetched: what is linked, and the vendor's standard links for what a completed session must have.
    fn plan(&self, sdp: &sdp::Client, notification: &Notification, session: &Session) -> Vec<Link> {
        let (id, encounter) = (&notification.session_id, notification.encounter_id.as_ref());
        let mut links = notification.links.clone();
        if links.is_empty() && session.outcome == Outcome::Completed {
            links = sdp.standard_links(session.kind, id, encounter);
        }
        let mut without = Vec::new();
        for group in required_of(session, &self.follow.required) {
            if links.iter().any(|link| link.group == *group) {
                continue;
            }
            match sdp.standard_link(session.kind, group, id, encounter) {
                Some(link) => links.push(link),
                None => without.push(group),
            }
        }
        let required = required_of(session, &self.follow.required);
        let mut links = plan::plan(links, &self.follow, required);
        for group in without {
            links.push(plan::unlinked(&links, group));
        }
        links
    }

    /// Hands over what there is to every sink that wants it.
    pub(super) fn deliver(&self, found: Found) -> Retrieval {
        let is_late = found.links.iter().any(|linked| plan::is_late(&linked.link));
        let wait = plan::next_look(&self.refresh, Duration::ZERO).filter(|_| is_late);
        let sinks = self.sinks(found.session.outcome, None).into_iter();
        Retrieval::Deliver {
            refresh_at: wait.map(|wait| self.shared.clock.monotonic_in(wait)),
            sinks: sinks
                .map(|sink| Planned {
                    sink,
                    is_held: false,
                })
                .collect(),
            found,
        }
    }

    /// Given up. Who wants the notification alone has it all the same. What this attempt found out of the session is
    /// written down first, so that they and everyone else hear how it ended; the next attempt gives up.
    pub(super) fn dead(&self, claimed: &ClaimedEvent, found: Found, reason: String) -> Retrieval {
        let sinks = self.sinks(found.session.outcome, Some(Include::NotificationOnly));
        if is_news(claimed, &found) {
            return Retrieval::Retry {
                sinks,
                found,
                at: self.shared.clock.monotonic(),
                tried_for: claimed.tried_for,
                reason,
            };
        }
        Retrieval::Dead {
            found,
            reason,
            sinks,
        }
    }

    /// The sinks that want this outcome; with `only`, those of them that want just so much.
    fn sinks(&self, outcome: Outcome, only: Option<Include>) -> Vec<String> {
        let wanting = self.wants.iter().filter(|wants| {
            wants.events.contains(&outcome) && only.is_none_or(|only| wants.include == only)
        });
        wanting.map(|wants| wants.sink.clone()).collect()
    }

    /// How long to wait after this attempt.
    pub(super) fn wait(&self, claimed: &ClaimedEvent, asked: Option<Duration>) -> Duration {
        backoff::wait(&self.follow.retry, claimed.attempt, asked)
    }

    /// Another attempt after `wait`, or the end when the time for attempts is over. The wait counts as time in which it
    /// was tried if the API answers.
    pub(super) fn retry(
        &self,
        claimed: &ClaimedEvent,
        found: Found,
        wait: Duration,
        counts: bool,
        reason: String,
    ) -> Retrieval {
        if claimed.tried_for >= self.follow.retry.give_up_after {
            let reason = format!("given up after {} attempts: {reason}", claimed.attempt);
            return self.dead(claimed, found, reason);
        }
        let sinks = if is_news(claimed, &found) {
            self.sinks(found.session.outcome, Some(Include::NotificationOnly))
        } else {
            Vec::new()
        };
        Retrieval::Retry {
            sinks,
            found,
            at: self.shared.clock.monotonic_in(wait),
            tried_for: claimed.tried_for + if counts { wait } else { Duration::ZERO },
            reason,
        }
    }

    pub(super) fn note(&self, failure: &Failure) {
        if failure.is_outage() {
            self.breaker.failure(Instant::now(), &failure.reason);
        } else if failure.status.is_some() {
            self.breaker.success(Instant::now());
        }
    }
}

/// Whether an attempt found out how the session ended.
fn is_news(claimed: &ClaimedEvent, found: &Found) -> bool {
    claimed.found.session.outcome == Outcome::Unknown && found.session.outcome != Outcome::Unknown
}

fn unfetched(link: Link) -> Linked {
    Linked { link, body: None }
}
