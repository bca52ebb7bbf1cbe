//! What is seen of the data folder from outside, as metrics: room on its disk (when it is full, the answer is 503), and when
//! the embedded store was last backed up.

use std::path::{Path, PathBuf};

use crate::config::{Store, StoreUrl};
use crate::journal;
use crate::metrics::Metrics;

/// The folder to look at, and what it holds.
pub(super) struct Disks {
    volume: &'static str,
    folder: PathBuf,
    /// The embedded store. Backups of a shared one are made with its own tools.
    embedded: Option<PathBuf>,
}

impl Disks {
    /// The disk of the embedded store, or of the spool.
    pub(super) fn of(store: &Store) -> Self {
        let (volume, embedded) = match &store.url {
            StoreUrl::Sqlite(path) => ("store", Some(path.clone())),
            StoreUrl::Postgres(_) => ("spool", None),
        };
        let folder = Some(store.folder()).filter(|folder| !folder.as_os_str().is_empty());
        Self {
            volume,
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            embedded,
        }
    }

    /// Looks. A folder that is not there has no disk; the store says what is wrong.
    pub(super) fn look(&self, metrics: &Metrics) {
        if let Ok(disk) = rustix::fs::statvfs(&self.folder) {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            metrics.set_disk(self.volume, bytes(disk.f_bavail), bytes(disk.f_blocks));
        }
        if let Some(store) = &self.embedded {
            metrics.set_last_backup(journal::last_backup(store));
        }
    }
}
