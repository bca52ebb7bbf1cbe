//! The folder of a store: private, and durably on disk.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes the folder private: it will hold patient data, so only the service's user may read it.
///
/// A new folder is durable only when its parent is synced; until then a power failure removes it with all its contents,
/// even if those were synced. The last folder's parent is synced at every start, because the process that made the
/// folder may have been killed before the sync. Inside the folder SQLite does the same for its files.
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
    // Outermost first, so that each folder's parent exists.
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

/// Syncs a folder's parent. A parent that may not be read was made by another user.
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

/// Creates the file if it does not exist, so that it is private even in a folder that is not; its log gets the same
/// mode.
pub(super) fn make_private_file(file: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?;
    adopt(file)
}

/// Syncs a folder, so that what was created, renamed or removed in it stays so after a power failure.
pub(super) fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Changes the owner of a file that root has made to the owner of its folder: a command that was run as root must not
/// leave files that the service's user cannot open.
///
/// # Errors
/// When the file or its folder cannot be inspected, or when the owner cannot be changed.
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

/// The folder that a file is in.
pub(super) fn of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}
