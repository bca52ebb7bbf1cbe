//! The journal's handle: what the rest of the service holds. Appends, and announces what was appended.
//!
//! The channel carries wake-ups, the store carries the truth: a wake-up that does not fit is dropped, and the worker's
//! sweep finds the event.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::record::NewContent;
use super::{Appended, Error, NewEvent, Store};
use crate::domain::{DedupeKey, EventId, Malformed, Notification, Source};
use crate::signature::Verified;

/// Wake-ups that wait for the worker; beyond that they are dropped.
const WAKEUPS: usize = 4096;

/// Ids of events that became durable, in order, some left out under load.
pub type Wakeups = mpsc::Receiver<EventId>;

/// Keeps events. Cheap to clone. Dereferences to its [`Store`] for everything but appending.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    wake: mpsc::Sender<EventId>,
    deadline: Duration,
}

impl Journal {
    /// A journal on this store, and the receiving end of its wake-ups. An append fails when it takes longer than
    /// `deadline`.
    pub fn new(store: Arc<dyn Store>, deadline: Duration) -> (Self, Wakeups) {
        let (wake, wakeups) = mpsc::channel(WAKEUPS);
        (
            Self {
                store,
                wake,
                deadline,
            },
            wakeups,
        )
    }

    /// Keeps a notification. It is on disk when this returns `Ok`.
    ///
    /// # Errors
    /// When the store fails or does not answer in time. The event may be on disk all the same; sent again, it would be
    /// a duplicate.
    pub async fn append(
        &self,
        verified: &Verified,
        notification: Notification,
        received_at: Timestamp,
        stale: bool,
    ) -> Result<Appended, Error> {
        let content = NewContent::Notification(Box::new(notification));
        let appended = self.write(verified, content, received_at, stale).await?;
        if let Appended::New(id) = appended {
            self.wake(id);
        }
        Ok(appended)
    }

    /// Keeps authentic bytes that are no notification, for an operator to look at.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn quarantine(
        &self,
        verified: &Verified,
        why: Malformed,
        received_at: Timestamp,
    ) -> Result<Appended, Error> {
        let body = verified.body().clone();
        let content = NewContent::Junk {
            dedupe: DedupeKey::of_raw(&body),
            body,
            reason: why.to_string(),
        };
        self.write(verified, content, received_at, false).await
    }

    /// Tells the worker that an event is due.
    pub fn wake(&self, id: EventId) {
        // A full channel means that the worker is busy; its sweep finds the event.
        self.wake.try_send(id).ok();
    }

    async fn write(
        &self,
        verified: &Verified,
        content: NewContent,
        received_at: Timestamp,
        stale: bool,
    ) -> Result<Appended, Error> {
        let event = NewEvent {
            id: EventId::generate(),
            received_at,
            generated_at: Some(verified.generated_at()),
            source: Source::Webhook,
            stale,
            content,
        };
        tokio::time::timeout(self.deadline, self.store.append(event))
            .await
            .map_err(|_| Error::Deadline)?
    }
}

impl Deref for Journal {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}
