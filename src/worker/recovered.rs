//! A session that was recovered by polling, and whose notification came afterwards: what was delivered for the one is
//! not delivered again for the other, unless it differs. Also registers the other sessions that a notification names.

use std::time::Duration;

use super::compare;
use super::retrieve::Retriever;
use crate::domain::{
    Cause, EventId, EventState, ExpectedState, Origin, Reason, Registration, Source,
};
use crate::journal::{ClaimedEvent, Error, Filter, NewExpected, Retrieval};

/// The interval at which one of the two events checks whether the other is retrieved.
const WAIT: Duration = Duration::from_secs(1);
/// The most events of a session that are searched for its notification.
const MOST: usize = 20;

impl Retriever {
    /// Makes one attempt. A recovered event gives way to a notification that has come meanwhile, and a late
    /// notification is compared with the recovered event.
    pub(super) async fn attempt_once(&self, claimed: &ClaimedEvent) -> Retrieval {
        if claimed.receipt.source == Source::Reconcile {
            if let Some(end) = self.superseded(claimed).await {
                return end;
            }
            let end = self.attempt(claimed).await;
            return self.superseded(claimed).await.unwrap_or(end);
        }
        let end = self.attempt(claimed).await;
        match claimed.receipt.replaces {
            Some(before) if claimed.receipt.is_late() => self.compared(claimed, before, end).await,
            _ => end,
        }
    }

    /// The end of a recovered event whose notification has come meanwhile: the notification's event is delivered in its
    /// place.
    async fn superseded(&self, claimed: &ClaimedEvent) -> Option<Retrieval> {
        match self.notification_of(claimed).await {
            Ok(None) => None,
            Ok(Some(same_as)) => Some(Retrieval::Same {
                found: claimed.found.clone(),
                same_as,
            }),
            Err(error) => Some(self.retry_lookup(claimed, &error)),
        }
    }

    /// The notification that came for a session after its recovery. `None` as well when the recovered event has
    /// deliveries: it is being replayed, and its sinks get it again, with its content.
    async fn notification_of(&self, claimed: &ClaimedEvent) -> Result<Option<EventId>, Error> {
        let (records, session) = (self.shared.journal.records(), &claimed.receipt.session_id);
        let expected = records.expected(session.clone()).await?;
        if expected.is_none_or(|expected| expected.state != ExpectedState::Late) {
            return Ok(None);
        }
        let recovered = records.event(claimed.receipt.id).await?;
        if recovered.is_some_and(|event| !event.deliveries.is_empty()) {
            return Ok(None);
        }
        let filter = Filter::of_session(session.as_str());
        let page = records.list(filter, MOST, None).await?;
        let mut events = page.events.iter();
        let notification = events.find(|event| event.source == Source::Webhook);
        Ok(notification.map(|event| event.id))
    }

    /// The end of a late notification: nothing is delivered if the recovered event was delivered with the same content.
    async fn compared(&self, claimed: &ClaimedEvent, before: EventId, end: Retrieval) -> Retrieval {
        let Retrieval::Deliver { found, .. } = &end else {
            return end;
        };
        let (event, recovered) = match self.shared.journal.records().found(before).await {
            Ok(Some(before)) => before,
            // The recovered event no longer exists, so there is nothing to compare with.
            Ok(None) => return end,
            Err(error) => return self.retry_lookup(claimed, &error),
        };
        match event.state {
            EventState::Received | EventState::Retrieving => {
                let reason = "its session was recovered by polling, and the recovered event is not retrieved yet";
                let found = found.clone();
                let reason = Reason::new(Cause::FetchNotReady, reason);
                self.retry(claimed, found, WAIT, false, reason)
            }
            EventState::Delivering | EventState::Done
                if event.same_as.is_none()
                    // An error code is always new, because the status endpoint never returns one.
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

    /// Tries again, because the store could not return the other event.
    fn retry_lookup(&self, claimed: &ClaimedEvent, error: &Error) -> Retrieval {
        let reason = Reason::new(
            Cause::StoreUnreadable,
            format!("the session's other event could not be looked up: {error}"),
        );
        self.retry(claimed, claimed.found.clone(), WAIT, false, reason)
    }

    /// Registers the other sessions of the encounter that a notification names. If that fails, none is lost: the next
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
