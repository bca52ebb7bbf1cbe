//! Opens connections, and prepares what they need before the first statement: the folder, the schema, the settings.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::counts::Tx;
use super::{BUSY, folder, with_suffix, work};
use crate::domain::Clock;
use crate::journal::{Error, OpenError};

/// The characters with a meaning of their own in a file URI.
const IN_A_URI: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

mod embedded {
    #![allow(missing_docs, unreachable_pub, reason = "made by the macro")]
    refinery::embed_migrations!("src/journal/sqlite/migrations");
}

/// Migrates the schema and takes over the leases of an earlier process.
pub(super) fn prepare(
    path: &Path,
    owner: Uuid,
    clock: Clock,
    longest_wait: Duration,
) -> Result<Connection, OpenError> {
    let connection = migrated(path)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let tx = Tx::new(&connection);
    work::take_over(&tx, owner, clock.monotonic(), longest_wait)?;
    tx.write_counts()?;
    connection.execute_batch("COMMIT")?;
    Ok(connection)
}

/// Whether the store has this version's schema. Also true when there is no store yet.
pub(super) fn is_current(path: &Path) -> Result<bool, OpenError> {
    if !path.exists() {
        return Ok(true);
    }
    match current(path) {
        Ok(_) => Ok(true),
        Err(OpenError::Older) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Migrates the schema.
pub(super) fn migrated(path: &Path) -> Result<Connection, OpenError> {
    folder::make_private_file(path).map_err(Error::io(path))?;
    let mut connection = connect(path)?;
    // In one transaction with the record of the migration. Otherwise a crash between the two would leave a file that
    // can never be opened again, because the migration would run twice.
    embedded::migrations::runner()
        .set_grouped(true)
        .run(&mut connection)?;
    Ok(connection)
}

/// Connects to a store that has this version's schema, without migrating it.
pub(super) fn current(path: &Path) -> Result<Connection, OpenError> {
    let connection = connect(path)?;
    let newest: Option<u32> = connection.query_row(
        "SELECT max(version) FROM refinery_schema_history",
        [],
        |row| row.get(0),
    )?;
    let known = embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(|migration| u32::try_from(migration.version()).unwrap_or(0))
        .max();
    if newest < known {
        return Err(OpenError::Older);
    }
    Ok(connection)
}

/// A read-only connection. If there is no log, no other file is created.
pub(super) fn read_only(path: &Path) -> Result<Connection, Error> {
    let has_log = std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|meta| meta.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if has_log {
        Connection::open_with_flags(path, flags)?
    } else {
        let path = std::path::absolute(path).map_err(Error::io(path))?;
        let path = percent_encoding::percent_encode(path.as_os_str().as_encoded_bytes(), &IN_A_URI);
        let uri = format!("file:{path}?immutable=1");
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
    };
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// A connection whose commits are durable.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -8192;
         PRAGMA temp_store = MEMORY;
         PRAGMA secure_delete = ON;",
    )?;
    Ok(connection)
}

/// Makes query plans independent of the parameters' values, so that a statement is planned once and not for each run.
pub(super) fn keep_plans(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
