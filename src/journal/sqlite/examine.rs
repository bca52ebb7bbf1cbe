//! Checks a whole store without changing it: no file is created, written or removed. For `store check`.

use std::fs::{File, TryLockError};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{address, inspect, open, query, with_suffix};
use crate::journal::{Error, OpenError, Stats, Waiting};

/// The result of a check.
#[derive(Debug, Clone, Default)]
pub struct Examined {
    /// The number of events by state.
    pub stats: Stats,
    /// The inconsistencies.
    pub problems: Vec<String>,
    /// The deliveries that wait for sinks that are not configured.
    pub orphans: Vec<Waiting>,
}

/// Checks the store at `path`, whether or not a process serves from it. A delivery to a sink that is not among
/// `configured` is reported.
///
/// # Errors
/// When the store cannot be read at all. Anything wrong inside it is part of the result.
pub fn examine(path: &Path, configured: Option<&[String]>) -> Result<Examined, Error> {
    // Held for the whole check, so that no service starts and writes next to a connection that must not meet other
    // writers.
    let lock = File::open(with_suffix(path, ".lock")).ok();
    let is_served = match lock.as_ref().map(File::try_lock) {
        Some(Err(TryLockError::WouldBlock)) => true,
        None | Some(Ok(()) | Err(TryLockError::Error(_))) => false,
    };
    let has_log = std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|meta| meta.len() > 0);
    let connection = if is_served || !has_log {
        open::read_only(path)?
    } else {
        // Another program, such as an SQLite shell, may have the store open; then there is a shared index to use.
        match alone(path) {
            Ok(connection) => connection,
            Err(_) => open::read_only(path)?,
        }
    };
    let mut found = Examined {
        problems: problems(&connection)
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
        match address::waiting_deliveries(&connection, configured) {
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

/// The inconsistencies. The schema of an older version is left as it is, and its rows are not checked.
fn problems(connection: &Connection) -> Result<Vec<String>, OpenError> {
    let is_known = connection.query_row(
        "SELECT count(*) = 1 FROM sqlite_master WHERE name = 'receipts'",
        [],
        |row| row.get::<_, bool>(0),
    )?;
    if !is_known {
        return Err(OpenError::Older);
    }
    Ok(inspect::inspect(connection)?)
}

/// Describes the deliveries that wait for a sink that is not configured.
pub fn orphaned(Waiting { sink, count, .. }: &Waiting) -> String {
    format!(
        "{count} deliveries wait for the sink '{sink}', which is not configured; \
         see `suki-receiver sinks drop` and `suki-receiver sinks readdress`"
    )
}

/// Connects to a store that has a log and that no other process has open. The log's index is kept in memory, and the
/// log is left as it is when the connection is closed.
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
