//! Late and changed content: it is fetched again, and if it differs from what was delivered, it is delivered as an
//! amendment.
//!
//! An amendment is an event of its own, with its own id, that replaces the one before it. This work delays nothing
//! else: it is done only while the breaker of the vendor's API is closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::breaker::Breaker;
use super::claims::Work;
use super::compare;
use super::deliver::Outlet;
use super::plan::{is_empty, is_kept, is_late, next_refresh};
use super::report;
use super::retrieve::Wants;
use super::session::{clock_start, required_of, subject_of};
use super::{Shared, trace};
use crate::config::{Follow, Include, Refresh};
use crate::domain::{EventId, LinkState, Millis};
use crate::journal::{
    self, Again, Amendment, Claimed, End, Ended, How, LATER_BY, LateEvent, LinkRecord, Linked,
    Permit, Seen, Task, Wanted,
};
use crate::sdp::{self, Failure, Kind};

/// The work of fetching content again.
pub(super) struct Late {
    pub(super) shared: Arc<Shared>,
    pub(super) sdp: sdp::Client,
    pub(super) refresh: Refresh,
    pub(super) follow: Follow,
    pub(super) wants: Arc<Vec<Wants>>,
    pub(super) outlets: Arc<Vec<Outlet>>,
    pub(super) breaker: Arc<Breaker>,
}

#[async_trait]
impl Work for Late {
    type Item = LateEvent;
    const NAME: &'static str = "late content";

    async fn claim(&self, limit: usize) -> Result<Vec<LateEvent>, journal::Error> {
        if !self.breaker.is_closed() {
            return Ok(Vec::new());
        }
        let clock = &self.shared.clock;
        let wanted = Wanted {
            now: clock.monotonic(),
            tasks: vec![(vec![Task::Refresh], limit)],
            limit,
        };
        let claimed = self.shared.journal.claim(wanted).await?;
        let late = claimed.into_iter().filter_map(|claimed| match claimed {
            Claimed::Late(late) => Some(*late),
            Claimed::Event(_) | Claimed::Delivery(_) => None,
        });
        Ok(late.collect())
    }

    fn lets_in(&self) -> bool {
        false
    }

    async fn work(self: Arc<Self>, late: LateEvent, permit: Permit) {
        let span = trace::refresh(&self.shared, &late);
        span.scope(self.refresh_and_record(late, permit)).await;
    }
}

impl Late {
    async fn refresh_and_record(&self, late: LateEvent, permit: Permit) {
        let shared = &self.shared;
        let start = Instant::now();
        let refetched = tokio::select! {
            biased;
            () = shared.journal.lost() => return shared.journal.abandon(&late.lease),
            refetched = self.fetch(&late) => refetched,
        };
        drop(permit);
        let is_asked = !refetched.asked_again.is_empty();
        let (came, changed) = (refetched.came.len(), refetched.changed());
        let seen = self.seen(&late, refetched.came, &refetched.asked_again, changed);
        let clock = &shared.clock;
        let retry_at = refetched
            .is_awaited
            .then(|| clock.monotonic_in(RETRY_AFTER.min(self.follow.retry.max)));
        let amended = match &seen.what {
            Seen::Amended(amendment) => Some(amendment.id),
            Seen::Nothing | Seen::Same(_) => None,
        };
        let ended = shared.ends.write(End {
            lease: late.lease.clone(),
            how: How::Refresh {
                next: seen.next,
                noted_at: late.again.noted_at().filter(|_| retry_at.is_none()),
                retry_at,
                seen: seen.what,
            },
            took: start.elapsed(),
            instance: Arc::clone(&shared.instance),
        });
        let Some(Ended::Kept { .. }) = ended.await else {
            return;
        };
        if is_asked {
            shared.metrics.refreshed(changed);
        }
        if let Some(id) = amended {
            shared
                .traces
                .made(id, "amend suki-notification", Some(late.id));
            tracing::info!(
                event.id = %id,
                amends = %late.id,
                links = came,
                "other content came; it is delivered as an amendment"
            );
            self.outlets
                .iter()
                .for_each(|outlet| outlet.wakeup.notify_one());
        }
    }
}

/// The wait before content is requested again that was announced and has not come.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// The answers to the calls of one refresh.
#[derive(Default)]
struct Refetched {
    /// The fetched links, each with the body that it had before.
    came: Vec<(Linked, Option<Bytes>)>,
    /// The numbers of the links that had been fetched before and were fetched again.
    asked_again: Vec<u32>,
    /// Whether content that was announced has not come, and is to be requested again.
    is_awaited: bool,
}

impl Refetched {
    /// Whether any content differs.
    fn changed(&self) -> bool {
        self.came.iter().any(|(new, before)| {
            let (Some(new), Some(before)) = (&new.body, before) else {
                return true;
            };
            !compare::is_same_answer(new, before)
        })
    }
}

/// What is recorded, and when the next refresh is.
struct Written {
    what: Seen,
    next: Option<Millis>,
}

