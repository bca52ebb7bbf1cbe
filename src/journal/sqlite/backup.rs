//! A copy of a store while it is in use.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{folder, open};
use crate::journal::Error;

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
