//! What was received, with the proof that it is the vendor's. It is made of a verified body and of nothing else, so that
//! nothing can be kept beside a signature that is not its own.

use std::sync::Arc;

use jiff::Timestamp;

use super::NewEvent;
use super::record::NewContent;
use crate::domain::{DedupeKey, EventId, Malformed, Notification, Source};
use crate::signature::Verified;

/// A verified body that was read.
#[derive(Debug, Clone)]
pub struct Received {
    event: Arc<NewEvent>,
    malformed: Option<Malformed>,
}

impl Received {
    /// Reads a body that was received then. Whether its time of sending was too far from that is the caller's to say.
    pub fn read(verified: &Verified, received_at: Timestamp, stale: bool) -> Self {
        let body = verified.body();
        let (content, malformed) = match Notification::parse(body.clone()) {
            Ok(notification) => (NewContent::Notification(Arc::new(notification)), None),
            Err(malformed) => {
                let content = NewContent::Malformed {
                    body: body.clone(),
                    dedupe: DedupeKey::of_raw(body),
                    malformed,
                };
                (content, Some(malformed))
            }
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
            malformed,
        }
    }

    /// The notification; `None` where the bytes are authentic and no notification.
    pub fn notification(&self) -> Option<&Notification> {
        match &self.event.content {
            NewContent::Notification(notification) => Some(notification),
            NewContent::Malformed { .. } => None,
        }
    }

    /// Why it is no notification.
    pub fn malformed(&self) -> Option<Malformed> {
        self.malformed
    }

    /// Whether its time of sending was too far from its receipt.
    pub fn is_stale(&self) -> bool {
        self.event.stale
    }

    /// The event to keep.
    pub(super) fn event(&self) -> &Arc<NewEvent> {
        &self.event
    }
}
