//! A copy of a store while it is in use, and a note beside the store of when one was last made: whoever copies is another
//! process than the one that serves, and must not write to the store.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::{folder, open, with_suffix};
use crate::journal::Error;

/// What the note is called, after the store's name.
const NOTE: &str = ".last-backup";

/// Copies the store at `path`, as it stands now, to a new file that only its owner may read. The service beside it goes
/// on. The copy is on disk when this returns; it holds no gaps, so it may be smaller.
///
/// # Errors
/// When the store cannot be read, or the file is there already or cannot be written; then nothing is left behind.
pub fn backup(path: &Path, copy: &Path) -> Result<(), Error> {
    let io = |source| Error::Io {
        path: copy.to_owned(),
        source,
    };
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
        .map_err(io)?;
    let copied = folder::adopt(copy)
        .map_err(io)
        .and_then(|()| Ok(connection.execute("VACUUM INTO ?1", [name])?))
        .and_then(|_| file.sync_all().map_err(io))
        .and_then(|()| folder::sync(folder::of(copy)).map_err(io));
    if copied.is_err() {
        std::fs::remove_file(copy).ok();
    }
    copied
}

/// Notes beside the store at `path` that it was backed up at this time.
///
/// # Errors
/// When the note cannot be written; an earlier one stays as it was.
pub fn note_backup(path: &Path, at: Timestamp) -> Result<(), Error> {
    let note = with_suffix(path, NOTE);
    // Renamed into its place, so that whoever reads it at that moment finds the earlier one or this one whole.
    let write = || {
        let mut new = tempfile::NamedTempFile::new_in(folder::of(path))?;
        writeln!(new, "{at}")?;
        new.as_file().sync_all()?;
        new.persist(&note)?;
        folder::adopt(&note)
    };
    write().map_err(|source| Error::Io {
        path: note.clone(),
        source,
    })
}

/// When the store at `path` was last backed up, as far as that is noted beside it.
pub fn last_backup(path: &Path) -> Option<Timestamp> {
    let note = std::fs::read_to_string(with_suffix(path, NOTE)).ok()?;
    note.trim().parse().ok()
}
