//! One attempt to retrieve an event: find out the session's outcome, plan its links, fetch them, and decide what
//! happens to the event.

use std::time::{Duration, Instant};

use super::retrieve::Retriever;
use super::session::{is_unsettled, required_of, subject_of};
use super::settle::{NotYet, Settled, is_unknowable, settle, unknowable_status};
use super::{backoff, plan};
use crate::config::Include;
use crate::domain::{Cause, Notification, Outcome, Reason, Session};
use crate::journal::{ClaimedEvent, Found, LinkRecord, Linked, Planned, Retrieval, Task};
use crate::sdp::{self, Failure};

impl Retriever {
    /// The end of a claim that retrieves nothing: the notification is delivered to the sinks that want only the
    /// notification.
    pub(super) fn announced(&self, claimed: &ClaimedEvent) -> Retrieval {
        // An unknown outcome may still be found out, and a sink that gets only one message should get the right
        // outcome.
        let sinks = match claimed.found.session.outcome {
            // Without credentials it cannot be found out.
            Outcome::Unknown if self.sdp.is_some() => Vec::new(),
            outcome => self.sinks(outcome, Some(Include::NotificationOnly)),
        };
        Retrieval::Announced { sinks }
    }

    /// Makes one whole attempt.
    pub(super) async fn attempt(&self, claimed: &ClaimedEvent) -> Retrieval {
        let mut session = claimed.found.session.clone();
        let Some(notification) = claimed.notification.as_deref() else {
            let reason = Reason::new(
                Cause::StoreUnreadable,
                "the stored notification cannot be read",
            );
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
            let subject = subject_of(&claimed.receipt);
            match settle(sdp, &subject, session.clone(), follow, tried_for).await {
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

    /// Ends an attempt, begun at `start`, that could not find out the session's outcome: it is tried again.
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
                let reason = Reason::new(
                    Cause::FetchNotReady,
                    format!("the session is still {status}"),
                );
                (session, None, true, reason)
            }
            NotYet::Failed(failure) => {
                self.note(&failure);
                // A failure for this session alone must count as tried time, or it would be waited out like an outage.
                let counts = !failure.is_outage() || self.breaker.has_answered_since(start);
                (
                    session,
                    failure.after,
                    counts,
                    failure.why().after("status"),
                )
            }
        };
        let links = claimed.found.links.clone();
        let found = Found { session, links };
        self.retry(claimed, found, self.wait(claimed, asked), counts, reason)
    }

    /// The links to fetch: those of the notification, and the vendor's standard links for what a completed session must
    /// have.
    fn plan(
        &self,
        sdp: &sdp::Client,
        notification: &Notification,
        session: &Session,
    ) -> Vec<LinkRecord> {
        let (id, encounter) = (&notification.session_id, notification.encounter_id.as_ref());
        let mut links = notification.links().to_vec();
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

    /// Ends an attempt with deliveries to every sink that wants the outcome.
    pub(super) fn deliver(&self, found: Found) -> Retrieval {
        let is_late = found.links.iter().any(|linked| plan::is_late(&linked.link));
        let wait = plan::next_refresh(&self.refresh, Duration::ZERO).filter(|_| is_late);
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

    /// Gives the event up. Sinks that want only the notification get it all the same. If this attempt has found out the
    /// session's outcome, that is recorded first, so that all sinks get the right outcome, and the next attempt gives
    /// up.
    pub(super) fn dead(&self, claimed: &ClaimedEvent, found: Found, reason: Reason) -> Retrieval {
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

    /// The sinks that want this outcome; with `only`, those of them with just this `include` setting.
    pub(super) fn sinks(&self, outcome: Outcome, only: Option<Include>) -> Vec<String> {
        let wanting = self.wants.iter().filter(|wants| {
            wants.events.contains(&outcome) && only.is_none_or(|only| wants.include == only)
        });
        wanting.map(|wants| wants.sink.clone()).collect()
    }

    /// The wait after this attempt. `asked` is the wait that the API asked for.
    pub(super) fn wait(&self, claimed: &ClaimedEvent, asked: Option<Duration>) -> Duration {
        backoff::wait(&self.follow.retry, claimed.attempt, asked)
    }

    /// Tries again after `wait`, or gives up when the time for attempts is used up. With `counts`, the wait is added to
    /// the time tried; it must be set only if the API answers.
    pub(super) fn retry(
        &self,
        claimed: &ClaimedEvent,
        found: Found,
        wait: Duration,
        counts: bool,
        reason: Reason,
    ) -> Retrieval {
        if claimed.tried_for >= self.follow.retry.give_up_after {
            let reason = reason.after(&format!("given up after {} attempts", claimed.attempt));
            return self.dead(claimed, found, reason);
        }
        self.try_again(claimed, found, wait, counts, reason)
    }

    /// Tries again after `wait`, however long it has been tried.
    pub(super) fn try_again(
        &self,
        claimed: &ClaimedEvent,
        found: Found,
        wait: Duration,
        counts: bool,
        reason: Reason,
    ) -> Retrieval {
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

/// Whether an attempt has found out the session's outcome.
fn is_news(claimed: &ClaimedEvent, found: &Found) -> bool {
    claimed.found.session.outcome == Outcome::Unknown && found.session.outcome != Outcome::Unknown
}

fn unfetched(link: LinkRecord) -> Linked {
    Linked { link, body: None }
}
