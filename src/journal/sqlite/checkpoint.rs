//! Moves what is in the write-ahead log into the store's file, on a thread of its own: inside the writer it is what the
//! tail of the answer times consists of.

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

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// A log that holds so much is copied back.
const COPY: u64 = 4 << 20;
/// A log that holds so much starts anew, so that it stays bounded.
const RESTART: u64 = 128 << 20;
/// A log whose file ever grew beyond this is cut back.
const TRUNCATE: u64 = 512 << 20;
/// The shortest time between two new starts after content was removed, for which the writers wait.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(2);
/// Before a new start the log is copied until a copy is so short, since the writers wait for as much again; or so often.
const SHORT: Duration = Duration::from_millis(10);
const COPIES: usize = 5;

/// The thread.
pub(super) struct Checkpointer {
    thread: JoinHandle<()>,
    stop: mpsc::Sender<()>,
}

impl Checkpointer {
    /// Starts the thread for the store at `path`. When `wants_restart` is set, the log starts anew soon after.
    ///
    /// # Errors
    /// When the file cannot be opened once more, or the system has no thread to give.
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
            .map_err(|source| Error::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self { thread, stop })
    }

    /// Copies what is left and ends the thread.
    pub(super) fn finish(self) -> std::thread::Result<()> {
        drop(self.stop);
        self.thread.join()
    }
}

/// Starts the log of the store at `path` anew, so that what was removed from the store is not in it either. For a process
/// without the thread; one that serves beside it may be in the way, and then does it when it next copies the log back.
pub(super) fn restart(path: &Path) {
    let done = Log::of(path).and_then(|log| {
        let write_lock = WriteLock::of(path)?;
        log.connection.busy_timeout(super::BUSY)?;
        let _guard = write_lock.take()?;
        log.checkpoint("TRUNCATE");
        Ok(())
    });
    if let Err(error) = done {
        tracing::warn!(error = %error, "the store's log could not be started anew after a purge");
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
        log.look(write_lock);
        let is_soon = restarted.is_some_and(|at| at.elapsed() < BETWEEN_RESTARTS);
        if !is_soon && wants_restart.swap(false, Ordering::Relaxed) {
            restarted = Some(Instant::now());
            if !log.empty(write_lock) {
                // Someone reads it; at the next look.
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

/// The log of a store.
struct Log {
    connection: Connection,
    page_size: u64,
    path: PathBuf,
    /// The store's file, to be synced beside the writers.
    ///
    /// Never closed: the system would take that for the end of all locks that SQLite has on the file in this process
    /// (fcntl(2), "Advisory record locking").
    file: Option<ManuallyDrop<File>>,
}

impl Log {
    fn of(path: &Path) -> Result<Self, Error> {
        let connection = open::connect(path)?;
        // It has the writers' turn when it finds a reader in its way: it comes again, rather than have them wait.
        connection.busy_timeout(Duration::ZERO)?;
        Ok(Self {
            page_size: connection.pragma_query_value(None, "page_size", |row| row.get(0))?,
            connection,
            path: with_suffix(path, "-wal"),
            file: File::open(path).map(ManuallyDrop::new).ok(),
        })
    }

    /// Does what is needed now. The bulk of it disturbs nobody; the writers wait only for what they have written during
    /// the last copy.
    fn look(&self, write_lock: &WriteLock) {
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

    /// Copies all of it back and cuts it to nothing; whether that went well.
    fn empty(&self, write_lock: &WriteLock) -> bool {
        self.copy();
        let _guard = write_lock.take();
        self.checkpoint("TRUNCATE");
        self.file_size() == 0
    }

    fn file_size(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    /// Copies back what there is while writers go on, and says how many bytes the log holds.
    ///
    /// SQLite syncs the store's file only after the very last page of the log. Under load that is in the checkpoint that
    /// the writers wait for, and they would wait until all that was ever copied is on the disk. So it is synced here, bit
    /// by bit. Nothing depends on it: SQLite syncs what it has to.
    fn copy(&self) -> u64 {
        let pages = self.checkpoint("PASSIVE");
        if pages > 0
            && let Some(file) = &self.file
        {
            file.sync_data().ok();
        }
        pages * self.page_size
    }

    /// How many pages the log holds. A checkpoint that finds the store busy or the disk full is tried again; the log has
    /// everything meanwhile.
    fn checkpoint(&self, mode: &str) -> u64 {
        let pragma = format!("PRAGMA wal_checkpoint({mode})");
        // -1: there is no log.
        let pages = self
            .connection
            .query_row(&pragma, [], |row| row.get::<_, i64>(1));
        match pages {
            Ok(pages) => u64::try_from(pages).unwrap_or(0),
            Err(error) => {
                tracing::warn!(error = %error, mode, "the store's log could not be copied back; trying again");
                0
            }
        }
    }
}
