//! The embedded store: one SQLite file in WAL mode with `synchronous=FULL`, for one instance.
//!
//! One thread writes, one checkpoints, a few connections read. All SQL is in this folder.

mod append;
mod checkpoint;
mod claim;
mod finish;
mod operate;
mod query;
mod readers;
mod row;
mod writer;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;
use uuid::Uuid;

use self::readers::Readers;
use self::writer::Writer;
use super::{
    Appended, AuditEntry, ClaimedDelivery, ClaimedEvent, DeliveryEnd, DeliveryLease, Due, Ended,
    Error, EventDetail, EventLease, Filter, Held, LinkUpdate, NewEvent, Page, Purged, ReplayFrom,
    Replayed, Retrieval, Stats, Store,
};
use crate::domain::{Clock, Document, EventId, Millis};
use crate::metrics::Metrics;

/// How long a statement waits for another process's lock on the file.
const BUSY: Duration = Duration::from_secs(5);

mod embedded {
    #![allow(missing_docs, unreachable_pub, reason = "made by the macro")]
    refinery::embed_migrations!("src/journal/sqlite/migrations");
}

/// How a process uses the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Serves from it: alone, and takes over what an earlier process held.
    Owner {
        /// No retry waits longer than this; what is due later was planned by a clock that has been set back since.
        longest_wait: Duration,
    },
    /// Looks or replays from the shell while another process may serve.
    Guest,
}

/// The embedded store.
pub struct SqliteStore {
    writer: Mutex<Option<std::sync::Arc<Writer>>>,
    readers: Readers,
    threads: Mutex<Option<Threads>>,
    holder: Uuid,
    clock: Clock,
}

