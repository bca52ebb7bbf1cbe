//! One event from receipt to ready: settle how its session ended, plan its links, fetch them, decide.
//!
//! Sinks that want the notification alone do not wait for that: they are told first.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::Notify;

use super::breaker::{Admit, Breaker};
use super::claims::Work;
use super::insist::insist;
use super::plan;
use super::session::Session;
use super::settle::{Unsettled, is_unknowable, unknowable_status};
use super::{Shared, backoff, report};
use crate::config::{Follow, Include, Refresh};
use crate::domain::{Notification, Outcome};
use crate::journal::{self, ClaimedEvent, Due, Held, Link, LinkUpdate, Retrieval};
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
    /// Each sink's bell.
    pub(super) bells: Vec<Arc<Notify>>,
    pub(super) breaker: Arc<Breaker>,
}

/// What one sink wants.
pub(super) struct Wants {
    pub(super) sink: String,
    pub(super) events: Vec<Outcome>,
    pub(super) include: Include,
}

/// An attempt's end, with the links that were not written down before it.
pub(super) struct Attempted {
    pub(super) end: Retrieval,
    pub(super) links: Vec<LinkUpdate>,
}

/// What is to be done with a claimed event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Tell the sinks that want the notification alone.
    Announce,
    /// Retrieve it.
    Retrieve,
}

impl Retriever {
    fn announces(&self) -> bool {
        let mut wants = self.wants.iter();
        wants.any(|wants| wants.include == Include::NotificationOnly)
    }

    /// Claims what is due: first what has to be announced, whether or not the API can be asked.
    async fn claim_steps(
        &self,
        limit: usize,
        most_with_sdp: usize,
    ) -> Result<Vec<(ClaimedEvent, Step)>, journal::Error> {
        let (clock, journal) = (&self.shared.clock, &self.shared.journal);
        let due = |limit| Due {
            now: clock.steady(),
            until: clock.steady_in(self.follow.lease),
            limit,
        };
        let mut steps = Vec::new();
        if self.announces() {
            let claimed = journal.claim_new(due(limit)).await?;
            steps.extend(claimed.into_iter().map(|event| (event, Step::Announce)));
        }
        if steps.len() < limit {
            let due = due(limit - steps.len());
            let claimed = match journal
                .claim_events(due, most_with_sdp.min(due.limit))
                .await
            {
                Ok(claimed) => claimed,
                // What is claimed already is not left to its lease.
                Err(error) if steps.is_empty() => return Err(error),
                Err(_) => Vec::new(),
            };
            steps.extend(claimed.into_iter().map(|event| {
                // It came between the two claims.
                let is_new = event.needs_sdp && event.lease.is_first() && self.announces();
                let step = if is_new {
                    Step::Announce
                } else {
                    Step::Retrieve
                };
                (event, step)
            }));
        }
        Ok(steps)
    }
}

#[async_trait]
impl Work for Retriever {
    type Item = (ClaimedEvent, Step);
    const NAME: &'static str = "retrieval";

    async fn claim(&self, limit: usize) -> Result<Vec<Self::Item>, journal::Error> {
        let admit = match self.sdp {
            Some(_) => self.breaker.admit(Instant::now()),
            None => Admit::None,
        };
        let most_with_sdp = match admit {
            Admit::All => limit,
            Admit::One => 1,
            Admit::None => 0,
        };
        let claimed = self.claim_steps(limit, most_with_sdp).await;
        let tries = |claimed: &Vec<Self::Item>| {
            let mut claimed = claimed.iter();
            claimed.any(|(event, step)| event.needs_sdp && *step == Step::Retrieve)
        };
        if admit == Admit::One && !claimed.as_ref().is_ok_and(tries) {
            self.breaker.probe_ended();
        }
        claimed
    }

    async fn work(&self, (claimed, step): Self::Item) {
        let attempt = async {
            match step {
                Step::Announce => Attempted {
                    end: self.announced(&claimed),
                    links: Vec::new(),
                },
                Step::Retrieve => self.attempt(&claimed).await,
            }
        };
        let attempt = AssertUnwindSafe(attempt).catch_unwind().await;
        let Attempted { end, links } = attempt.unwrap_or_else(|_| {
            let (session, wait) = (Session::so_far(&claimed), self.wait(&claimed, None));
            let reason = "processing panicked".to_owned();
            Attempted {
                end: self.retry(&claimed, session, wait, true, reason),
                links: Vec::new(),
            }
        });
        if claimed.needs_sdp && step == Step::Retrieve {
            self.breaker.probe_ended();
        }
        report::attempt(&claimed, &end);
        let journal = &self.shared.journal;
        let finish = || journal.finish_retrieval(claimed.lease, links.clone(), end.clone());
        match insist(self.follow.lease, finish).await {
            Ok(Held::Kept) => self.kept(&claimed, &end),
            Ok(Held::Lost) => {
                tracing::debug!(event.id = %claimed.id, "another attempt has taken over")
            }
            Err(error) => {
                tracing::error!(event.id = %claimed.id, error = %error, "cannot write down a retrieval; it will be repeated");
            }
        }
    }
}

