//! Copies a store while it is in use, and writes the time of the last backup into a file beside the store. The copying
//! process is not the one that serves, so it must not write to the store itself.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::{folder, open, with_suffix};
use crate::journal::Error;

/// The suffix of that file, after the store's name.
const NOTE: &str = ".last-backup";

/// Copies the store at `path` in its present state to a new file that only its owner may read. The service that uses
/// the store keeps running. The copy is on disk when this returns. It has no free pages, so it may be smaller.
///
/// # Errors
/// When the store cannot be read, or when the file exists or cannot be written. Then nothing is left behind.
pub fn backup(path: &Path, copy: &Path) -> Result<(), Error> {
    let io = Error::io(copy);
    let name = copy.to_str().ok_or_else(|| {
        io(std::io::Error::new(
            ErrorKind::InvalidInput,
            "a copy's name must be UTF-8",
        ))
    })?;
    let connection = open::read_only(path)?;
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(copy)
        .map_err(&io)?;
    let copied = folder::adopt(copy)
        .map_err(&io)
        .and_then(|()| Ok(connection.execute("VACUUM INTO ?1", [name])?))
        .and_then(|_| file.sync_all().map_err(&io))
        .and_then(|()| folder::sync(folder::of(copy)).map_err(&io));
    if copied.is_err() {
        std::fs::remove_file(copy).ok();
    }
    copied
}

/// Writes the time of a backup into a file beside the store at `path`.
///
/// # Errors
/// When the file cannot be written. An earlier one stays as it was.
pub fn note_backup(path: &Path, at: Timestamp) -> Result<(), Error> {
    let note = with_suffix(path, NOTE);
    // Renamed into place, so that a concurrent reader finds either the earlier file or this one, complete.
    let write = || {
        let mut new = tempfile::NamedTempFile::new_in(folder::of(path))?;
        writeln!(new, "{at}")?;
        new.as_file().sync_all()?;
        new.persist(&note)?;
        folder::adopt(&note)
    };
    write().map_err(Error::io(&note))
}

/// When the store at `path` was last backed up, according to the file beside it.
pub fn last_backup(path: &Path) -> Option<Timestamp> {
    let note = std::fs::read_to_string(with_suffix(path, NOTE)).ok()?;
    note.trim().parse().ok()
}
