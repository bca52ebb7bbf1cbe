//! Two lock files beside a store's file, apart from SQLite's own locks. The kernel releases both when a process dies.
//!
//! The owner's lock says which process works on the events. The write lock is taken for each transaction that writes. A
//! process that waits for it is woken at once; SQLite's own busy handler would sleep and poll, and could starve under
//! load.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::with_suffix;
use crate::journal::Error;

/// The write lock.
pub(super) struct WriteLock {
    file: File,
    path: PathBuf,
}

/// A guard that holds the write lock until it is dropped.
pub(super) struct WriteGuard<'a>(&'a File);

impl WriteLock {
    /// The write lock of the store at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let path = Self::path_of(path);
        let file = open(&path)?;
        Ok(Self { file, path })
    }

    /// The lock's file, which is made when the store has been opened for the first time.
    pub(super) fn path_of(path: &Path) -> PathBuf {
        with_suffix(path, ".turn")
    }

    /// Waits for the lock.
    pub(super) fn take(&self) -> Result<WriteGuard<'_>, Error> {
        self.file.lock().map_err(Error::io(&self.path))?;
        Ok(WriteGuard(&self.file))
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(error = %error, "cannot release the store's write lock");
        }
    }
}

/// Takes the owner's lock of the store at `path` if it is free.
pub(super) fn try_own(path: &Path) -> Result<Option<File>, Error> {
    let name = with_suffix(path, ".lock");
    let file = open(&name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io(name)(error)),
    }
}

/// Opens a private lock file. Any process that can open the file, even only for reading, could lock it and stop the
/// service.
fn open(path: &Path) -> Result<File, Error> {
    let private = |file: File| {
        let mode = file.metadata()?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(file)
    };
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(private)
        .and_then(|file| super::folder::adopt(path).map(|()| file))
        .map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_open_a_lock_also_one_that_an_older_version_made() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = dir.path().join("store");
        let lock = with_suffix(&store, ".turn");
        std::fs::write(&lock, "").expect("a file");
        std::fs::set_permissions(&lock, Permissions::from_mode(0o644)).expect("its mode");
        WriteLock::of(&store).expect("the turn");
        let _owned = try_own(&store).expect("the lock");
        for suffix in [".turn", ".lock"] {
            let file = std::fs::metadata(with_suffix(&store, suffix)).expect("a lock");
            assert_eq!(file.permissions().mode() & 0o777, 0o600, "{suffix}");
        }
    }
}
