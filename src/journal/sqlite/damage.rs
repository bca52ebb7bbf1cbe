//! Handles damage. A damaged file is moved aside and never overwritten, because its data may still be recovered.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use super::{SUFFIXES, folder, with_suffix};
use crate::journal::{Error, OpenError};

/// The part of a damaged file's name between the store's name and the time.
const MARK: &str = ".corrupt-";

/// Whether damage was found since the start, in a file that was found to be intact when it was opened. Cheap to clone.
#[derive(Clone)]
pub(super) struct DamageFlag(Arc<(PathBuf, AtomicBool)>);

impl DamageFlag {
    /// No damage so far in the store at `path`.
    pub(super) fn none(path: &Path) -> Self {
        Self(Arc::new((path.to_owned(), AtomicBool::new(false))))
    }

    /// Checks a result for damage. Damage is logged once.
    pub(super) fn watch<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &result
            && error.is_damage()
            && !self.0.1.swap(true, Ordering::Relaxed)
        {
            tracing::error!(
                path = %self.0.0.display(),
                error = %error,
                "the store is damaged: events on the damaged pages cannot be delivered, all others are; \
                 see `suki-receiver store check` and docs/OPERATIONS.md, Disks"
            );
        }
        result
    }

    /// Whether damage was found.
    pub(super) fn is_damaged(&self) -> bool {
        self.0.1.load(Ordering::Relaxed)
    }
}

/// If `error` says that the file is damaged, moves it and its log aside and returns an error that says where to.
pub(super) fn move_aside(path: &Path, error: OpenError) -> OpenError {
    if !error.is_damage() {
        return error;
    }
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let aside = with_suffix(path, &format!("{MARK}{time}"));
    for suffix in SUFFIXES {
        let moved = std::fs::rename(with_suffix(path, suffix), with_suffix(&aside, suffix));
        match moved {
            Err(error) if suffix.is_empty() => return Error::io(path)(error).into(),
            // There may be no log.
            Err(_) | Ok(()) => {}
        }
    }
    OpenError::Damaged {
        path: path.to_owned(),
        aside,
        reason: error.to_string(),
    }
}

/// The damaged files that lie beside a store.
pub fn damaged_beside(path: &Path) -> Vec<PathBuf> {
    let Some(name) = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned() + MARK)
    else {
        return Vec::new();
    };
    let Ok(entries) = std::fs::read_dir(folder::of(path)) else {
        return Vec::new();
    };
    let is_aside = |found: &PathBuf| {
        found.file_name().is_some_and(|found| {
            let found = found.to_string_lossy();
            found.starts_with(&name) && !found.ends_with("-wal") && !found.ends_with("-shm")
        })
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_aside)
        .collect()
}
