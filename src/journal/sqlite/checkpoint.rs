//! Moves what is in the write-ahead log into the store's file, on a thread of its own: inside the writer it is what the
//! tail of the answer times consists of.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::files::OpenFiles;
use super::lock::Turn;
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
/// Before a new start the log is copied until a copy is so short, since the writers wait for as much again; or so often.
const SHORT: Duration = Duration::from_millis(10);
const COPIES: usize = 5;

/// The thread.
pub(super) struct Checkpointer {
    thread: JoinHandle<()>,
    stop: mpsc::Sender<()>,
}

impl Checkpointer {
    /// Starts the thread for the store at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened once more, or the system has no thread to give.
    pub(super) fn spawn(path: &Path, files: OpenFiles) -> Result<Self, Error> {
        let (log, turn) = (Log::of(path)?, Turn::of(path)?);
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("journal-checkpoint".to_owned())
            .spawn(move || run(&log, &turn, &files, &stopped))
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

fn run(log: &Log, turn: &Turn, files: &OpenFiles, stop: &mpsc::Receiver<()>) {
    while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(EVERY) {
        log.look(turn);
    }
    log.copy();
    let _turn = turn.take();
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
    fn look(&self, turn: &Turn) {
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
        let _turn = turn.take();
        self.checkpoint(if is_large { "TRUNCATE" } else { "RESTART" });
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
