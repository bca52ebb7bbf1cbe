//! Metrics of the store, its disk and its spool, and of replays.

use std::time::Duration;

use jiff::Timestamp;

use super::{Metrics, counter, gauge};

impl Metrics {
    /// Sets the number of events in the local spool, and the age of the oldest.
    pub fn spool(&self, count: u64, oldest: Duration) {
        self.set("spool_events", &[], count);
        gauge(&self.0.recorder, "spool_oldest_seconds", &[]).set(oldest.as_secs_f64());
    }

    /// Sets the free space and the size of a volume's disk, in bytes.
    pub fn set_disk(&self, volume: &'static str, free: u64, size: u64) {
        self.set("disk_free_bytes", &[("volume", volume)], free);
        self.set("disk_size_bytes", &[("volume", volume)], size);
    }

    /// Sets the size of the store, and of its write-ahead log if that is a separate file, in bytes.
    pub fn set_store_size(&self, bytes: u64, wal_bytes: Option<u64>) {
        self.set("store_size_bytes", &[], bytes);
        if let Some(wal_bytes) = wal_bytes {
            self.set("wal_size_bytes", &[], wal_bytes);
        }
    }

    /// Sets when the store was last backed up. Not called for a store that is backed up with other tools.
    pub fn set_last_backup(&self, at: Option<Timestamp>) {
        let at = at.unwrap_or(Timestamp::UNIX_EPOCH);
        self.at("backup_last_success_timestamp_seconds", &[], at);
    }

    /// Counts events that were to be replayed, with the result.
    pub fn replays(&self, result: &'static str, count: u64) {
        counter(&self.0.recorder, "replays_total", &[("result", result)]).increment(count);
    }
}
