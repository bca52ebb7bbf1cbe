//! Moves what is in the write-ahead log into the store's file, on a thread of its own: inside the writer it is what the
//! tail of the answer times consists of.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::Connection;

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(200);
/// From this size on it is copied back without disturbing anyone.
const PASSIVE: u64 = 4 << 20;
/// From this size on writers wait for the rest of the copy, so that the log starts anew and stays bounded.
const RESTART: u64 = 128 << 20;
/// A log that ever grew beyond this is cut back once it is copied.
const TRUNCATE: u64 = 512 << 20;

/// Checkpoints until `stop` is dropped or sent to, then once more in full.
pub(super) fn run(connection: &Connection, path: &Path, stop: &Receiver<()>) {
    let wal = wal_of(path);
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
                checkpoint(connection, "TRUNCATE");
                return;
            }
        };
        checkpoint(connection, mode);
    }
}

/// A checkpoint that finds the store busy or the disk full is tried again; the log has everything meanwhile.
fn checkpoint(connection: &Connection, mode: &str) {
    if let Err(error) =
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
    {
        tracing::warn!(error = %error, mode, "the store's log could not be copied back; trying again");
    }
}

fn wal_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}
