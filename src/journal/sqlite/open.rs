//! Connections, and what has to be so before the first statement: the folder, the schema, the settings.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use super::{BUSY, folder, lease};
use crate::domain::Clock;
use crate::journal::Error;

mod embedded {
    #![allow(missing_docs, unreachable_pub, reason = "made by the macro")]
    refinery::embed_migrations!("src/journal/sqlite/migrations");
}

/// Brings the schema up to date and takes over what an earlier process held.
pub(super) fn prepare(
    path: &Path,
    holder: Uuid,
    clock: Clock,
    longest_wait: Duration,
) -> Result<Connection, Error> {
    let connection = migrated(path)?;
    lease::take_over(&connection, holder, clock.steady(), longest_wait)?;
    Ok(connection)
}

/// Migrations only add, so that a process of an older version beside this one can go on.
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

/// A connection that keeps what it commits.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -32768;
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}
