//! A session that was recovered by asking, and whose notification came after all: what was delivered for the one is not
//! delivered again for the other, unless it differs. And sessions that a notification names beside its own.

use std::time::Duration;

use super::compare;
use super::retrieve::Retriever;
use crate::domain::{
    Cause, EventId, EventState, ExpectedState, Origin, Reason, Registration, Source,
};
use crate::journal::{ClaimedEvent, Error, Filter, NewExpected, Retrieval};

/// How often one of the two looks whether the other is retrieved.
const WAIT: Duration = Duration::from_secs(1);
/// Most events of a session among which its notification is looked for.
const MOST: usize = 20;

impl Retriever {
    /// One attempt. What was recovered gives way to a notification that came meanwhile, and a notification that came late
    /// is compared with what was recovered.
    pub(super) async fn attempt_once(&self, claimed: &ClaimedEvent) -> Retrieval {
        if claimed.receipt.source == Source::Reconcile {
            if let Some(end) = self.given_way(claimed).await {
                return end;
            }
            let end = self.attempt(claimed).await;
            return self.given_way(claimed).await.unwrap_or(end);
        }
        let end = self.attempt(claimed).await;
        match claimed.receipt.replaces {
            Some(before) if claimed.receipt.is_late() => self.compared(claimed, before, end).await,
            _ => end,
        }
    }

    /// The end of what was recovered, if its notification came meanwhile: that is delivered in its place.
    async fn given_way(&self, claimed: &ClaimedEvent) -> Option<Retrieval> {
        match self.notification_of(claimed).await {
            Ok(None) => None,
            Ok(Some(same_as)) => Some(Retrieval::Same {
                found: claimed.found.clone(),
                same_as,
            }),
            Err(error) => Some(self.unsure(claimed, &error)),
        }
    }

    /// The notification that came for a session that was recovered.
    async fn notification_of(&self, claimed: &ClaimedEvent) -> Result<Option<EventId>, Error> {
        let (records, session) = (self.shared.journal.records(), &claimed.receipt.session_id);
        let expected = records.expected(session.clone()).await?;
        if expected.is_none_or(|expected| expected.state != ExpectedState::Late) {
            return Ok(None);
        }
        let filter = Filter::of_session(session.as_str());
        let page = records.list(filter, MOST, None).await?;
        let mut events = page.events.iter();
        let notification = events.find(|event| event.source == Source::Webhook);
        Ok(notification.map(|event| event.id))
    }

    /// The end of a notification that came late: nothing where what was recovered says the same and was delivered.
    async fn compared(&self, claimed: &ClaimedEvent, before: EventId, end: Retrieval) -> Retrieval {
        let Retrieval::Deliver { found, .. } = &end else {
            return end;
        };
        let (event, recovered) = match self.shared.journal.records().found(before).await {
            Ok(Some(before)) => before,
            // Nobody can tell any more.
            Ok(None) => return end,
            Err(error) => return self.unsure(claimed, &error),
        };
        match event.state {
            EventState::Received | EventState::Retrieving => {
                let reason =
                    "its session was recovered by asking before, and that is not retrieved yet";
                let found = found.clone();
                let reason = Reason::new(Cause::FetchNotReady, reason);
                self.retry(claimed, found, WAIT, false, reason)
            }
            EventState::Delivering | EventState::Done
                if event.same_as.is_none()
                    // An error code is news: no answer of the status endpoint has one.
                    && claimed.receipt.error_code.is_none()
                    && compare::holds_nothing_new(found, &recovered) =>
            {
                Retrieval::Same {
                    found: found.clone(),
                    same_as: before,
                }
            }
            EventState::Delivering
            | EventState::Done
            | EventState::Dead
            | EventState::Quarantined
            | EventState::Purged => end,
        }
    }

    /// Another attempt, since the store could not tell of the other event.
    fn unsure(&self, claimed: &ClaimedEvent, error: &Error) -> Retrieval {
        let reason = Reason::new(
            Cause::StoreUnreadable,
            format!("the session's other event could not be looked up: {error}"),
        );
        self.retry(claimed, claimed.found.clone(), WAIT, false, reason)
    }

    /// Expects the other sessions of the encounter that a notification names. None is lost where this fails: the next
    /// notification names them again.
    pub(super) async fn expect_siblings(&self, claimed: &ClaimedEvent) {
        let is_wanted = self.reconcile.enabled && self.reconcile.siblings && self.sdp.is_some();
        let Some(notification) = claimed.notification.as_deref() else {
            return;
        };
        if !is_wanted || claimed.attempt > 1 || notification.siblings().is_empty() {
            return;
        }
        let now = self.shared.clock.now();
        let siblings = notification.siblings().iter().map(|id| {
            let registration = Registration {
                encounter_id: notification.encounter_id.clone(),
                ..Registration::of(id.clone(), Origin::Sibling)
            };
            NewExpected::of(registration, &self.reconcile.schedule, now)
        });
        let siblings = siblings.collect();
        if let Err(error) = self.shared.journal.records().expect(siblings).await {
            tracing::warn!(
                event.id = %claimed.receipt.id,
                error = %error,
                "the encounter's other sessions are not expected"
            );
        }
    }
}
