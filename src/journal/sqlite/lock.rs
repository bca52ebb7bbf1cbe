//! Two locks beside a store's file, so that SQLite's own stay SQLite's. The kernel frees both when a process dies.
//!
//! The owner's lock says which process works on the events. The turn is taken for each transaction that writes: who
//! waits for it is woken at once, where SQLite's own wait would sleep and look again, and starve under load.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::with_suffix;
use crate::journal::Error;

/// Whose turn it is to write.
pub(super) struct Turn(File);

/// Held while its holder writes.
pub(super) struct MyTurn<'a>(&'a File);

impl Turn {
    /// The turn of the store at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        Ok(Self(open(&with_suffix(path, ".turn"))?))
    }

    /// Waits for it.
    pub(super) fn take(&self) -> Result<MyTurn<'_>, Error> {
        self.0
            .lock()
            .map_err(|error| Error::Commit(error.to_string()))?;
        Ok(MyTurn(&self.0))
    }
}

impl Drop for MyTurn<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(error = %error, "cannot give the turn to write back");
        }
    }
}

/// Takes the owner's lock of the store at `path`, if nobody has it.
pub(super) fn try_own(path: &Path) -> Result<Option<File>, Error> {
    let name = with_suffix(path, ".lock");
    let file = open(&name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(Error::Io { path: name, source }),
    }
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })
}
