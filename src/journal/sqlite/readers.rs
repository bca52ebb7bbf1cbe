//! Reading connections, apart from the writer: a slow query holds up nobody's commit.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::damage::Met;
use super::files::OpenFiles;
use crate::journal::Error;

/// Most reads at once.
const READERS: usize = 8;

/// A few reading connections, opened when first needed.
#[derive(Clone)]
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    path: PathBuf,
    damage: Met,
    files: OpenFiles,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    /// Readers of the store at `path`.
    pub(super) fn new(path: PathBuf, damage: Met, files: OpenFiles) -> Self {
        Self(Arc::new(Inner {
            path,
            damage,
            files,
            idle: Mutex::default(),
            permits: Semaphore::new(READERS),
        }))
    }

    /// Runs a read on a thread where it may block. However many statements it has, they read one moment.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let _permit = self.0.permits.acquire().await.map_err(|_| Error::Closed)?;
        let inner = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || {
            let connection = inner.take()?;
            let moment = connection.unchecked_transaction()?;
            let result = query(&moment);
            // A connection that cannot leave its moment would read nothing new for ever.
            if moment.finish().is_ok() {
                inner
                    .idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
            }
            result
        });
        self.0.damage.watch(read.await.map_err(|_| Error::Closed)?)
    }

    /// Closes what is idle.
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
        // A connection of today to a file of yesterday would read what nobody writes.
        self.files.check()?;
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(super::BUSY)?;
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
        let damage = Met::none(&path);
        let readers = Readers::new(path, damage, OpenFiles::none());
        let twice = readers.read(move |connection| {
            let before = count(connection)?;
            writer.execute_batch("INSERT INTO t VALUES (1)")?;
            Ok((before, count(connection)?))
        });
        assert_eq!(twice.await.expect("two counts"), (0, 0));
        let later = readers.read(move |connection| Ok(count(connection)?));
        assert_eq!(later.await.expect("a count"), 1);
    }
}
