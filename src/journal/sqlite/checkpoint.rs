//! Copies the write-ahead log back into the store's file, on a thread of its own. On the writer's thread, checkpoints
//! made up the tail of the answer latencies.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::files::OpenFiles;
use super::lock::WriteLock;
use super::{open, with_suffix};
use crate::journal::Error;

/// How often the log is checked.
const EVERY: Duration = Duration::from_millis(200);
/// A log of this size is copied back.
const COPY: u64 = 4 << 20;
/// A log of this size is restarted, so that it stays bounded.
const RESTART: u64 = 128 << 20;
/// A log file that ever grew beyond this size is truncated.
const TRUNCATE: u64 = 512 << 20;
/// The shortest time between two restarts after content was removed. The writers wait for each of them.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(2);
/// Before a restart the log is copied repeatedly, until a copy takes no longer than this or `COPIES` copies were made:
/// the writers then wait for about as long as the last copy took.
const SHORT: Duration = Duration::from_millis(10);
const COPIES: usize = 5;

/// The checkpoint thread.
pub(super) struct Checkpointer {
    thread: JoinHandle<()>,
    stop: mpsc::Sender<()>,
}

impl Checkpointer {
    /// Starts the thread for the store at `path`. The log is restarted soon after `wants_restart` is set.
    ///
    /// # Errors
    /// When the file cannot be opened again, or when no thread can be started.
    pub(super) fn spawn(
        path: &Path,
        files: OpenFiles,
        wants_restart: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let (log, write_lock) = (Log::of(path)?, WriteLock::of(path)?);
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal-checkpoint".to_owned())
            .spawn(move || run(&log, &write_lock, &files, &wants_restart, &stopped))
            .map_err(Error::io(path))?;
        Ok(Self { thread, stop })
    }

    /// Copies the rest of the log and ends the thread.
    pub(super) fn finish(self) -> std::thread::Result<()> {
        drop(self.stop);
        self.thread.join()
    }
}

/// Truncates the log of the store at `path`, so that removed content is not left in it. For a process without this
/// thread. If a process that serves the store holds the log, that process does it with its next checkpoint.
pub(super) fn restart(path: &Path) {
    let done = Log::of(path).and_then(|log| {
        let write_lock = WriteLock::of(path)?;
        log.connection.busy_timeout(super::BUSY)?;
        let _guard = write_lock.take()?;
        log.checkpoint("TRUNCATE");
        Ok(())
    });
    if let Err(error) = done {
        tracing::warn!(error = %error, "the store's write-ahead log could not be truncated after a purge");
    }
}

fn run(
    log: &Log,
    write_lock: &WriteLock,
    files: &OpenFiles,
    wants_restart: &AtomicBool,
    stop: &mpsc::Receiver<()>,
) {
    let mut restarted: Option<Instant> = None;
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(EVERY) {
        log.checkpoint_by_size(write_lock);
        let is_soon = restarted.is_some_and(|at| at.elapsed() < BETWEEN_RESTARTS);
        if !is_soon && wants_restart.swap(false, Ordering::Relaxed) {
            restarted = Some(Instant::now());
            if !log.empty(write_lock) {
                // A reader is using the log; try again in the next round.
                wants_restart.store(true, Ordering::Relaxed);
                restarted = None;
            }
        }
    }
    log.copy();
    let _guard = write_lock.take();
    log.checkpoint("TRUNCATE");
    files.before_close(&log.connection);
}

/// The write-ahead log of a store.
struct Log {
    connection: Connection,
    page_size: u64,
    path: PathBuf,
    /// The store's file, to sync it while writers go on.
    ///
    /// Never closed: closing a descriptor of the file would release all locks that SQLite holds on it in this process
    /// (fcntl(2), "Advisory record locking").
    file: Option<ManuallyDrop<File>>,
}

impl Log {
    fn of(path: &Path) -> Result<Self, Error> {
        let connection = open::connect(path)?;
        // A checkpoint that meets a reader would keep the write lock while it waits. It gives up at once instead, and
        // is tried again.
        connection.busy_timeout(Duration::ZERO)?;
        Ok(Self {
            page_size: connection.pragma_query_value(None, "page_size", |row| row.get(0))?,
            connection,
            path: with_suffix(path, "-wal"),
            file: File::open(path).map(ManuallyDrop::new).ok(),
        })
    }

    /// Makes the checkpoint that the size of the log requires. Most of it blocks nobody; the writers wait only while
    /// the pages that were written during the last copy are copied.
    fn checkpoint_by_size(&self, write_lock: &WriteLock) {
        if self.file_size() < COPY {
            return;
        }
        let is_large = self.file_size() >= TRUNCATE;
        for _ in 0..COPIES {
            let start = Instant::now();
            if self.copy() < RESTART && !is_large {
                return;
            }
            if start.elapsed() < SHORT {
                break;
            }
        }
        let _guard = write_lock.take();
        self.checkpoint(if is_large { "TRUNCATE" } else { "RESTART" });
    }

    /// Copies the whole log back and truncates it to zero. Returns whether that succeeded.
    fn empty(&self, write_lock: &WriteLock) -> bool {
        self.copy();
        let _guard = write_lock.take();
        self.checkpoint("TRUNCATE");
        self.file_size() == 0
    }

    fn file_size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Copies the log back while writers go on, and returns the number of bytes in the log.
    ///
    /// SQLite syncs the store's file only when a checkpoint reaches the very last page of the log. Under load that is
    /// the checkpoint that the writers wait for, and they would wait until everything copied so far is on disk. So the
    /// file is also synced here after each copy. Durability does not depend on it: SQLite syncs what it has to.
    fn copy(&self) -> u64 {
        let pages = self.checkpoint("PASSIVE");
        if pages > 0
            && let Some(file) = &self.file
        {
            file.sync_data().ok();
        }
        pages * self.page_size
    }

    /// Runs a checkpoint and returns the number of pages in the log. One that finds the store busy or the disk full is
    /// tried again; meanwhile the log holds all the data.
    fn checkpoint(&self, mode: &str) -> u64 {
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        // -1 means that there is no log.
        let pages = self
            .connection
            .query_row(&pragma, [], |row| row.get::<_, i64>(1));
        match pages {
            Ok(pages) => u64::try_from(pages).unwrap_or(0),
            Err(error) => {
                tracing::warn!(error = %error, mode, "the store's write-ahead log could not be checkpointed; trying again");
                0
            }
        }
    }
}
