//! Connections, and what has to be so before the first statement: the folder, the schema, the settings.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::counts::Tx;
use super::{BUSY, folder, with_suffix, work};
use crate::domain::Clock;
use crate::journal::Error;

/// What has a meaning of its own in a file's URI.
const IN_A_URI: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

mod embedded {
    #![allow(missing_docs, unreachable_pub, reason = "made by the macro")]
    refinery::embed_migrations!("src/journal/sqlite/migrations");
}

/// Brings the schema up to date and takes over what an earlier process held.
pub(super) fn prepare(
    path: &Path,
    owner: Uuid,
    clock: Clock,
    longest_wait: Duration,
) -> Result<Connection, Error> {
    let connection = migrated(path)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let tx = Tx::new(&connection);
    work::take_over(&tx, owner, clock.monotonic(), longest_wait)?;
    tx.write_counts()?;
    connection.execute_batch("COMMIT")?;
    Ok(connection)
}

/// Whether a store that is there has this version's schema. One that is not there is none of an older version.
pub(super) fn is_current(path: &Path) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(true);
    }
    match current(path) {
        Ok(_) => Ok(true),
        Err(Error::Older) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Brings the schema up to date.
pub(super) fn migrated(path: &Path) -> Result<Connection, Error> {
    folder::make_private_file(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    let mut connection = connect(path)?;
    // In one transaction with the note that it was done: otherwise a crash between the two leaves a file that can never
    // be opened again, since what is there would be made once more.
    embedded::migrations::runner()
        .set_grouped(true)
        .run(&mut connection)?;
    Ok(connection)
}

/// A connection to a store that has this version's schema; it is left as it is.
pub(super) fn current(path: &Path) -> Result<Connection, Error> {
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
        return Err(Error::Older);
    }
    Ok(connection)
}

/// A connection that reads and changes nothing. Where there is no log, no other file is made either.
pub(super) fn read_only(path: &Path) -> Result<Connection, Error> {
    let has_log = std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|meta| meta.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if has_log {
        Connection::open_with_flags(path, flags)?
    } else {
        let path = std::path::absolute(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })?;
        let path = percent_encoding::percent_encode(path.as_os_str().as_encoded_bytes(), &IN_A_URI);
        let uri = format!("file:{path}?immutable=1");
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
    };
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// A connection that keeps what it commits.
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

/// Plans do not depend on the values of parameters, so that a statement is planned once and not each time it is run.
pub(super) fn keep_plans(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
