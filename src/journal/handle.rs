//! The journal's handle: what the rest of the service holds. Appends, and announces what was appended.
//!
//! The channel carries wake-ups, the store carries the truth: a wake-up that does not fit is dropped, and the worker's
//! sweep finds the event.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::deadline::within;
use super::record::NewContent;
use super::spool::{Drain, Spool};
use super::{Appended, Bounds, Error, NewEvent, SqliteStore, Store, Taking, Unauthentic};
use crate::domain::{DedupeKey, EventId, Malformed, Notification, Source};
use crate::metrics::Metrics;
use crate::signature::Verified;

/// Wake-ups that wait for the worker; beyond that they are dropped.
const WAKEUPS: usize = 4096;

/// Ids of events that became durable, in order, some left out under load.
pub type Wakeups = mpsc::Receiver<EventId>;

/// Keeps events. Cheap to clone. Dereferences to its [`Store`] for everything but appending.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    spool: Option<Spool>,
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
                spool: None,
                wake,
                deadline,
            },
            wakeups,
        )
    }

    /// The same, with a local spool in the file that `open` opens, which takes what the store does not take within the
    /// deadline. It is emptied into the store by [`Journal::drain`].
    ///
    /// # Errors
    /// When the file can never be used as it is. While its disk is the reason, it is opened later.
    pub fn with_spool(
        self,
        open: impl Fn() -> Result<SqliteStore, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Ok(Self {
            spool: Some(Spool::new(open, self.deadline)?),
            ..self
        })
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

    /// Keeps refused requests within `bounds`, for [`Journal::reverify`].
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub async fn refuse(&self, requests: Vec<Unauthentic>, bounds: Bounds) -> Result<(), Error> {
        match &self.spool {
            Some(spool) => spool.keep_unauthentic(&*self.store, requests, bounds).await,
            None => self.store.keep_unauthentic(requests, bounds).await,
        }
    }

    /// Whether notifications are taken now, and by whom: commits something.
    ///
    /// # Errors
    /// When nobody takes them.
    pub async fn taking(&self) -> Result<Taking, Error> {
        match &self.spool {
            Some(spool) => spool.check(&*self.store).await,
            None => within(self.deadline, self.store.check())
                .await
                .map(|()| Taking::Store),
        }
    }

    /// Waits until the spool begins or ends to take notifications. Never without a spool.
    pub async fn turned(&self) {
        match &self.spool {
            Some(spool) => spool.turned().await,
            None => std::future::pending().await,
        }
    }

    /// Moves what is spooled into the store whenever the store takes it. Never ends; without a spool it does nothing.
    pub async fn drain(&self, bounds: Bounds, metrics: Metrics) {
        let Some(spool) = &self.spool else {
            return std::future::pending().await;
        };
        let drain = Drain {
            spool: spool.clone(),
            store: &*self.store,
            wake: self.wake.clone(),
            bounds,
            metrics,
        };
        drain.run().await;
    }

    /// Finishes what is queued and closes store and spool.
    pub async fn close(&self) {
        self.store.close().await;
        if let Some(spool) = &self.spool {
            spool.close().await;
        }
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
        match &self.spool {
            Some(spool) => spool.append(&*self.store, event).await,
            None => within(self.deadline, self.store.append(event)).await,
        }
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
