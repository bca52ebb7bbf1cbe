//! The embedded store: one SQLite file in WAL mode with `synchronous=FULL`, for one instance.
//!
//! One thread writes, one checkpoints, a few connections read. All SQL is in this folder.

mod address;
mod append;
mod backup;
mod checkpoint;
mod content;
mod counts;
mod damage;
mod examine;
mod files;
mod finish;
mod folder;
mod inspect;
mod lock;
mod open;
mod operate;
mod progress;
mod query;
mod readers;
mod rejected;
mod requeue;
mod restore;
mod retain;
mod row;
mod spool;
mod work;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

pub use self::backup::backup;
use self::checkpoint::Checkpointer;
use self::damage::DamageFlag;
pub use self::damage::damaged_beside;
pub use self::examine::{Examined, examine, orphaned};
use self::files::OpenFiles;
use self::finish::Ending;
pub use self::folder::adopt;
use self::lock::WriteLock;
use self::readers::Readers;
pub use self::restore::{begin_empty, restore};
pub(super) use self::spool::Spooled;
use self::work::Claims;
use self::writer::Writer;
use super::lease::new_fence;
use super::{
    Access, AuditEntry, Bounds, Claimed, End, Ended, Error, EventDetail, Expiry, Filter, Kept,
    Lease, NewEvent, Page, Purged, RejectedRequest, ReplayFrom, Replayed, Requeued, Stats, Store,
    Wanted,
};
use crate::domain::{Clock, EventId, Millis, Notification};
use crate::metrics::Metrics;

/// How long a statement waits for another process's lock on the file.
const BUSY: Duration = Duration::from_secs(5);
/// What belongs to a store beside the file itself.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// Most reads of the worker at once, and most of operators.
const READERS: usize = 8;
const LOOKS: usize = 4;
/// Longest look of an operator into a store that is served from.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);
/// How often a successor looks whether the process before it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The embedded store.
pub struct SqliteStore {
    writer: Mutex<Option<Arc<Writer>>>,
    readers: Readers,
    /// Operators' reads have connections of their own: however many look, and at however much, the work goes on.
    looks: Readers,
    damage: DamageFlag,
    threads: Mutex<Option<Threads>>,
    owned: Mutex<Option<File>>,
    path: PathBuf,
    access: Access,
    owner: Uuid,
    /// Whether the work is this process's.
    works: AtomicBool,
    clock: Clock,
    /// Content was removed: what the log still has of it is to go as well.
    wants_restart: Arc<AtomicBool>,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpoint: Option<Checkpointer>,
}

