//! Content that came late: what an event was delivered without is asked for again, and delivered as an amendment.
//!
//! An amendment is an event of its own, with an id of its own, that replaces the one before it. It never holds up
//! anything: it is asked for only while all is well with the vendor's API.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Shared;
use super::breaker::Breaker;
use super::claims::Work;
use super::deliver::Outlet;
use super::plan::{is_empty, is_late, next_look};
use super::retrieve::Wants;
use crate::config::{Include, Refresh};
use crate::domain::{self, EventId, LinkState, Millis};
use crate::journal::{
    self, Amendment, Claimed, End, Ended, How, LateEvent, Linked, Permit, Task, Wanted,
};
use crate::sdp::{self, Subject};

/// The work of asking again.
pub(super) struct Late {
    pub(super) shared: Arc<Shared>,
    pub(super) sdp: sdp::Client,
    pub(super) refresh: Refresh,
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
            Claimed::Late(late) => Some(late),
            Claimed::Event(_) | Claimed::Delivery(_) => None,
        });
        Ok(late.collect())
    }

    fn lets_in(&self) -> bool {
        false
    }

    async fn work(self: Arc<Self>, late: LateEvent, permit: Permit) {
        let (start, shared) = (Instant::now(), &self.shared);
        let came = tokio::select! {
            biased;
            () = shared.journal.lost() => return shared.journal.abandon(&late.lease),
            came = self.fetch(&late) => came,
        };
        drop(permit);
        let clock = &shared.clock;
        let (mut found, links) = (late.found.clone(), came.len());
        for new in came {
            let same = found.links.iter_mut().find(|old| old.link.n == new.link.n);
            same.into_iter().for_each(|old| old.clone_from(&new));
        }
        let age = Duration::from_millis(
            u64::try_from(clock.monotonic().saturating_sub(late.retrieved_at)).unwrap_or(0),
        );
        let is_left = found.links.iter().any(|linked| is_late(&linked.link));
        let wait = next_look(&self.refresh, age).filter(|_| is_left);
        let next: Option<Millis> = wait.map(|wait| clock.monotonic_in(wait));
        let amendment = (links > 0).then(|| Amendment {
            id: EventId::generate(),
            received_at: clock.now(),
            sinks: self.sinks(&late),
            found,
        });
        let amended = amendment.as_ref().map(|amendment| amendment.id);
        let ended = shared.ends.write(End {
            lease: late.lease.clone(),
            how: How::Look {
                next,
                amendment: amendment.map(Box::new),
            },
        });
        if let (Some(Ended::Kept { .. }), Some(id)) = (ended.await, amended) {
            tracing::info!(
                event.id = %id,
                replaces = %late.id,
                links,
                took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
                "late content came; it is delivered as an amendment"
            );
            self.outlets
                .iter()
                .for_each(|outlet| outlet.wakeup.notify_one());
        }
    }
}

impl Late {
    /// What came of what was missing.
    async fn fetch(&self, late: &LateEvent) -> Vec<Linked> {
        let links = late.found.links.iter().map(|linked| &linked.link);
        let missing = links.filter(|link| is_late(link));
        let subject = &Subject {
            session: &late.session_id,
            encounter: late.encounter_id.as_ref(),
            provider: None,
        };
        let mut calls: FuturesUnordered<_> = missing
            .map(|link| async move {
                let wanted = domain::Link {
                    group: link.group.clone(),
                    href: link.href.clone(),
                    is_get: true,
                };
                (link, self.sdp.fetch(subject, &wanted).await)
            })
            .collect();
        let mut updates = Vec::new();
        while let Some((link, result)) = calls.next().await {
            let Ok(fetched) = result else { continue };
            if is_empty(&link.group, &fetched.body) {
                continue;
            }
            let mut link = link.clone();
            link.state = LinkState::Fetched;
            link.http_status = Some(fetched.status);
            link.bytes = u64::try_from(fetched.body.len()).ok();
            link.fetched_at = Some(self.shared.clock.now());
            (link.reason, link.cause) = (None, None);
            updates.push(Linked {
                link,
                body: Some(fetched.body),
            });
        }
        updates
    }

    /// Those that had what is amended.
    fn sinks(&self, late: &LateEvent) -> Vec<String> {
        let wanting = self.wants.iter().filter(|wants| {
            wants.include == Include::Everything
                && wants.events.contains(&late.found.session.outcome)
        });
        wanting.map(|wants| wants.sink.clone()).collect()
    }
}
