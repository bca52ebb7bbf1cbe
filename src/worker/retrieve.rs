//! One event from receipt to ready: settle how its session ended, plan its links, fetch them, decide.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;

use super::breaker::{Admit, Breaker};
use super::claims::Work;
use super::insist::insist;
use super::plan::{self, Verdict};
use super::session::Session;
use super::settle::{Unsettled, is_unknowable, unknowable_status};
use super::updates::Updates;
use super::{Shared, backoff, report};
use crate::config::Follow;
use crate::domain::{self, LinkState, Notification, Outcome};
use crate::journal::{self, ClaimedEvent, Due, Held, Link, LinkUpdate, Retrieval};
use crate::sdp::{self, Failure, Fetched};

/// The work of retrieving.
pub(super) struct Retriever {
    pub(super) shared: Arc<Shared>,
    pub(super) sdp: Option<sdp::Client>,
    pub(super) follow: Follow,
    /// Each sink's name and the outcomes that it wants.
    pub(super) wants: Vec<(String, Vec<Outcome>)>,
    /// Each sink's bell.
    pub(super) bells: Vec<Arc<Notify>>,
    pub(super) breaker: Breaker,
}

/// An attempt's end, with the links that were not written down before it.
struct Attempted {
    end: Retrieval,
    links: Vec<LinkUpdate>,
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
        let clock = &self.shared.clock;
        let due = Due {
            now: clock.steady(),
            until: clock.steady_in(self.follow.lease),
            limit,
        };
        let claimed = self.shared.journal.claim_events(due, most_with_sdp).await;
        let tries = |claimed: &Vec<ClaimedEvent>| claimed.iter().any(|event| event.needs_sdp);
        if admit == Admit::One && !claimed.as_ref().is_ok_and(tries) {
            self.breaker.probe_ended();
        }
        claimed
    }

    async fn work(&self, claimed: ClaimedEvent) {
        let attempt = AssertUnwindSafe(self.attempt(&claimed))
            .catch_unwind()
            .await;
        let Attempted { end, links } = attempt.unwrap_or_else(|_| {
            let session = Session::so_far(&claimed);
            Attempted {
                end: self.retry(&claimed, session, None, "processing panicked".to_owned()),
                links: Vec::new(),
            }
        });
        if claimed.needs_sdp {
            self.breaker.probe_ended();
        }
        report::attempt(&claimed, &end);
        let delivers = matches!(end, Retrieval::Deliver { .. });
        let journal = &self.shared.journal;
        let finish = || journal.finish_retrieval(claimed.lease, links.clone(), end.clone());
        match insist(self.follow.lease, finish).await {
            Ok(Held::Kept) if delivers => self.bells.iter().for_each(|bell| bell.notify_one()),
            Ok(Held::Kept) => {}
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
    /// One attempt, start to end.
    async fn attempt(&self, claimed: &ClaimedEvent) -> Attempted {
        let Ok(notification) = Notification::parse(claimed.body.clone()) else {
            let reason = "the stored notification cannot be read".to_owned();
            return Attempted {
                end: Retrieval::Dead { reason },
                links: Vec::new(),
            };
        };
        let mut session = Session::so_far(claimed);
        let Some(sdp) = self.sdp.as_ref().filter(|_| claimed.needs_sdp) else {
            return Attempted {
                end: self.deliver(session),
                links: Vec::new(),
            };
        };
        let mut lost_status = None;
        if session.is_unsettled(&notification) && !claimed.links.iter().any(is_unknowable) {
            match self.settle(sdp, &notification, &mut session, claimed).await {
                Ok(()) => {}
                Err(Unsettled::Ended(end)) => {
                    return Attempted {
                        end,
                        links: Vec::new(),
                    };
                }
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

    fn plan(&self, sdp: &sdp::Client, notification: &Notification, session: &Session) -> Vec<Link> {
        let links = if notification.links.is_empty() && session.outcome == Outcome::Completed {
            sdp.standard_links(
                session.kind,
                &notification.session_id,
                notification.encounter_id.as_ref(),
            )
        } else {
            notification.links.clone()
        };
        plan::plan(links, &self.follow)
    }

    /// Fetches what is pending, all at once, and writes down what came while the rest is still under way.
    async fn fetch(
        &self,
        sdp: &sdp::Client,
        claimed: &ClaimedEvent,
        mut session: Session,
        mut links: Vec<Link>,
    ) -> Attempted {
        let since = self.since_start(claimed);
        let mut pending: FuturesUnordered<_> = links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.state == LinkState::Pending)
            .map(|(at, link)| {
                let link = domain::Link {
                    group: link.group.clone(),
                    href: link.href.clone(),
                    is_get: true,
                };
                async move { (at, sdp.fetch(&link).await) }
            })
            .collect();
        // The whole plan is written down with the first batch: were the process killed after it, the next attempt would
        // take what it finds for all there is.
        let mut updates = Updates::default();
        let is_new = |link: &&Link| claimed.links.iter().all(|known| known.n != link.n);
        links
            .iter()
            .filter(is_new)
            .for_each(|link| updates.put(link, None));
        let mut asked = None;
        while let Some((at, result)) = pending.next().await {
            let body = self.apply(&mut links[at], result, since, &mut session, &mut asked);
            updates.put(&links[at], body);
            // What is ready together is written together; the last batch goes with the attempt's end.
            while let Some(Some((at, result))) = pending.next().now_or_never() {
                let body = self.apply(&mut links[at], result, since, &mut session, &mut asked);
                updates.put(&links[at], body);
            }
            if !pending.is_empty() && updates.has_bodies() {
                self.record(claimed, &mut updates).await;
            }
        }
        drop(pending);
        let end = self.decide(claimed, session, &links, asked);
        Attempted {
            end,
            links: updates.all(),
        }
    }

    /// Takes one fetch's result into a link; gives back the body to store.
    fn apply(
        &self,
        link: &mut Link,
        result: Result<Fetched, Failure>,
        since: Duration,
        session: &mut Session,
        asked: &mut Option<Duration>,
    ) -> Option<Bytes> {
        match result {
            Ok(fetched) => {
                self.breaker.success();
                link.state = LinkState::Fetched;
                link.http_status = Some(fetched.status);
                link.bytes = u64::try_from(fetched.body.len()).ok();
                link.fetched_at = Some(self.shared.clock.now());
                link.reason = None;
                if link.group.as_str() == "status"
                    && let Some(status) = sdp::status_in(&fetched.body)
                {
                    session.status = Some(status.as_str().to_owned());
                }
                Some(fetched.body)
            }
            Err(failure) => {
                self.note(&failure);
                link.state = plan::standing(&self.follow, &link.group, &failure, since);
                link.http_status = failure.status;
                link.reason = Some(failure.reason);
                *asked = (*asked).max(failure.after);
                None
            }
        }
    }

    fn decide(
        &self,
        claimed: &ClaimedEvent,
        session: Session,
        links: &[Link],
        asked: Option<Duration>,
    ) -> Retrieval {
        let why = |link: &Link| {
            format!(
                "{}: {}",
                link.group,
                link.reason.as_deref().unwrap_or("not fetched")
            )
        };
        match plan::verdict(&self.follow, links) {
            Verdict::Complete => self.deliver(session),
            Verdict::Hopeless(link) => Retrieval::Dead { reason: why(link) },
            Verdict::Waiting(link) => {
                let mut end = self.retry(claimed, session, asked, why(link));
                // Nobody waits for a best-effort link longer than was promised.
                if let Retrieval::Retry { at, .. } = &mut end
                    && !self.follow.required.contains(&link.group)
                {
                    let left = self
                        .follow
                        .best_effort_for
                        .saturating_sub(self.since_start(claimed));
                    *at = (*at).min(self.shared.clock.steady_in(left));
                }
                end
            }
        }
    }

    fn deliver(&self, session: Session) -> Retrieval {
        let sinks = self
            .wants
            .iter()
            .filter(|(_, wanted)| wanted.contains(&session.outcome));
        Retrieval::Deliver {
            sinks: sinks.map(|(name, _)| name.clone()).collect(),
            at: self.shared.clock.steady(),
            outcome: session.outcome,
            kind: session.kind,
            session_status: session.status,
        }
    }

    /// Another attempt later, or the end when the time for attempts is over.
    pub(super) fn retry(
        &self,
        claimed: &ClaimedEvent,
        session: Session,
        asked: Option<Duration>,
        reason: String,
    ) -> Retrieval {
        if self.since_start(claimed) >= self.follow.retry.give_up_after {
            return Retrieval::Dead {
                reason: format!("given up after {} attempts: {reason}", claimed.attempt),
            };
        }
        Retrieval::Retry {
            outcome: session.outcome,
            kind: session.kind,
            session_status: session.status,
            at: self.shared.clock.steady_in(backoff::wait(
                &self.follow.retry,
                claimed.attempt,
                asked,
            )),
            reason,
        }
    }

    /// Writes down what came so far. What cannot be written now goes with the end: an end without it would deliver an
    /// event that lacks what was fetched.
    async fn record(&self, claimed: &ClaimedEvent, updates: &mut Updates) {
        let journal = &self.shared.journal;
        match journal.record_links(claimed.lease, updates.all()).await {
            Ok(Held::Kept | Held::Lost) => updates.clear(),
            Err(error) => {
                tracing::warn!(event.id = %claimed.id, error = %error, "cannot write down a fetched link yet");
            }
        }
    }

    pub(super) fn note(&self, failure: &Failure) {
        if failure.is_outage() {
            self.breaker.failure(Instant::now(), &failure.reason);
        } else if failure.status.is_some() {
            self.breaker.success();
        }
    }

    pub(super) fn since_start(&self, claimed: &ClaimedEvent) -> Duration {
        let millis = self
            .shared
            .clock
            .steady()
            .saturating_sub(claimed.started_at);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}
