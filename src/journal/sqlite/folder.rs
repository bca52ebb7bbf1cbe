//! The folder of a store: private, and on disk for certain.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Patient data goes there: nobody but the service's user may look in.
///
/// A new folder is on disk for certain only when the one above it is synced; until then a power cut takes it away with
/// everything in it, however well that was synced. The last one is seen to at every start, should the process that made
/// it have been killed in between. Within the folder SQLite does the same for its files.
pub(super) fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let mut new: Vec<_> = folder
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
        .collect();
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // The outermost first, so that each finds its own above it.
    for folder in new.iter().rev() {
        adopt(folder)?;
    }
    if new.is_empty() {
        new.push(folder);
    }
    for folder in new {
        sync_name(folder)?;
    }
    Ok(())
}

/// Syncs the folder that this one stands in. One that may not be read was made by someone else.
fn sync_name(folder: &Path) -> std::io::Result<()> {
    let above = match folder.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    match File::open(above) {
        Ok(above) => above.sync_all(),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the file where there is none, so that it is private even in a folder that is not: its log gets the same mode.
pub(super) fn make_private_file(file: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?;
    adopt(file)
}

/// Syncs a folder: what was made, renamed or removed in it is so after a power cut.
pub(super) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Gives what root has made to the owner of the folder that it stands in: a command that was run as root must not leave
/// what the service's user cannot open.
///
/// # Errors
/// When the file or its folder cannot be looked at, or the owner not be changed.
pub fn adopt(made: &Path) -> std::io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (own, above) = (std::fs::metadata(made)?, std::fs::metadata(of(made))?);
    if (own.uid(), own.gid()) != (above.uid(), above.gid()) && own.uid() == 0 {
        std::os::unix::fs::chown(made, Some(above.uid()), Some(above.gid()))?;
    }
    Ok(())
}

/// The folder that a file stands in.
pub(super) fn of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}
