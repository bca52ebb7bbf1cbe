//! Puts a backup in the place of a store, or creates an empty store, on an operator's command. Neither happens by
//! itself.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;

use super::lock::{self, WriteLock};
use super::{SUFFIXES, backup, damage, folder, inspect, open, with_suffix};
use crate::journal::{Error, OpenError};

/// The suffix of a copy until it is complete and in place.
const RESTORING: &str = ".restoring";
/// The part of a replaced store's name between the store's name and the time.
const REPLACED: &str = ".replaced-";

/// Returns an error if there was a store here and a start would create an empty one: its events would be silently lost.
///
/// # Errors
/// [`OpenError::Missing`], which names the files that are left.
pub(super) fn must_not_begin_empty(path: &Path) -> Result<(), OpenError> {
    if has_content(path) {
        return Ok(());
    }
    let mut traces = damage::damaged_beside(path);
    let (log, copy) = (with_suffix(path, "-wal"), with_suffix(path, RESTORING));
    traces.extend([log, copy].into_iter().filter(|path| has_content(path)));
    if traces.is_empty() {
        return Ok(());
    }
    Err(OpenError::Missing {
        path: path.to_owned(),
        traces,
    })
}

/// Whether there is a file that is not empty.
pub(super) fn has_content(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.len() > 0)
}

/// Logs that a new store was created at `path`: as a warning if there was one before, whose file was removed after a
/// clean stop.
pub(super) fn report_new(path: &Path) {
    let had_store = WriteLock::path_of(path).exists();
    let path = path.display();
    if had_store {
        tracing::warn!(
            "there was a store at {path} before, and its file is gone: a new, empty store was created. If the file was not removed on purpose, stop the service and restore a backup"
        );
    } else {
        tracing::info!("created a new store at {path}");
    }
}

/// Creates an empty store at `path`, where there is none. Files that are left of an earlier store are moved aside.
///
/// # Errors
/// When there is a store, another process serves from it, or it cannot be created.
pub fn begin_empty(path: &Path) -> Result<(), OpenError> {
    folder::make_private(folder::of(path)).map_err(Error::io(path))?;
    let _owned = own(path)?;
    if has_content(path) {
        return Err(OpenError::Exists {
            path: path.to_owned(),
        });
    }
    move_aside(path)?;
    remove_copy(path);
    close(path, open::migrated(path)?)?;
    Ok(folder::adopt(path).map_err(Error::io(path))?)
}

/// Puts the backup in `file` in the place of the store at `path`. Returns the path of the replaced store, if there was
/// one.
///
/// The copy is checked before anything is changed. If the process is killed halfway, there is no store, and the next
/// start reports that and does not create an empty one.
///
/// # Errors
/// When another process serves from the store, or when the backup is damaged, not a store, or from a newer version.
pub fn restore(file: &Path, path: &Path) -> Result<Option<PathBuf>, OpenError> {
    folder::make_private(folder::of(path)).map_err(Error::io(path))?;
    let _owned = own(path)?;
    let copy = with_suffix(path, RESTORING);
    remove_copy(path);
    let made = prepare(file, &copy);
    if made.is_err() {
        remove_copy(path);
    }
    made?;
    let aside = move_aside(path)?;
    std::fs::rename(&copy, path).map_err(Error::io(path))?;
    folder::sync(folder::of(path)).map_err(Error::io(path))?;
    folder::adopt(path).map_err(Error::io(path))?;
    Ok(aside)
}

/// Copies the backup, checks the copy and migrates it.
fn prepare(file: &Path, copy: &Path) -> Result<(), OpenError> {
    let unusable = |why: String| OpenError::Backup {
        path: file.to_owned(),
        why,
    };
    backup::backup(file, copy).map_err(|error| match error {
        error @ Error::Io { .. } => error.into(),
        other => unusable(other.to_string()),
    })?;
    let connection = open::read_only(copy)?;
    let is_store = connection.query_row(
        "SELECT count(*) = 2 FROM sqlite_master WHERE name IN ('deliveries', 'refinery_schema_history')",
        [],
        |row| row.get::<_, bool>(0),
    )?;
    if !is_store {
        return Err(unusable("it is not a store of this service".to_owned()));
    }
    let damages = inspect::damages(&connection)?;
    if let Some(first) = damages.first() {
        return Err(unusable(first.clone()));
    }
    drop(connection);
    let migrated = open::migrated(copy).map_err(|error| unusable(error.to_string()))?;
    Ok(close(copy, migrated)?)
}

/// Closes the only connection, so that all data is in the file itself, and syncs it.
fn close(path: &Path, connection: Connection) -> Result<(), Error> {
    connection.close().map_err(|(_, error)| error)?;
    std::fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(Error::io(path))
}

fn own(path: &Path) -> Result<std::fs::File, OpenError> {
    lock::try_own(path)?.ok_or_else(|| OpenError::InUse {
        path: path.to_owned(),
    })
}

/// Moves the existing files aside, the database first: without the database the next start creates nothing, whatever
/// other files are left.
fn move_aside(path: &Path) -> Result<Option<PathBuf>, Error> {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ");
    let aside = with_suffix(path, &format!("{REPLACED}{time}"));
    let mut is_any = false;
    for suffix in SUFFIXES {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        match std::fs::rename(&from, &to) {
            Ok(()) => is_any = true,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(&from)(error)),
        }
    }
    Ok(is_any.then_some(aside))
}

fn remove_copy(path: &Path) {
    let copy = with_suffix(path, RESTORING);
    for suffix in SUFFIXES {
        // They may not exist.
        std::fs::remove_file(with_suffix(&copy, suffix)).ok();
    }
}
