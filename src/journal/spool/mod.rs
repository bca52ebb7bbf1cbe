//! The spool: a local file that takes notifications while the shared store does not.
//!
//! When an append to the store fails or misses its deadline, the switch is set to the spool. From then on all appends
//! go to the spool, including those that are waiting for the store at that moment, so only the first ones wait for a
//! whole deadline. The drain sets the switch back. An event gets its id before either store sees it, so an event that
//! the store had committed after all is found to be a duplicate of itself.

mod drain;
mod switch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use self::switch::Switch;
use super::deadline::within;
use super::{
    Bounds, Error, Kept, NewEvent, OpenError, Records, RejectedRequest, SqliteStore, Store,
};

pub(super) use drain::Drain;

/// Opens the spool's file.
type Opener = Box<dyn Fn() -> Result<SqliteStore, OpenError> + Send + Sync>;

/// The spool and its switch. Cheap to clone.
#[derive(Clone)]
pub(super) struct Spool {
    file: Arc<OnceLock<SqliteStore>>,
    open: Arc<Opener>,
    switch: Arc<Switch>,
    filled: Arc<Notify>,
    refused: Arc<AtomicU64>,
    deadline: Duration,
}

impl Spool {
    /// A spool in the file that `open` opens. Each of the store and the file has `deadline` to take an event.
    ///
    /// While the store works, a full or read-only disk does not keep the service from starting: the file is opened
    /// later, when the disk allows it.
    ///
    /// # Errors
    /// When the file cannot be used: it is damaged, in use, or written by a newer version.
    pub(super) fn new(
        open: impl Fn() -> Result<SqliteStore, OpenError> + Send + Sync + 'static,
        deadline: Duration,
    ) -> Result<Self, OpenError> {
        let file = OnceLock::new();
        match open() {
            Ok(opened) => {
                file.set(opened).ok();
            }
            Err(error) if error.is_of_the_disk() => {
                tracing::error!(error = %error, "the spool cannot be opened; without it notifications depend on the store alone. Trying again");
            }
            Err(error) => return Err(error),
        }
        Ok(Self {
            file: Arc::new(file),
            open: Arc::new(Box::new(open)),
            switch: Arc::default(),
            filled: Arc::default(),
            refused: Arc::default(),
            deadline,
        })
    }

    /// The open file, or an error while it is not open.
    fn file(&self) -> Result<&SqliteStore, Error> {
        self.file
            .get()
            .ok_or(Error::NotCommitted("the spool is not open"))
    }

    /// Opens the file if it is not open, and waits until no other process uses it.
    async fn own(&self) -> Result<(), Error> {
        if self.file.get().is_none() {
            self.open().await?;
        }
        self.file()?.own().await
    }

    async fn open(&self) -> Result<(), Error> {
        let open = Arc::clone(&self.open);
        let opened = tokio::task::spawn_blocking(move || open()).await;
        self.file.set(opened.map_err(|_| Error::Closed)??).ok();
        tracing::info!("the spool is open");
        Ok(())
    }

    /// Appends an event to the store, or to the spool while the store does not take it.
    pub(super) async fn append(
        &self,
        store: &dyn Store,
        event: Arc<NewEvent>,
        hold: bool,
    ) -> Result<Kept, Error> {
        if !self.switch.is_down() {
            let kept = tokio::select! {
                kept = within(self.deadline, store.append(Arc::clone(&event), hold)) => kept,
                () = self.switch.went_down() => Err(Error::Deadline),
            };
            match kept {
                Ok(kept) => return Ok(kept),
                Err(error) if error.is_outage() => self.store_failed(&error),
                // The store is overloaded, or refuses only this event: the drain tries again.
                Err(error) => {
                    tracing::debug!(error = %error, "the store did not take a notification; it goes to the spool");
                }
            }
        }
        let kept = within(self.deadline, self.file()?.append(event, false)).await;
        self.filled.notify_one();
        kept
    }

    /// Stores rejected requests in the store, or in the spool.
    pub(super) async fn keep_rejected(
        &self,
        store: &dyn Store,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        if !self.switch.is_down()
            && within(self.deadline, store.keep_rejected(requests.clone(), bounds))
                .await
                .is_ok()
        {
            return Ok(());
        }
        let file = self.file()?;
        within(self.deadline, file.keep_rejected(requests, bounds)).await
    }

    /// Which of the two takes notifications now. `Err` when neither does.
    pub(super) async fn check(&self, store: &dyn Store) -> Result<WriteTarget, Error> {
        if !self.switch.is_down()
            && let Err(error) = within(self.deadline, store.check()).await
        {
            self.store_failed(&error);
        }
        let spool = match self.file() {
            Ok(file) => within(self.deadline, file.check()).await,
            Err(error) => Err(error),
        };
        match (self.switch.is_down(), spool) {
            (true, spool) => spool.map(|()| WriteTarget::Spool),
            (false, Err(_)) => Ok(WriteTarget::StoreWithoutSpool),
            (false, Ok(())) => Ok(match self.refused.load(Ordering::Relaxed) {
                0 => WriteTarget::Store,
                refused => WriteTarget::StoreRefusing(refused),
            }),
        }
    }

    /// Waits until the switch changes, either way.
    pub(super) async fn turned(&self) {
        self.switch.turned().await;
    }

    /// The number of spooled events, and when the oldest was received.
    pub(super) async fn count(&self) -> Result<(u64, Option<Timestamp>), Error> {
        let file = self.file()?;
        Ok((file.stats().await?.total(), file.since().await?))
    }

    /// Whether damage was found in the file.
    pub(super) fn is_damaged(&self) -> bool {
        self.file.get().is_some_and(Store::is_damaged)
    }

    /// Closes the file.
    pub(super) async fn close(&self) {
        if let Some(file) = self.file.get() {
            file.close().await;
        }
    }

    /// Records how many spooled events the store refuses because of their data. Logged once for each number.
    fn refuses(&self, count: u64) {
        if self.refused.swap(count, Ordering::Relaxed) != count && count > 0 {
            tracing::error!(
                events = count,
                "notifications in the spool cannot be read, or the store refuses them; they stay in the spool"
            );
        }
    }

    fn store_failed(&self, error: &Error) {
        if self.switch.down() {
            tracing::error!(error = %error, "the store does not take notifications; they go to the local spool");
            self.filled.notify_one();
        }
    }
}

/// Which of the two takes notifications now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteTarget {
    /// The store, and the spool is ready to replace it.
    Store,
    /// The store, but the spool could not replace it.
    StoreWithoutSpool,
    /// The store, but the spool holds this many events that the store refuses or that cannot be read.
    StoreRefusing(u64),
    /// The spool.
    Spool,
}
