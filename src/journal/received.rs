//! A received body with the proof that the vendor signed it. It can be made only from a verified body, so nothing can
//! be stored under a signature that does not belong to it.

use std::sync::Arc;

use jiff::Timestamp;

use super::NewEvent;
use super::record::NewContent;
use crate::domain::{DedupeKey, EventId, Malformed, Notification, Source};
use crate::signature::Verified;

/// A verified body, parsed.
#[derive(Debug, Clone)]
pub struct Received {
    event: Arc<NewEvent>,
}

impl Received {
    /// Parses a body that was received at this time. The caller decides whether it is stale.
    pub fn read(verified: &Verified, received_at: Timestamp, stale: bool) -> Self {
        let body = verified.body();
        let content = match Notification::parse(body.clone()) {
            Ok(notification) => NewContent::Notification(Arc::new(notification)),
            Err(malformed) => NewContent::Malformed {
                body: body.clone(),
                dedupe: DedupeKey::of_raw(body),
                malformed,
            },
        };
        let event = NewEvent {
            id: EventId::generate(),
            received_at,
            generated_at: Some(verified.generated_at()),
            source: Source::Webhook,
            stale,
            content,
        };
        Self {
            event: Arc::new(event),
        }
    }

    /// The notification; `None` when the bytes are authentic but not a notification.
    pub fn notification(&self) -> Option<&Notification> {
        match &self.event.content {
            NewContent::Notification(notification) => Some(notification),
            NewContent::Malformed { .. } => None,
        }
    }

    /// Why it is not a notification.
    pub fn malformed(&self) -> Option<Malformed> {
        match &self.event.content {
            NewContent::Notification(_) => None,
            NewContent::Malformed { malformed, .. } => Some(*malformed),
        }
    }

    /// Whether it is stale: `generated-at` was too far from the time of receipt.
    pub fn is_stale(&self) -> bool {
        self.event.stale
    }

    /// The event to store.
    pub(super) fn event(&self) -> &Arc<NewEvent> {
        &self.event
    }
}
