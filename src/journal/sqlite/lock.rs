//! Two locks beside a store's file, so that SQLite's own stay SQLite's. The kernel frees both when a process dies.
//!
//! The owner's lock says which process works on the events. The turn is taken for each transaction that writes: who
//! waits for it is woken at once, where SQLite's own wait would sleep and look again, and starve under load.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::with_suffix;
use crate::journal::Error;

/// Whose turn it is to write.
pub(super) struct WriteLock(File);

/// Held while its holder writes.
pub(super) struct WriteGuard<'a>(&'a File);

impl WriteLock {
    /// The turn of the store at `path`.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        Ok(Self(open(&with_suffix(path, ".turn"))?))
    }

    /// Waits for it.
    pub(super) fn take(&self) -> Result<WriteGuard<'_>, Error> {
        self.0
            .lock()
            .map_err(|error| Error::Commit(error.to_string()))?;
        Ok(WriteGuard(&self.0))
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::error!(error = %error, "cannot release the store's write lock");
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

/// Private: whoever may open the file may lock it, for reading as well, and stop the service.
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
        .map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })
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
