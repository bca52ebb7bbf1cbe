//! A look at a whole store that changes nothing: no file is made, written or removed. For `store check`.

use std::fs::{File, TryLockError};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{address, inspect, open, query, with_suffix};
use crate::journal::{Error, Stats, Waiting};

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    /// How many events stand where.
    pub stats: Stats,
    /// What does not fit together.
    pub problems: Vec<String>,
    /// Sinks that deliveries wait for and that are not configured, with how many.
    pub orphans: Vec<Waiting>,
}

/// Reads the store at `path`, whether a process serves from it or not. Deliveries must be for one of the `configured`
/// sinks.
///
/// # Errors
/// When it cannot be read at all. What is wrong within it is a finding.
pub fn examine(path: &Path, configured: Option<&[String]>) -> Result<Examined, Error> {
    // Held while it is read, so that no start writes beside a connection that is not to be disturbed.
    let lock = File::open(with_suffix(path, ".lock")).ok();
    let is_served = match lock.as_ref().map(File::try_lock) {
        Some(Err(TryLockError::WouldBlock)) => true,
        None | Some(Ok(()) | Err(TryLockError::Error(_))) => false,
    };
    let has_log = std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|meta| meta.len() > 0);
    let connection = if is_served || !has_log {
        open::read_only(path)?
    } else {
        // Something else may have it open, such as a shell of SQLite; then there is an index to be shared already.
        match alone(path) {
            Ok(connection) => connection,
            Err(_) => open::read_only(path)?,
        }
    };
    let mut found = Examined {
        problems: inspect::inspect(&connection)
            .unwrap_or_else(|error| vec![format!("it cannot be read to its end: {error}")]),
        ..Examined::default()
    };
    match query::stats(&connection) {
        Ok(stats) => found.stats = stats,
        Err(error) => found
            .problems
            .push(format!("its counts cannot be read: {error}")),
    }
    if let Some(configured) = configured {
        match address::orphans(&connection, configured) {
            Ok(orphans) => found.orphans = orphans,
            Err(error) => found
                .problems
                .push(format!("its deliveries cannot be read: {error}")),
        }
    }
    drop(connection);
    drop(lock);
    Ok(found)
}

/// Deliveries that wait for a sink that is not there, in words.
pub fn orphaned(Waiting { sink, count, .. }: &Waiting) -> String {
    format!(
        "{count} deliveries wait for the sink '{sink}', which is not configured; \
         see `suki-receiver sinks drop` and `suki-receiver sinks readdress`"
    )
}

/// A connection to a store with a log that no other process has open. It keeps the log's index in memory, and leaves the
/// log as it is when it is closed.
fn alone(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags(
        path,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    Ok(connection)
}
