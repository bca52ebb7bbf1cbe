//! Reading connections, apart from the writer: a slow query holds up nobody's commit.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use crate::journal::Error;

/// Most reads at once.
const READERS: usize = 4;

/// A few reading connections, opened when first needed.
#[derive(Clone)]
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    /// Readers of the store at `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Inner {
            path,
            idle: Mutex::default(),
            permits: Semaphore::new(READERS),
        }))
    }

    /// Runs a read on a thread where it may block.
    pub(super) async fn read<T, F>(&self, query: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    {
        let _permit = self.0.permits.acquire().await.map_err(|_| Error::Closed)?;
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || {
            let connection = inner.take()?;
            let result = query(&connection);
            inner
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            result
        })
        .await
        .map_err(|_| Error::Closed)?
    }

    /// Closes what is idle.
    pub(super) fn close(&self) {
        self.0.permits.close();
        self.0
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
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
        let connection = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(super::BUSY)?;
        Ok(connection)
    }
}
