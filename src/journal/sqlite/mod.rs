//! The embedded store: one SQLite file in WAL mode with `synchronous=FULL`, for one instance.
//!
//! One thread writes, one thread checkpoints, and a few connections read. All SQL is in this folder.

mod address;
mod alerts;
mod append;
mod applied;
mod audit;
mod backup;
mod cause_notes;
mod checkpoint;
mod content;
mod counts;
mod damage;
mod examine;
mod expectation;
mod expected;
mod fenced;
mod files;
mod finish;
mod folder;
mod inspect;
mod late;
mod list;
mod lock;
mod open;
mod operate;
mod pauses;
mod progress;
mod query;
mod readers;
mod rejected;
mod repeat;
mod replays;
mod requeue;
mod restore;
mod retain;
mod row;
mod spool;
mod store;
mod work;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

pub use self::backup::{backup, last_backup, note_backup};
use self::checkpoint::Checkpointer;
use self::damage::DamageFlag;
pub use self::damage::damaged_beside;
pub use self::examine::{Examined, examine, orphaned};
use self::files::OpenFiles;
pub use self::folder::adopt;
use self::lock::WriteLock;
use self::readers::Readers;
pub use self::restore::{begin_empty, restore};
pub(super) use self::spool::Spooled;
use self::writer::Writer;
use super::{Access, Error, OpenError};
use crate::domain::Clock;
use crate::metrics::Metrics;

/// How long a statement waits for another process's lock on the file.
const BUSY: Duration = Duration::from_secs(5);
/// The suffixes of the files of a store: the database, its log, and the shared-memory index of the log.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// The most concurrent reads of the worker, and the most of operators.
const READERS: usize = 8;
const QUERY_READERS: usize = 4;
/// The longest query by an operator into a store that is in service.
const QUERY_DEADLINE: Duration = Duration::from_secs(10);
/// How often a successor checks whether the earlier process has ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The embedded store.
pub struct SqliteStore {
    writer: Mutex<Option<Arc<Writer>>>,
    readers: Readers,
    /// Connections for operators' queries, apart from the worker's: however many and large those are, the work goes on.
    query_readers: Readers,
    damage: DamageFlag,
    threads: Mutex<Option<Threads>>,
    owned: Mutex<Option<File>>,
    path: PathBuf,
    access: Access,
    owner: Uuid,
    /// Whether this process owns the work.
    works: AtomicBool,
    clock: Clock,
    /// Set when content was removed: the log must be restarted, so that it does not hold the content any longer.
    wants_restart: Arc<AtomicBool>,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpoint: Option<Checkpointer>,
}

impl SqliteStore {
    /// Opens or creates the store at `path` and migrates its schema. At most `queue` writes may wait at once.
    ///
    /// # Errors
    /// When the folder or file cannot be used, another process serves from it, or a newer version has written it.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn open(
        path: &Path,
        access: Access,
        queue: usize,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, OpenError> {
        let io = Error::io(path);
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            folder::make_private(folder).map_err(&io)?;
        }
        if access != Access::Guest {
            restore::must_not_begin_empty(path)?;
        }
        let owned = match access {
            Access::Owner { .. } => Some(lock::try_own(path)?.ok_or_else(|| OpenError::InUse {
                path: path.to_owned(),
            })?),
            Access::Successor { .. } | Access::Guest => None,
        };
        let owner = Uuid::now_v7();
        let is_new = !restore::has_content(path);
        let connection = match access {
            Access::Owner { longest_wait } => open::prepare(path, owner, clock, longest_wait)
                .map_err(|error| damage::move_aside(path, error))?,
            Access::Successor { .. } => {
                // A migration would change the schema under the other process.
                if !open::is_current(path)? {
                    return Err(OpenError::OlderRuns {
                        path: path.to_owned(),
                    });
                }
                open::migrated(path)?
            }
            // A guest does not migrate: the process that serves may be an older version.
            Access::Guest => open::current(path)?,
        };
        if is_new {
            restore::report_new(path);
        }
        let wants_restart = Arc::new(AtomicBool::new(false));
        let (checkpoint, files) = match access {
            Access::Owner { .. } | Access::Successor { .. } => {
                let files = OpenFiles::of(path)?;
                let checkpointer =
                    Checkpointer::spawn(path, files.clone(), Arc::clone(&wants_restart))?;
                (Some(checkpointer), files)
            }
            // The process that serves does that.
            Access::Guest => (None, OpenFiles::none()),
        };
        let write_lock = WriteLock::of(path)?;
        let damage = DamageFlag::none(path);
        let query_deadline = (access != Access::Guest).then_some(QUERY_DEADLINE);
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
            query_readers: readers(QUERY_READERS, query_deadline),
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

    /// The oldest events after number `after`, as they were appended, with their numbers: at most `limit`, and at most
    /// `bytes` bytes together, but at least one. For a store that is a spool.
    pub(super) async fn oldest(
        &self,
        after: i64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Spooled>, Error> {
        let damage = self.damage.clone();
        self.readers
            .read(move |connection| spool::oldest(connection, &damage, after, limit, bytes))
            .await
    }

    /// When the oldest event was received. For a store that is a spool.
    pub(super) async fn since(&self) -> Result<Option<Timestamp>, Error> {
        self.readers.read(spool::since).await
    }

    /// Removes events that another store has taken over.
    pub(super) async fn remove(&self, numbers: Vec<i64>) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| spool::remove(connection, &numbers))
            .await
    }

    fn writer(&self) -> Result<Arc<Writer>, Error> {
        lock(&self.writer).clone().ok_or(Error::Closed)
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

/// The path of a file that belongs to the store at `path`.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
