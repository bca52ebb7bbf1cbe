//! One attempt: settle how the session ended, plan its links, fetch them, and decide what becomes of the event.

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
    /// What the claimed event's sinks that want the notification alone are told, and from when on.
    pub(super) fn announced(&self, claimed: &ClaimedEvent) -> Retrieval {
        // How it ended may still be found out; a sink that hears of it once should hear the right thing.
        let sinks = match claimed.found.session.outcome {
            // Without credentials nobody finds it out.
            Outcome::Unknown if self.sdp.is_some() => Vec::new(),
            outcome => self.sinks(outcome, Some(Include::NotificationOnly)),
        };
        Retrieval::Announced { sinks }
    }

    /// One attempt, start to end.
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
                let reason = Reason::new(
                    Cause::FetchNotReady,
                    format!("the session is still {status}"),
                );
                (session, None, true, reason)
            }
            NotYet::Failed(failure) => {
                self.note(&failure);
                // What fails for this session alone must not be waited out as an outage.
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

    /// What is to be fetched: what is linked, and the vendor's standard links for what a completed session must have.
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

    /// The sinks that want this outcome; with `only`, those of them that want just so much.
    pub(super) fn sinks(&self, outcome: Outcome, only: Option<Include>) -> Vec<String> {
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
        reason: Reason,
    ) -> Retrieval {
        if claimed.tried_for >= self.follow.retry.give_up_after {
            let reason = reason.after(&format!("given up after {} attempts", claimed.attempt));
            return self.dead(claimed, found, reason);
        }
        self.try_again(claimed, found, wait, counts, reason)
    }

    /// Another attempt after `wait`, however long it has been tried.
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

/// Whether an attempt found out how the session ended.
fn is_news(claimed: &ClaimedEvent, found: &Found) -> bool {
    claimed.found.session.outcome == Outcome::Unknown && found.session.outcome != Outcome::Unknown
}

fn unfetched(link: LinkRecord) -> Linked {
    Linked { link, body: None }
}
