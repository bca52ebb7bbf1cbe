//! Whether the files that are open are still those at their paths. A file that was removed, replaced or unmounted takes
//! writes as before, but no later start finds them, so nothing may be acknowledged on it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::with_suffix;
use crate::journal::Error;

/// The database, its log, and the index that says what of the log counts.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The files of a store as they were opened. Cheap to clone.
#[derive(Clone)]
pub(super) struct OpenFiles(Arc<Inner>);

struct Inner {
    files: Vec<(PathBuf, Identity)>,
    are_replaced: AtomicBool,
}

/// What makes a file this file, whatever its name.
#[derive(PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

impl OpenFiles {
    /// The files of the store at `path`, which a connection has just opened and read.
    ///
    /// # Errors
    /// When one of them is gone already.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let files = SUFFIXES.iter().map(|suffix| {
            let path = with_suffix(path, suffix);
            match std::fs::metadata(&path) {
                Ok(metadata) => Ok((path, Identity::of(&metadata))),
                Err(source) => Err(Error::Io { path, source }),
            }
        });
        Ok(Self(Arc::new(Inner {
            files: files.collect::<Result<_, _>>()?,
            are_replaced: AtomicBool::new(false),
        })))
    }

    /// None, of which nothing is expected: for a look at a store that another process serves from.
    pub(super) fn none() -> Self {
        Self(Arc::new(Inner {
            files: Vec::new(),
            are_replaced: AtomicBool::new(false),
        }))
    }

    /// Looks whether all are in their places. A change is said once.
    ///
    /// # Errors
    /// [`Error::Replaced`], with the first one that is not.
    pub(super) fn check(&self) -> Result<(), Error> {
        let replaced = self.0.files.iter().find_map(|(path, identity)| {
            let why = match std::fs::metadata(path) {
                Ok(found) if Identity::of(&found) == *identity => return None,
                Ok(_) => "another file stands there".to_owned(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => "it is gone".to_owned(),
                Err(error) => error.to_string(),
            };
            let path = path.clone();
            Some(Error::Replaced { path, why })
        });
        let was_replaced = self
            .0
            .are_replaced
            .swap(replaced.is_some(), Ordering::Relaxed);
        match replaced {
            None => {
                if was_replaced {
                    tracing::info!("the store's files are back in place");
                }
                Ok(())
            }
            Some(error) => {
                if !was_replaced {
                    tracing::error!(error = %error, "nothing is acknowledged; see docs/OPERATIONS.md, Disks");
                }
                Err(error)
            }
        }
    }

    /// Call it before a connection is closed. The last one to close removes the log by its name, which must not be done to
    /// a log that belongs to another file.
    pub(super) fn before_close(&self, connection: &Connection) {
        if self.check().is_err()
            && let Err(error) =
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::warn!(error = %error, "cannot keep SQLite from removing a log that may not be this store's");
        }
    }
}