impl SqliteStore {
    /// Opens or makes the store at `path` and brings its schema up to date. At most `queue` writes wait at once.
    ///
    /// # Errors
    /// When the folder or file cannot be used, another process serves from it, or it is a newer version's.
    pub fn open(
        path: &Path,
        access: Access,
        queue: usize,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let io = |source| Error::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            folder::make_private(folder).map_err(io)?;
        }
        if access != Access::Guest {
            restore::must_not_begin_empty(path)?;
        }
        let owned = match access {
            Access::Owner { .. } => Some(lock::try_own(path)?.ok_or_else(|| Error::InUse {
                path: path.to_owned(),
            })?),
            Access::Successor { .. } | Access::Guest => None,
        };
        let owner = Uuid::now_v7();
        let connection = match access {
            Access::Owner { longest_wait } => open::prepare(path, owner, clock, longest_wait)
                .map_err(|error| damage::move_aside(path, error))?,
            Access::Successor { .. } => {
                // This version changes what the other one works on.
                if !open::is_current(path)? {
                    return Err(Error::OlderRuns {
                        path: path.to_owned(),
                    });
                }
                open::migrated(path)?
            }
            // A guest leaves the schema as it is: the service beside it may be an older version.
            Access::Guest => open::current(path)?,
        };
        let wants_restart = Arc::new(AtomicBool::new(false));
        let (checkpoint, files) = match access {
            Access::Owner { .. } | Access::Successor { .. } => {
                let files = OpenFiles::of(path)?;
                let checkpointer =
                    Checkpointer::spawn(path, files.clone(), Arc::clone(&wants_restart))?;
                (Some(checkpointer), files)
            }
            // The service beside it does that.
            Access::Guest => (None, OpenFiles::none()),
        };
        let write_lock = WriteLock::of(path)?;
        let damage = DamageFlag::none(path);
        let look_deadline = (access != Access::Guest).then_some(LOOK_DEADLINE);
        let (writer, thread) = Writer::spawn(
            connection,
            write_lock,
            queue,
            (damage.clone(), files.clone()),
            metrics,
        )
        .map_err(io)?;
        let readers = |most, deadline| {
            let opened = (path.to_owned(), files.clone());
            Readers::new(opened, damage.clone(), most, deadline)
        };
        Ok(Self {
            writer: Mutex::new(Some(Arc::new(writer))),
            readers: readers(READERS, None),
            looks: readers(LOOKS, look_deadline),
            damage,
            threads: Mutex::new(Some(Threads {
                writer: thread,
                checkpoint,
            })),
            owned: Mutex::new(owned),
            path: path.to_owned(),
            access,
            owner,
            works: AtomicBool::new(matches!(access, Access::Owner { .. })),
            clock,
            wants_restart,
        })
    }

    /// The oldest events after number `after`, as they were appended, with their numbers: at most `limit`, and no more
    /// than fit into `bytes` together (but one at least). For a store that is a spool.
    pub(super) async fn oldest(
        &self,
        after: i64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Spooled>, Error> {
        self.readers
            .read(move |connection| spool::oldest(connection, after, limit, bytes))
            .await
    }

    /// Removes events that are kept elsewhere now.
    pub(super) async fn remove(&self, numbers: Vec<i64>) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| spool::remove(connection, &numbers))
            .await
    }

    fn writer(&self) -> Result<Arc<Writer>, Error> {
        lock(&self.writer).clone().ok_or(Error::Closed)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error> {
        let now = self.clock.monotonic();
        let owner = (hold && self.works.load(Ordering::Relaxed)).then_some(self.owner);
        let fence = new_fence();
        self.writer()?
            .append(move |tx| append::append(tx, &event, owner, fence, now))
            .await
    }

    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        let writer = self.writer()?;
        let claims = Claims {
            readers: &self.readers,
            writer: &writer,
            damage: &self.damage,
            owner: self.owner,
        };
        claims.claim(wanted).await
    }

    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
        let (owner, now) = (self.owner, self.clock.monotonic());
        self.writer()?
            .write(move |tx| Ending { tx, owner, now }.finish(&ends))
            .await
    }

    async fn held(&self) -> Result<Vec<Lease>, Error> {
        let owner = self.owner;
        self.readers
            .read(move |connection| work::held(connection, owner))
            .await
    }

    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error> {
        self.writer()?
            .write(move |tx| work::give_back(tx, &leases, now))
            .await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error> {
        self.looks
            .read(move |connection| query::event(connection, id))
            .await
    }

    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.looks
            .read(move |connection| query::payload(connection, id))
            .await
    }

    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
        self.looks
            .read(move |connection| query::resource(connection, id, n))
            .await
    }

    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error> {
        self.looks
            .read(move |connection| query::list(connection, &filter, limit, cursor))
            .await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.looks.read(query::stats).await
    }

    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| operate::replay(connection, id, from, &sinks, &actor, now))
            .await
    }

    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| requeue::requeue(connection, id, &notification, &actor, now))
            .await
    }

    async fn orphans(&self, configured: Vec<String>) -> Result<Vec<(String, u64)>, Error> {
        self.looks
            .read(move |connection| address::orphans(connection, &configured))
            .await
    }

    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| {
                address::drop_deliveries(connection, &sink, limit, &actor, now)
            })
            .await
    }

    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |connection| address::readdress(connection, &from, &to, limit, &actor, now))
            .await
    }

    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error> {
        let now = self.clock.monotonic();
        let purged = self
            .writer()?
            .write(move |connection| operate::purge(connection, id, &actor, now))
            .await?;
        self.wants_restart.store(true, Ordering::Relaxed);
        Ok(purged)
    }

    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error> {
        let purged = self
            .writer()?
            .write(move |connection| retain::retain(connection, expiry, limit))
            .await?;
        if purged != Purged::default() {
            self.wants_restart.store(true, Ordering::Relaxed);
        }
        Ok(purged)
    }

    async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| rejected::keep(connection, &requests, bounds))
            .await
    }

    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error> {
        self.readers
            .read(move |connection| rejected::list(connection, after, limit))
            .await
    }

    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| rejected::forget(connection, &numbers))
            .await
    }

    async fn inspect(&self) -> Result<Vec<String>, Error> {
        self.readers.read(inspect::inspect).await
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| operate::audit(connection, &entry))
            .await
    }

    async fn audit_log(&self, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.looks
            .read(move |connection| query::audit_log(connection, limit))
            .await
    }

    async fn check(&self) -> Result<(), Error> {
        self.writer()?
            .write(|connection| {
                connection
                    .prepare_cached("UPDATE pulse SET n = n + 1")?
                    .execute([])?;
                Ok(())
            })
            .await
    }

    async fn own(&self) -> Result<(), Error> {
        let Access::Successor { longest_wait } = self.access else {
            return Ok(());
        };
        // Kept when the take-over fails: another try would be shut out by the lock of this one.
        while lock(&self.owned).is_none() {
            match lock::try_own(&self.path)? {
                Some(owned) => *lock(&self.owned) = Some(owned),
                None => tokio::time::sleep(LOOK).await,
            }
        }
        let (owner, now) = (self.owner, self.clock.monotonic());
        self.writer()?
            .write(move |tx| work::take_over(tx, owner, now, longest_wait))
            .await?;
        self.works.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn is_damaged(&self) -> bool {
        self.damage.is_damaged()
    }

    async fn close(&self) {
        self.readers.close();
        self.looks.close();
        drop(lock(&self.writer).take());
        let Some(threads) = lock(&self.threads).take() else {
            return;
        };
        // A guest has no thread that would do it later.
        let restarts =
            self.access == Access::Guest && self.wants_restart.swap(false, Ordering::Relaxed);
        let path = self.path.clone();
        let joined = tokio::task::spawn_blocking(move || {
            let writer = threads.writer.join();
            if restarts {
                checkpoint::restart(&path);
            }
            writer.and(threads.checkpoint.map_or(Ok(()), Checkpointer::finish))
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a thread of the store ended by a panic");
        }
        // Nothing of this process is under way any more: a successor may take over.
        drop(lock(&self.owned).take());
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

/// A file that belongs to the store at `path`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
