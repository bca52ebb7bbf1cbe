//! Reading connections, separate from the writer: a slow query delays no commit.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, OpenFlags};
use tokio::sync::Semaphore;

use super::damage::DamageFlag;
use super::files::OpenFiles;
use crate::journal::Error;

/// A few reading connections, each opened when it is first needed.
#[derive(Clone)]
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    path: PathBuf,
    damage: DamageFlag,
    files: OpenFiles,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    deadline: Option<Duration>,
}

/// Interrupts a read whose caller has gone: a scan of the whole store would go on for minutes.
#[derive(Clone, Default)]
struct Interrupt(Arc<Mutex<Option<InterruptHandle>>>);

impl Interrupt {
    fn arm(&self, connection: &Connection) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(connection.get_interrupt_handle());
    }

    /// Disables the interrupt, because the connection is about to serve another read.
    fn disarm(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Interrupts the read when it is dropped, unless the read has ended.
struct OnDrop(Interrupt);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let handle = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = &*handle {
            handle.interrupt();
        }
    }
}

impl Readers {
    /// At most `most` readers of the store at this path. A read that takes longer than `deadline` is interrupted.
    pub(super) fn new(
        (path, files): (PathBuf, OpenFiles),
        damage: DamageFlag,
        most: usize,
        deadline: Option<Duration>,
    ) -> Self {
        Self(Arc::new(Inner {
            path,
            damage,
            files,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(most)),
            deadline,
        }))
    }

    /// Runs a read on a thread that may block. All of its statements see the same snapshot. It is interrupted when the
    /// caller drops it.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        match self.0.deadline {
            Some(deadline) => tokio::time::timeout(deadline, self.read_on(query))
                .await
                .unwrap_or(Err(Error::TooSlow(deadline))),
            None => self.read_on(query).await,
        }
    }

    async fn read_on<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let permit = Arc::clone(&self.0.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Error::Closed)?;
        let inner = Arc::clone(&self.0);
        let interrupt = Interrupt::default();
        let on_drop = OnDrop(interrupt.clone());
        let read = tokio::task::spawn_blocking(move || {
            // Held until the read has ended, which may be later than its caller.
            let _permit = permit;
            let connection = inner.take()?;
            interrupt.arm(&connection);
            let moment = connection.unchecked_transaction()?;
            let result = query(&moment);
            interrupt.disarm();
            // A connection that cannot leave its snapshot would never read anything new.
            if moment.finish().is_ok() {
                inner
                    .idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
            }
            result
        });
        let read = read.await;
        drop(on_drop);
        self.0.damage.watch(read.map_err(|_| Error::Closed)?)
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        self.0.permits.close();
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for connection in idle.drain(..) {
            self.0.files.before_close(&connection);
        }
    }
}

impl Inner {
    fn take(&self) -> Result<Connection, Error> {
        if let Some(connection) = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
        {
            return Ok(connection);
        }
        // A connection opened now, to a file that was replaced, would read another store than the one being written.
        self.files.check()?;
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(super::BUSY)?;
        super::open::keep_plans(&connection)?;
        connection.set_prepared_statement_cache_capacity(128);
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_sees_one_moment_and_the_next_one_a_later_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let writer = super::super::open::connect(&path).expect("a file");
        writer.execute_batch("CREATE TABLE t (n)").expect("a table");
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u64>(0))
        };
        let damage = DamageFlag::none(&path);
        let readers = Readers::new((path, OpenFiles::none()), damage, 2, None);
        let twice = readers.read(move |connection| {
            let before = count(connection)?;
            writer.execute_batch("INSERT INTO t VALUES (1)")?;
            Ok((before, count(connection)?))
        });
        assert_eq!(twice.await.expect("two counts"), (0, 0));
        let later = readers.read(move |connection| Ok(count(connection)?));
        assert_eq!(later.await.expect("a count"), 1);
    }

    #[tokio::test]
    async fn a_read_that_is_too_slow_or_that_nobody_waits_for_ends_and_frees_its_place() {
        const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        super::super::open::connect(&path).expect("a file");
        let endless = |connection: &Connection| {
            Ok(connection.query_row(ENDLESS, [], |row| row.get::<_, u64>(0))?)
        };
        let quick = |connection: &Connection| {
            Ok(connection.query_row("SELECT 1", [], |row| row.get::<_, u64>(0))?)
        };
        let deadline = Duration::from_millis(50);
        let readers = Readers::new(
            (path.clone(), OpenFiles::none()),
            DamageFlag::none(&path),
            1,
            Some(deadline),
        );
        let slow = readers.read(endless).await;
        assert!(matches!(slow, Err(Error::TooSlow(_))), "{slow:?}");
        let without_limit = Readers::new(
            (path.clone(), OpenFiles::none()),
            DamageFlag::none(&path),
            1,
            None,
        );
        let abandoned = tokio::time::timeout(deadline, without_limit.read(endless)).await;
        assert!(abandoned.is_err());
        for readers in [readers, without_limit] {
            let patience = Duration::from_secs(20);
            // The permit may be released a moment after the reader has gone.
            let read = async {
                loop {
                    match readers.read(quick).await {
                        Err(Error::TooSlow(_)) => {}
                        other => return other,
                    }
                }
            };
            let read = tokio::time::timeout(patience, read).await;
            assert_eq!(read.expect("a free place").expect("a read"), 1);
        }
    }
}