struct Threads {
    writer: JoinHandle<()>,
    checkpoint: JoinHandle<()>,
    stop_checkpoint: std::sync::mpsc::Sender<()>,
    /// Held as long as this process owns the file.
    _lock: Option<File>,
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
            make_private_folder(folder).map_err(io)?;
        }
        let lock = match access {
            Access::Owner { .. } => Some(lock(path)?),
            Access::Guest => None,
        };
        let mut connection = connect(path)?;
        let holder = Uuid::now_v7();
        if let Access::Owner { longest_wait } = access {
            // A guest leaves the schema as it is: the service beside it may be an older version.
            embedded::migrations::runner().run(&mut connection)?;
            let longest = Millis::try_from(longest_wait.as_millis()).unwrap_or(Millis::MAX);
            claim::take_over(&connection, holder, clock.steady(), longest)?;
        }
        let (stop_checkpoint, stopped) = std::sync::mpsc::channel();
        let (checkpointer, file) = (connect(path)?, path.to_owned());
        let checkpoint = std::thread::Builder::new()
            .name("journal-checkpoint".to_owned())
            .spawn(move || checkpoint::run(&checkpointer, &file, &stopped))
            .map_err(io)?;
        let (writer, thread) = Writer::spawn(connection, queue, metrics).map_err(io)?;
        Ok(Self {
            writer: Mutex::new(Some(std::sync::Arc::new(writer))),
            readers: Readers::new(path.to_owned()),
            threads: Mutex::new(Some(Threads {
                writer: thread,
                checkpoint,
                stop_checkpoint,
                _lock: lock,
            })),
            holder,
            clock,
        })
    }

    fn writer(&self) -> Result<std::sync::Arc<Writer>, Error> {
        self.writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(Error::Closed)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, event: NewEvent) -> Result<Appended, Error> {
        self.writer()?
            .try_write(move |connection| append::append(connection, &event))
            .await
    }

    async fn claim_events(
        &self,
        due: Due,
        most_with_sdp: usize,
    ) -> Result<Vec<ClaimedEvent>, Error> {
        let holder = self.holder;
        self.writer()?
            .write(move |connection| claim::events(connection, holder, due, most_with_sdp))
            .await
    }

    async fn record_links(&self, lease: EventLease, links: Vec<LinkUpdate>) -> Result<Held, Error> {
        self.writer()?
            .write(move |connection| finish::links(connection, lease, &links))
            .await
    }

    async fn finish_retrieval(
        &self,
        lease: EventLease,
        links: Vec<LinkUpdate>,
        end: Retrieval,
    ) -> Result<Held, Error> {
        let now = self.clock.steady();
        self.writer()?
            .write(move |connection| finish::retrieval(connection, lease, &links, &end, now))
            .await
    }

    async fn claim_deliveries(&self, sink: &str, due: Due) -> Result<Vec<ClaimedDelivery>, Error> {
        let (holder, sink) = (self.holder, sink.to_owned());
        self.writer()?
            .write(move |connection| claim::deliveries(connection, holder, &sink, due))
            .await
    }

    async fn finish_delivery(
        &self,
        lease: DeliveryLease,
        end: DeliveryEnd,
    ) -> Result<Ended, Error> {
        let now = self.clock.steady();
        self.writer()?
            .write(move |connection| finish::delivery(connection, &lease, &end, now))
            .await
    }

    async fn release(&self, now: Millis) -> Result<(), Error> {
        let holder = self.holder;
        self.writer()?
            .write(move |connection| claim::release(connection, holder, now))
            .await
    }

    async fn document(&self, id: EventId) -> Result<Option<Document>, Error> {
        self.readers
            .read(move |connection| query::document(connection, id))
            .await
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error> {
        self.readers
            .read(move |connection| query::event(connection, id))
            .await
    }

    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        self.readers
            .read(move |connection| query::payload(connection, id))
            .await
    }

    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
        self.readers
            .read(move |connection| query::resource(connection, id, n))
            .await
    }

    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error> {
        self.readers
            .read(move |connection| query::list(connection, &filter, limit, cursor))
            .await
    }

    async fn stats(&self) -> Result<Stats, Error> {
        self.readers.read(query::stats).await
    }

    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error> {
        let now = self.clock.steady();
        self.writer()?
            .write(move |connection| operate::replay(connection, id, from, &sinks, &actor, now))
            .await
    }

    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error> {
        let now = self.clock.steady();
        self.writer()?
            .write(move |connection| operate::purge(connection, id, &actor, now))
            .await
    }

    async fn retain(
        &self,
        content_before: Millis,
        receipts_before: Millis,
        limit: usize,
    ) -> Result<Purged, Error> {
        self.writer()?
            .write(move |connection| {
                operate::retain(connection, content_before, receipts_before, limit)
            })
            .await
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        self.writer()?
            .write(move |connection| operate::audit(connection, &entry))
            .await
    }

    async fn audit_log(&self, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        self.readers
            .read(move |connection| query::audit_log(connection, limit))
            .await
    }

    async fn check(&self) -> Result<(), Error> {
        // Touches a page, so that a full or read-only disk is found out.
        self.writer()?
            .write(|connection| {
                connection
                    .prepare_cached("UPDATE counts SET n = n WHERE state = 'received'")?
                    .execute([])?;
                Ok(())
            })
            .await
    }

    async fn close(&self) {
        self.readers.close();
        drop(
            self.writer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let Some(threads) = self
            .threads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        else {
            return;
        };
        let joined = tokio::task::spawn_blocking(move || {
            let writer = threads.writer.join();
            drop(threads.stop_checkpoint);
            writer.and(threads.checkpoint.join())
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a thread of the store ended by a panic");
        }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SqliteStore")
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -32768;
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// The lock lies beside the store, so that SQLite's own locks stay SQLite's. The kernel frees it when the process dies.
fn lock(path: &Path) -> Result<File, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name);
    let file = file.map_err(|source| Error::Io {
        path: name.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse {
            path: path.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(Error::Io { path: name, source }),
    }
}

/// Patient data goes there: nobody but the service's user may look in.
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}
