//! The spool: a local file that takes notifications while the shared store does not.
//!
//! The first append that the store fails, or does not answer within the deadline, turns the switch: all appends go to
//! the spool, also those that are waiting for the store at that moment, so that only the first ones wait for a whole
//! deadline. The drain turns it back. An event has its id before either store sees it, so one that the store had
//! kept after all is found to be a duplicate of itself.

mod drain;
mod switch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use self::switch::Switch;
use super::deadline::within;
use super::{Appended, Bounds, Error, NewEvent, SqliteStore, Store, Unauthentic};

pub(super) use drain::Drain;

/// The spool and the switch in front of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Spool {
    file: Arc<SqliteStore>,
    switch: Arc<Switch>,
    filled: Arc<Notify>,
    deadline: Duration,
}

impl Spool {
    /// A spool in this file. The store, and then the file, has `deadline` to take an event.
    pub(super) fn new(file: SqliteStore, deadline: Duration) -> Self {
        Self {
            file: Arc::new(file),
            switch: Arc::default(),
            filled: Arc::default(),
            deadline,
        }
    }

    /// Keeps an event in the store, or here while the store does not take it.
    pub(super) async fn append(
        &self,
        store: &dyn Store,
        event: NewEvent,
    ) -> Result<Appended, Error> {
        if !self.switch.is_down() {
            let kept = tokio::select! {
                kept = within(self.deadline, store.append(event.clone())) => kept,
                () = self.switch.went_down() => Err(Error::Deadline),
            };
            match kept {
                Ok(appended) => return Ok(appended),
                Err(error) if error.is_outage() => self.store_failed(&error),
                // It has more to do than it can, or it refuses just this event: the drain tries again.
                Err(error) => {
                    tracing::debug!(error = %error, "the store did not take a notification; it goes to the spool");
                }
            }
        }
        let kept = within(self.deadline, self.file.append(event)).await;
        self.filled.notify_one();
        kept
    }

    /// Keeps refused requests in the store, or here.
    pub(super) async fn keep_unauthentic(
        &self,
        store: &dyn Store,
        requests: Vec<Unauthentic>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        if !self.switch.is_down()
            && within(
                self.deadline,
                store.keep_unauthentic(requests.clone(), bounds),
            )
            .await
            .is_ok()
        {
            return Ok(());
        }
        within(self.deadline, self.file.keep_unauthentic(requests, bounds)).await
    }

    /// Whether notifications are taken, and by whom. `Err` when neither takes them.
    pub(super) async fn check(&self, store: &dyn Store) -> Result<Taking, Error> {
        if !self.switch.is_down()
            && let Err(error) = within(self.deadline, store.check()).await
        {
            self.store_failed(&error);
        }
        within(self.deadline, self.file.check()).await?;
        Ok(if self.switch.is_down() {
            Taking::Spool
        } else {
            Taking::Store
        })
    }

    /// Waits until the switch is turned, either way.
    pub(super) async fn turned(&self) {
        self.switch.turned().await;
    }

    /// Events that wait here.
    pub(super) async fn count(&self) -> Result<u64, Error> {
        Ok(self.file.stats().await?.total())
    }

    /// Closes the file.
    pub(super) async fn close(&self) {
        self.file.close().await;
    }

    fn store_failed(&self, error: &Error) {
        if self.switch.down() {
            tracing::error!(error = %error, "the store does not take notifications; they go to the local spool");
            self.filled.notify_one();
        }
    }
}

/// Who takes notifications now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// The store, as it should be.
    Store,
    /// The local spool.
    Spool,
}
