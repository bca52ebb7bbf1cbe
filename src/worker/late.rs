//! Content that came late: what an event was delivered without is asked for again, and delivered as an amendment.
//!
//! An amendment is an event of its own, with an id of its own, that replaces the one before it. It never holds up
//! anything: it is asked for only while all is well with the vendor's API.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;

use super::Shared;
use super::breaker::Breaker;
use super::claims::Work;
use super::insist::insist;
use super::plan::{is_empty, is_late, next_look};
use super::retrieve::Wants;
use crate::config::{Follow, Include, Refresh};
use crate::domain::{self, EventId, LinkState, Millis};
use crate::journal::{self, Amendment, Due, Held, LateEvent, LinkUpdate};
use crate::sdp;

/// The work of asking again.
pub(super) struct Late {
    pub(super) shared: Arc<Shared>,
    pub(super) sdp: sdp::Client,
    pub(super) follow: Follow,
    pub(super) refresh: Refresh,
    pub(super) wants: Arc<Vec<Wants>>,
    pub(super) bells: Vec<Arc<Notify>>,
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
        let due = Due {
            now: clock.steady(),
            until: clock.steady_in(self.follow.lease),
            limit,
        };
        self.shared.journal.claim_late(due).await
    }

    async fn work(&self, late: LateEvent) {
        let start = Instant::now();
        let updates = self.fetch(&late).await;
        let clock = &self.shared.clock;
        let mut links = late.links.clone();
        for update in &updates {
            let same = links.iter_mut().find(|link| link.n == update.link.n);
            same.into_iter()
                .for_each(|link| link.clone_from(&update.link));
        }
        let age = Duration::from_millis(
            u64::try_from(clock.steady().saturating_sub(late.retrieved_at)).unwrap_or(0),
        );
        let is_left = links.iter().any(is_late);
        let wait = next_look(&self.refresh, age).filter(|_| is_left);
        let next: Option<Millis> = wait.map(|wait| clock.steady_in(wait));
        let amendment = (!updates.is_empty()).then(|| Amendment {
            id: EventId::generate(),
            received_at: clock.now(),
            at: clock.steady(),
            sinks: self.sinks(&late),
            links: updates,
        });
        let journal = &self.shared.journal;
        let finish = || journal.finish_late(late.lease, next, amendment.clone());
        match (insist(self.follow.lease, finish).await, &amendment) {
            (Ok(Held::Kept), Some(amendment)) => {
                tracing::info!(
                    event.id = %amendment.id,
                    replaces = %late.id,
                    links = amendment.links.len(),
                    took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "late content came; it is delivered as an amendment"
                );
                self.bells.iter().for_each(|bell| bell.notify_one());
            }
            (Ok(Held::Kept | Held::Lost), _) => {}
            (Err(error), _) => {
                tracing::warn!(event.id = %late.id, error = %error, "cannot write down a look for late content; it will be repeated");
            }
        }
    }
}

impl Late {
    /// What came of what was missing.
    async fn fetch(&self, late: &LateEvent) -> Vec<LinkUpdate> {
        let missing = late.links.iter().filter(|link| is_late(link));
        let mut calls: FuturesUnordered<_> = missing
            .map(|link| async move {
                let wanted = domain::Link {
                    group: link.group.clone(),
                    href: link.href.clone(),
                    is_get: true,
                };
                (link, self.sdp.fetch(&wanted).await)
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
            link.reason = None;
            updates.push(LinkUpdate {
                link,
                body: Some(fetched.body),
            });
        }
        updates
    }

    /// Those that had what is amended.
    fn sinks(&self, late: &LateEvent) -> Vec<String> {
        let wanting = self.wants.iter().filter(|wants| {
            wants.include == Include::Everything && wants.events.contains(&late.outcome)
        });
        wanting.map(|wants| wants.sink.clone()).collect()
    }
}