impl Retriever {
    /// An attempt's end is written down: whoever has to go on is told, and it is counted.
    fn kept(&self, claimed: &ClaimedEvent, end: &Retrieval) {
        match end {
            Retrieval::Retry { sinks, .. } if sinks.is_empty() => return,
            Retrieval::Retry { .. } => {}
            Retrieval::Announced { .. } => self.shared.journal.wake(claimed.id),
            Retrieval::Deliver { outcome, .. } => {
                self.shared.metrics.session(*outcome, claimed.source);
            }
            Retrieval::Dead { .. } => {
                self.shared.metrics.session(claimed.outcome, claimed.source);
            }
        }
        self.bells.iter().for_each(|bell| bell.notify_one());
    }
}

impl Retriever {
    /// What the claimed event's sinks that want the notification alone are told, and from when on.
    fn announced(&self, claimed: &ClaimedEvent) -> Retrieval {
        // How it ended may still be found out; a sink that hears of it once should hear the right thing.
        let sinks = match claimed.outcome {
            // Without credentials nobody finds it out.
            Outcome::Unknown if self.sdp.is_some() => Vec::new(),
            outcome => self.sinks(outcome, Some(Include::NotificationOnly)),
        };
        Retrieval::Announced {
            sinks,
            at: self.shared.clock.steady(),
        }
    }

    /// One attempt, start to end.
    async fn attempt(&self, claimed: &ClaimedEvent) -> Attempted {
        let ended = |end| Attempted {
            end,
            links: Vec::new(),
        };
        let mut session = Session::so_far(claimed);
        let Ok(notification) = Notification::parse(claimed.body.clone()) else {
            let reason = "the stored notification cannot be read".to_owned();
            return ended(self.dead(claimed, &session, reason));
        };
        let Some(sdp) = self.sdp.as_ref().filter(|_| claimed.needs_sdp) else {
            return ended(self.deliver(session, &[]));
        };
        let mut lost_status = None;
        if session.is_unsettled(&notification, &self.follow.required)
            && !claimed.links.iter().any(is_unknowable)
        {
            match self.settle(sdp, &notification, &mut session, claimed).await {
                Ok(()) => {}
                Err(Unsettled::Ended(end)) => return ended(end),
                Err(Unsettled::Unknowable(failure)) => lost_status = Some(failure),
            }
        }
        let mut links = if claimed.links.is_empty() {
            self.plan(sdp, &notification, &session)
        } else {
            claimed.links.clone()
        };
        if let Some(failure) = lost_status {
            links.push(unknowable_status(&links, &failure));
        }
        self.fetch(sdp, claimed, session, links).await
    }

    /// What is to be fetched: what is linked, and the vendor's standard links for what a completed session must have.
    fn plan(&self, sdp: &sdp::Client, notification: &Notification, session: &Session) -> Vec<Link> {
        let (id, encounter) = (&notification.session_id, notification.encounter_id.as_ref());
        let mut links = notification.links.clone();
        if links.is_empty() && session.outcome == Outcome::Completed {
            links = sdp.standard_links(session.kind, id, encounter);
        }
        let mut without = Vec::new();
        for group in session.required(&self.follow.required) {
            if links.iter().any(|link| link.group == *group) {
                continue;
            }
            match sdp.standard_link(session.kind, group, id, encounter) {
                Some(link) => links.push(link),
                None => without.push(group),
            }
        }
        let required = session.required(&self.follow.required);
        let mut links = plan::plan(links, &self.follow, required);
        for group in without {
            links.push(plan::unlinked(&links, group));
        }
        links
    }

    /// Hands over what there is to every sink that wants it.
    pub(super) fn deliver(&self, session: Session, links: &[Link]) -> Retrieval {
        let is_late = links.iter().any(plan::is_late);
        let wait = plan::next_look(&self.refresh, Duration::ZERO).filter(|_| is_late);
        Retrieval::Deliver {
            refresh_at: wait.map(|wait| self.shared.clock.steady_in(wait)),
            sinks: self.sinks(session.outcome, None),
            at: self.shared.clock.steady(),
            outcome: session.outcome,
            kind: session.kind,
            session_status: session.status,
        }
    }

    /// Given up. Who wants the notification alone has it all the same. What this attempt found out of the session is
    /// written down first, so that they and everyone else hear how it ended; the next attempt gives up.
    pub(super) fn dead(
        &self,
        claimed: &ClaimedEvent,
        session: &Session,
        reason: String,
    ) -> Retrieval {
        let sinks = self.sinks(session.outcome, Some(Include::NotificationOnly));
        let at = self.shared.clock.steady();
        if is_news(claimed, session) {
            return Retrieval::Retry {
                sinks,
                outcome: session.outcome,
                kind: session.kind,
                session_status: session.status.clone(),
                at,
                tried_for: claimed.tried_for,
                reason,
            };
        }
        Retrieval::Dead { reason, sinks, at }
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
        session: Session,
        wait: Duration,
        counts: bool,
        reason: String,
    ) -> Retrieval {
        if claimed.tried_for >= self.follow.retry.give_up_after {
            let reason = format!("given up after {} attempts: {reason}", claimed.attempt);
            return self.dead(claimed, &session, reason);
        }
        let sinks = if is_news(claimed, &session) {
            self.sinks(session.outcome, Some(Include::NotificationOnly))
        } else {
            Vec::new()
        };
        Retrieval::Retry {
            sinks,
            outcome: session.outcome,
            kind: session.kind,
            session_status: session.status,
            at: self.shared.clock.steady_in(wait),
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
fn is_news(claimed: &ClaimedEvent, session: &Session) -> bool {
    claimed.outcome == Outcome::Unknown && session.outcome != Outcome::Unknown
}
