//! Room on the disk of the data folder, as metrics. When it is full, the answer is 503.

use std::path::{Path, PathBuf};

use crate::config::{Store, StoreUrl};
use crate::metrics::Metrics;

/// The folder to look at, and what it holds.
pub(super) struct Disks {
    volume: &'static str,
    folder: PathBuf,
}

impl Disks {
    /// The disk of the embedded store, or of the spool.
    pub(super) fn of(store: &Store) -> Self {
        let volume = match store.url {
            StoreUrl::Sqlite(_) => "store",
            StoreUrl::Postgres(_) => "spool",
        };
        let folder = Some(store.folder()).filter(|folder| !folder.as_os_str().is_empty());
        Self {
            volume,
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
        }
    }

    /// Looks. A folder that is not there has no disk; the store says what is wrong.
    pub(super) fn look(&self, metrics: &Metrics) {
        if let Ok(disk) = rustix::fs::statvfs(&self.folder) {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            metrics.set_disk(self.volume, bytes(disk.f_bavail), bytes(disk.f_blocks));
        }
    }
}
