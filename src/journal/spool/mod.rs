//! The spool: a local file that takes notifications while the shared store does not.
//!
//! The first append that the store fails, or does not answer within the deadline, turns the switch: all appends go to
//! the spool, also those that are waiting for the store at that moment, so that only the first ones wait for a whole
//! deadline. The drain turns it back. An event has its id before either store sees it, so one that the store had
//! kept after all is found to be a duplicate of itself.

mod drain;
mod switch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;

use self::switch::Switch;
use super::deadline::within;
use super::{Bounds, Error, Kept, NewEvent, Records, RejectedRequest, SqliteStore, Store};

pub(super) use drain::Drain;

/// Opens the spool's file.
type Opener = Box<dyn Fn() -> Result<SqliteStore, Error> + Send + Sync>;

/// The spool and the switch in front of it. Cheap to clone.
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
    /// A spool in the file that `open` opens. The store, and then the file, has `deadline` to take an event.
    ///
    /// A disk that is full or read-only does not keep the service from starting while its store is well: the file is then
    /// opened when that can be done.
    ///
    /// # Errors
    /// When the file can never be used as it is: it is damaged, in use, or a newer version's.
    pub(super) fn new(
        open: impl Fn() -> Result<SqliteStore, Error> + Send + Sync + 'static,
        deadline: Duration,
    ) -> Result<Self, Error> {
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

    /// The file, as soon as it is open.
    fn file(&self) -> Result<&SqliteStore, Error> {
        self.file
            .get()
            .ok_or_else(|| Error::Commit("the spool is not open".to_owned()))
    }

    /// Opens the file if it is not, and waits until no other process works on it.
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

    /// Keeps an event in the store, or here while the store does not take it.
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
                // It has more to do than it can, or it refuses just this event: the drain tries again.
                Err(error) => {
                    tracing::debug!(error = %error, "the store did not take a notification; it goes to the spool");
                }
            }
        }
        let kept = within(self.deadline, self.file()?.append(event, false)).await;
        self.filled.notify_one();
        kept
    }

    /// Keeps refused requests in the store, or here.
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

    /// Whether notifications are taken, and by whom. `Err` when neither takes them.
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

    /// Waits until the switch is turned, either way.
    pub(super) async fn turned(&self) {
        self.switch.turned().await;
    }

    /// Events that wait here, and when the oldest was received.
    pub(super) async fn count(&self) -> Result<(u64, Option<Timestamp>), Error> {
        let file = self.file()?;
        Ok((file.stats().await?.total(), file.since().await?))
    }

    /// Closes the file.
    pub(super) async fn close(&self) {
        if let Some(file) = self.file.get() {
            file.close().await;
        }
    }

    /// Notes how many spooled events the store refuses for what they are. Said once for each number.
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

/// Who takes notifications now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteTarget {
    /// The store, as it should be.
    Store,
    /// The store, but the local spool could not take its place.
    StoreWithoutSpool,
    /// The store, but for so many spooled ones that it refuses or that cannot be read.
    StoreRefusing(u64),
    /// The local spool.
    Spool,
}
