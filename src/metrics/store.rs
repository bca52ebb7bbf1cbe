//! What is counted of the store, its disk and its spool, and of what operators replay from it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Metrics, counter, gauge};

impl Metrics {
    /// What is in the local spool, and how long ago the oldest of it came.
    pub fn spool(&self, count: u64, oldest: Duration) {
        self.set("spool_events", &[], count);
        gauge(&self.0.recorder, "spool_oldest_seconds", &[]).set(oldest.as_secs_f64());
    }

    /// The room on the disk of a volume, in bytes.
    pub fn set_disk(&self, volume: &'static str, free: u64, size: u64) {
        self.set("disk_free_bytes", &[("volume", volume)], free);
        self.set("disk_size_bytes", &[("volume", volume)], size);
    }

    /// How large the store is, and its log where that is a file of its own, in bytes.
    pub fn set_store_size(&self, bytes: u64, wal_bytes: Option<u64>) {
        self.set("store_size_bytes", &[], bytes);
        if let Some(wal_bytes) = wal_bytes {
            self.set("wal_size_bytes", &[], wal_bytes);
        }
    }

    /// When the store was last backed up. Not to be called where its backups are made by others.
    pub fn set_last_backup(&self, at: Option<Timestamp>) {
        let at = at.unwrap_or(Timestamp::UNIX_EPOCH);
        self.at("backup_last_success_timestamp_seconds", &[], at);
    }

    /// So many events were to be replayed, and this came of it.
    pub fn replays(&self, result: &'static str, count: u64) {
        counter(&self.0.recorder, "replays_total", &[("result", result)]).increment(count);
    }
}
