//! Fetches all pending links of one event at once, and decides from their states what happens to the event.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::plan::{self, Times, Verdict};
use super::report;
use super::retrieve::Retriever;
use super::session::{clock_start, required_of, subject_of};
use crate::domain::{self, Cause, LinkCause, LinkState, Reason, Session, json};
use crate::journal::{ClaimedEvent, Found, LinkRecord, Linked, Retrieval};
use crate::sdp::{self, Failure, Fetched, Kind};

/// The results of one attempt's calls.
#[derive(Default)]
struct Calls {
    /// The failed calls, each with its link's index.
    failed: Vec<(usize, Failure)>,
    /// Whether the API answered any call, be it with a refusal.
    is_answered: bool,
    /// The longest wait that the API asked for.
    asked: Option<Duration>,
}

impl Retriever {
    /// Fetches the pending links.
    pub(super) async fn fetch(
        &self,
        sdp: &sdp::Client,
        claimed: &ClaimedEvent,
        mut session: Session,
        linked: Vec<Linked>,
    ) -> Retrieval {
        let start = Instant::now();
        let (mut links, mut bodies): (Vec<LinkRecord>, Vec<Option<Bytes>>) = linked
            .into_iter()
            .map(|linked| (linked.link, linked.body))
            .unzip();
        let subject = &subject_of(&claimed.receipt);
        let mut pending: FuturesUnordered<_> = links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.state == LinkState::Pending)
            .map(|(at, link)| {
                let (group, href) = (link.group.clone(), link.href.clone());
                async move { (at, sdp.fetch(subject, (&group, &href)).await) }
            })
            .collect();
        let is_any_pending = !pending.is_empty();
        let mut calls = Calls::default();
        while let Some((at, result)) = pending.next().await {
            let link = &mut links[at];
            link.took = Some(start.elapsed());
            if let Some(body) = self.apply(claimed, link, (at, result), &mut session, &mut calls) {
                bodies[at] = Some(body);
            }
        }
        drop(pending);
        let required = required_of(&session, &self.follow.required).to_vec();
        let times = Times {
            tried: claimed.tried_for,
            start: clock_start(&claimed.receipt),
            now: self.shared.clock.now().as_millisecond(),
        };
        plan::judge(&self.follow, &required, &mut links, &calls.failed, &times);
        let is_answering = !is_any_pending
            || calls.is_answered
            || self.is_answering(sdp, claimed, &session, start).await;
        let found = |session: Session| {
            let linked = links.iter().cloned().zip(bodies);
            Found {
                session,
                links: linked.map(|(link, body)| Linked { link, body }).collect(),
            }
        };
        let failure_of = |link: &LinkRecord| {
            let mut failed = calls.failed.iter();
            let of_it = failed.find(|(at, _)| links[*at].n == link.n);
            of_it.map(|(_, failure)| failure)
        };
        match plan::verdict(&required, &links) {
            Verdict::Complete => self.deliver(found(session)),
            Verdict::Hopeless(link) => {
                self.dead(claimed, found(session), why(link, failure_of(link)))
            }
            Verdict::Waiting(link) => {
                let wait = self
                    .wait(claimed, calls.asked)
                    .min(self.left(claimed, &required, link));
                let pending = links.iter().filter(|link| link.state == LinkState::Pending);
                report::closing(claimed.receipt.id, pending, times.start, (times.now, wait));
                let why = why(link, failure_of(link));
                if plan::has_clock(&required, &links) {
                    return self.try_again(claimed, found(session), wait, is_answering, why);
                }
                self.retry(claimed, found(session), wait, is_answering, why)
            }
        }
    }

    /// Records the result of one call in its link, and returns the body to store.
    fn apply(
        &self,
        claimed: &ClaimedEvent,
        link: &mut LinkRecord,
        (at, result): (usize, Result<Fetched, Failure>),
        session: &mut Session,
        calls: &mut Calls,
    ) -> Option<Bytes> {
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(failure) => {
                self.note(&failure);
                calls.is_answered |= failure.is_of_the_api();
                calls.asked = calls.asked.max(failure.after);
                link.http_status = failure.status;
                link.reason = Some(failure.reason.clone());
                calls.failed.push((at, failure));
                return None;
            }
        };
        self.breaker.success(Instant::now());
        calls.is_answered = true;
        link.http_status = Some(fetched.status);
        let is_required = required_of(session, &self.follow.required).contains(&link.group);
        let (is_empty, is_nothing) = (
            is_required && plan::is_empty(&link.group, &fetched.body),
            json::is_nothing(&fetched.body),
        );
        if is_empty && claimed.tried_for < self.follow.empty_grace {
            link.reason = Some("the answer holds no content yet".to_owned());
            return None;
        }
        if is_nothing && !is_required {
            let failure = Failure::new(Kind::Retry, Some(fetched.status), "the answer is empty");
            link.reason = Some(failure.reason.clone());
            calls.failed.push((at, failure));
            return None;
        }
        link.state = LinkState::Fetched;
        link.bytes = u64::try_from(fetched.body.len()).ok();
        link.fetched_at = Some(self.shared.clock.now());
        link.instance = Some(self.shared.instance.to_string());
        link.cause = is_empty.then_some(LinkCause::Empty);
        link.reason = link.cause.map(|cause| cause.as_str().to_owned());
        if link.group.as_str() == "status"
            && let Some(status) = sdp::status_in(&fetched.body)
        {
            session.status = Some(status.as_str().to_owned());
        }
        Some(fetched.body)
    }

    /// Whether the API answers, although it answered none of this attempt's calls. A failure for this session alone
    /// must not be waited out like an outage. So the session's status is requested, unless the API has just answered
    /// another call.
    async fn is_answering(
        &self,
        sdp: &sdp::Client,
        claimed: &ClaimedEvent,
        session: &Session,
        start: Instant,
    ) -> bool {
        if self.breaker.has_answered_since(start) {
            return true;
        }
        let subject = subject_of(&claimed.receipt);
        let answers = sdp.answers(&subject, session.kind).await;
        if answers {
            self.breaker.success(Instant::now());
        }
        answers
    }

    /// The longest wait for this link: until the time at which it is judged differently.
    fn left(
        &self,
        claimed: &ClaimedEvent,
        required: &[domain::LinkGroup],
        link: &LinkRecord,
    ) -> Duration {
        let is_empty = link
            .http_status
            .is_some_and(|status| (200..300).contains(&status));
        let grace = match (required.contains(&link.group), is_empty) {
            (false, _) => self.follow.best_effort_for,
            (true, true) => self.follow.empty_grace,
            (true, false) => return Duration::MAX,
        };
        match grace.saturating_sub(claimed.tried_for) {
            Duration::ZERO => Duration::MAX,
            left => left,
        }
    }
}

/// Why the event waits, or why it is dead.
fn why(link: &LinkRecord, failure: Option<&Failure>) -> Reason {
    let cause = match (link.cause, failure) {
        (Some(LinkCause::NotFollowed), _) => Cause::FetchRefusedLink,
        (Some(LinkCause::NotLinked), _) => Cause::FetchNotLinked,
        (_, Some(failure)) => failure.why().cause,
        (_, None) => Cause::FetchNotReady,
    };
    let text = link.reason.as_deref().unwrap_or("not fetched");
    Reason::new(cause, format!("{}: {text}", link.group)).answered(link.http_status)
}
