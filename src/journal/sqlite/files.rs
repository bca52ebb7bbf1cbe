//! Checks that the open files are still the ones at their paths. A file that was removed, replaced or unmounted still
//! accepts writes, but no later start would find them, so nothing written to it may be acknowledged.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{SUFFIXES, with_suffix};
use crate::journal::Error;

/// The files of a store at the time when they were opened. Cheap to clone.
#[derive(Clone)]
pub(super) struct OpenFiles(Arc<Inner>);

struct Inner {
    files: Vec<(PathBuf, Identity)>,
    are_replaced: AtomicBool,
}

/// Device and inode: they identify a file, whatever its name.
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
    /// When one of them is already gone.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        let files = SUFFIXES.iter().map(|suffix| {
            let path = with_suffix(path, suffix);
            match std::fs::metadata(&path) {
                Ok(metadata) => Ok((path, Identity::of(&metadata))),
                Err(error) => Err(Error::io(path)(error)),
            }
        });
        Ok(Self(Arc::new(Inner {
            files: files.collect::<Result<_, _>>()?,
            are_replaced: AtomicBool::new(false),
        })))
    }

    /// No files, so every check passes: for reading a store that another process serves from.
    pub(super) fn none() -> Self {
        Self(Arc::new(Inner {
            files: Vec::new(),
            are_replaced: AtomicBool::new(false),
        }))
    }

    /// Checks that all files are in place. A change is logged once.
    ///
    /// # Errors
    /// [`Error::Replaced`] with the first file that is not in place.
    pub(super) fn check(&self) -> Result<(), Error> {
        let replaced = self.0.files.iter().find_map(|(path, identity)| {
            let why = match std::fs::metadata(path) {
                Ok(found) if Identity::of(&found) == *identity => return None,
                Ok(_) => "another file is at its path".to_owned(),
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

    /// To be called before a connection is closed. The last connection to close removes the log by its name, and that
    /// name may by now be the log of another file.
    pub(super) fn before_close(&self, connection: &Connection) {
        if self.check().is_err()
            && let Err(error) =
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::warn!(error = %error, "cannot keep SQLite from removing a log that may not be this store's");
        }
    }
}