impl Late {
    /// Fetches the missing content, and the content that is to be fetched again.
    async fn fetch(&self, late: &LateEvent) -> Refetched {
        let subject = &subject_of(&late.receipt);
        let announced_for = self.announced_for(late.again);
        let wanted = late.found.links.iter().filter_map(|linked| {
            let is_again = self.is_asked_again(late, &linked.link);
            (is_again || is_late(&linked.link)).then_some((linked, is_again))
        });
        let mut calls: FuturesUnordered<_> = wanted
            .map(|(linked, is_again)| async move {
                let link = (&linked.link.group, &*linked.link.href);
                (linked, is_again, self.sdp.fetch(subject, link).await)
            })
            .collect();
        let mut refetched = Refetched::default();
        while let Some((linked, is_again, result)) = calls.next().await {
            if is_again {
                refetched.asked_again.push(linked.link.n);
            }
            let fetched = match result {
                Ok(fetched) => fetched,
                Err(failure) => {
                    // Content that the vendor no longer has stays as it was delivered.
                    refetched.is_awaited |= is_again && announced_for < self.grace(&failure);
                    continue;
                }
            };
            // An empty answer never replaces content: the next note may be in the making.
            if is_empty(&linked.link.group, &fetched.body) {
                refetched.is_awaited |= is_again && announced_for < self.follow.empty_grace;
                continue;
            }
            let mut link = linked.link.clone();
            link.state = LinkState::Fetched;
            link.http_status = Some(fetched.status);
            link.bytes = u64::try_from(fetched.body.len()).ok();
            link.fetched_at = Some(self.shared.clock.now());
            link.instance = Some(self.shared.instance.to_string());
            (link.reason, link.cause) = (None, None);
            let before = linked.body.clone().filter(|_| is_again);
            let body = Some(fetched.body);
            refetched.came.push((Linked { link, body }, before));
        }
        refetched
    }

    /// How long ago the content was announced or asked for.
    fn announced_for(&self, again: Again) -> Duration {
        let clock = &self.shared.clock;
        let age = match again {
            Again::Missing => 0,
            // The vendor's time, and the time of an instance.
            Again::Repeated(at) => clock.now().as_millisecond().saturating_sub(at),
            Again::Asked(at) => clock.monotonic().saturating_sub(at),
        };
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }

    /// How long content is requested again that is announced and is answered with this failure.
    fn grace(&self, failure: &Failure) -> Duration {
        match failure.kind {
            Kind::NotFound => self.follow.not_found_grace,
            Kind::Retry | Kind::Outage => self.follow.retry.give_up_after,
            Kind::Identity | Kind::Final => Duration::ZERO,
        }
    }

    /// Whether this link was fetched before and is to be fetched again.
    fn is_asked_again(&self, late: &LateEvent, link: &LinkRecord) -> bool {
        let (LinkState::Fetched, Some(fetched_at)) = (link.state, link.fetched_at) else {
            return false;
        };
        match late.again {
            Again::Missing => false,
            Again::Asked(_) => link.group.as_str() != "status",
            Again::Repeated(at) => {
                let required = required_of(&late.found.session, &self.follow.required);
                let is_of_encounter = link.group.as_str().starts_with("encounter_");
                let is_wanted =
                    required.contains(&link.group) || (self.refresh.encounter && is_of_encounter);
                self.refresh.on_repeat
                    && is_wanted
                    && at > fetched_at.as_millisecond().saturating_add(LATER_BY)
            }
        }
    }

    fn seen(
        &self,
        late: &LateEvent,
        came: Vec<(Linked, Option<Bytes>)>,
        asked_again: &[u32],
        changed: bool,
    ) -> Written {
        let clock = &self.shared.clock;
        let has_come = !came.is_empty();
        let mut found = late.found.clone();
        for (new, _) in came {
            let same = found.links.iter_mut().find(|old| old.link.n == new.link.n);
            same.into_iter().for_each(|old| {
                // Unchanged content stays as it was first fetched, apart from the time and the instance.
                if changed || !asked_again.contains(&new.link.n) {
                    old.clone_from(&new);
                } else {
                    old.link.fetched_at = new.link.fetched_at;
                    old.link.instance.clone_from(&new.link.instance);
                }
            });
        }
        let age = Duration::from_millis(
            u64::try_from(clock.monotonic().saturating_sub(late.retrieved_at)).unwrap_or(0),
        );
        let (start, now) = (clock_start(&late.receipt), clock.now().as_millisecond());
        let lacking = || {
            let links = found.links.iter().map(|linked| &linked.link);
            links.filter(|link| is_late(link))
        };
        let wait = next_refresh(&self.refresh, age).filter(|wait| {
            let at = now.saturating_add(Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX));
            lacking().any(|link| is_kept(link, start, at))
        });
        if let Some(wait) = wait {
            report::closing(late.id, lacking(), start, (now, wait));
        }
        Written {
            next: wait.map(|wait| clock.monotonic_in(wait)),
            what: match (has_come, changed) {
                (false, _) => Seen::Nothing,
                (true, false) => Seen::Same(Box::new(found)),
                (true, true) => Seen::Amended(Box::new(Amendment {
                    id: EventId::generate(),
                    received_at: clock.now(),
                    sinks: self.sinks(late),
                    found,
                })),
            },
        }
    }

    /// The sinks that get the amendment.
    fn sinks(&self, late: &LateEvent) -> Vec<String> {
        let wanting = self.wants.iter().filter(|wants| {
            wants.include == Include::Everything
                && wants.events.contains(&late.found.session.outcome)
        });
        wanting.map(|wants| wants.sink.clone()).collect()
    }
}
