//! Metrics of the data folder: free space on its disk (when the disk is full, the answer is 503), and the time of the
//! embedded store's last backup.

use std::path::{Path, PathBuf};

use crate::config::{Store, StoreUrl};
use crate::journal;
use crate::metrics::Metrics;

/// The data folder, and the embedded store in it.
pub(super) struct Disks {
    volume: &'static str,
    folder: PathBuf,
    /// The embedded store. `None` for a shared store, which is backed up with the database's own tools.
    embedded: Option<PathBuf>,
}

impl Disks {
    /// The folder of the embedded store, or of the spool.
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

    /// Updates the metrics. A missing folder is skipped here; the store reports it.
    pub(super) fn update(&self, metrics: &Metrics) {
        if let Ok(disk) = rustix::fs::statvfs(&self.folder) {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            metrics.set_disk(self.volume, bytes(disk.f_bavail), bytes(disk.f_blocks));
        }
        if let Some(store) = &self.embedded {
            metrics.set_last_backup(journal::last_backup(store));
        }
    }
}
