//! Moves what is in the write-ahead log into the store's file, on a thread of its own: inside the writer it is what the
//! tail of the answer times consists of.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;

use super::lock::Turn;
use super::with_suffix;

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// From this size on it is copied back without disturbing anyone.
const PASSIVE: u64 = 4 << 20;
/// From this size on writers wait for the rest of the copy, so that the log starts anew and stays bounded.
const RESTART: u64 = 128 << 20;
/// Most copies in a row, and the pages that may be left for the writers to wait for.
const COPIES: usize = 5;
const REST: u64 = 2000;
/// A log that ever grew beyond this is cut back once it is copied.
const TRUNCATE: u64 = 512 << 20;

/// Checkpoints until `stop` is dropped or sent to, then once more in full.
pub(super) fn run(connection: &Connection, path: &Path, turn: &Turn, stop: &Receiver<()>) {
    let wal = with_suffix(path, "-wal");
    loop {
        let mode = match stop.recv_timeout(EVERY) {
            Err(RecvTimeoutError::Timeout) => {
                match std::fs::metadata(&wal).map_or(0, |meta| meta.len()) {
                    0..PASSIVE => continue,
                    PASSIVE..RESTART => "PASSIVE",
                    RESTART..TRUNCATE => "RESTART",
                    TRUNCATE.. => "TRUNCATE",
                }
            }
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                checkpoint(connection, "PASSIVE");
                let _turn = turn.take();
                checkpoint(connection, "TRUNCATE");
                return;
            }
        };
        // The bulk of the copy disturbs nobody; only for the rest do the writers wait. What they write during one copy is
        // left to the next, which is shorter, until the rest is small. A log beyond all bounds is not waited with.
        let mut left = u64::MAX;
        for _ in 0..COPIES {
            left = checkpoint(connection, "PASSIVE");
            if mode == "PASSIVE" || left <= REST {
                break;
            }
        }
        if mode == "TRUNCATE" || (mode == "RESTART" && left <= REST) {
            let _turn = turn.take();
            checkpoint(connection, mode);
        }
    }
}

/// Says how many pages of the log are not copied yet. A checkpoint that finds the store busy or the disk full is tried
/// again; the log has everything meanwhile.
fn checkpoint(connection: &Connection, mode: &str) -> u64 {
    let left = |row: &rusqlite::Row<'_>| {
        let (log, copied): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(u64::try_from(log - copied).unwrap_or(0))
    };
    match connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], left) {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(error = %error, mode, "the store's log could not be copied back; trying again");
            u64::MAX
        }
    }
}
