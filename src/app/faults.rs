//! Faults of the configuration alone that prevent a start: missing files, keys that do not match, folders that cannot
//! be written. `check` and `serve` both use this module, so that `check` reports what `serve` would refuse.
//!
//! It opens no connection and leaves no file behind.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use super::{admin_token, wiring};
use crate::config::{self, Config, Fault, SinkTarget, StoreUrl};
use crate::journal::PostgresStore;
use crate::metrics::Metrics;
use crate::net::{ServerTls, TlsError};
use crate::sinks::{self, SetupError};

/// The command that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// `check`: a read-only file system is reported as a fault too.
    Check,
    /// `serve`: a disk that has become read-only is a failure that may pass, not a mistake in the configuration. The
    /// store reports it.
    Serve,
}

/// All faults of the configuration.
pub fn faults(config: &Config, asks: Asks) -> Vec<Fault> {
    let mut found = Vec::new();
    found.extend(tls("server.tls", config.server.tls.as_ref()));
    found.extend(tls("admin.tls", config.admin.tls.as_ref()));
    found.extend(store(&config.store, asks));
    found.extend(token(config, asks));
    if let Err(error) = wiring::sdp_client(config, &Metrics::new()) {
        found.push(fault("sdp", super::chain(&error)));
    }
    found.extend(config.sinks.iter().filter_map(|it| sink(it, asks)));
    found
}

/// Reasons why some clients may refuse the listeners' certificates, as warnings.
pub fn doubts(config: &Config) -> Vec<String> {
    [&config.server.tls, &config.admin.tls]
        .into_iter()
        .flatten()
        .filter_map(|files| ServerTls::load(files).ok()?.doubt())
        .collect()
}

fn tls(section: &str, files: Option<&config::ServerTls>) -> Option<Fault> {
    let files = files?;
    let error = ServerTls::load(files).err()?;
    let is_of_the_key = match &error {
        TlsError::File { path, .. } => *path == files.key_file && files.key_file != files.cert_file,
        TlsError::KeyMismatch { .. } => true,
        TlsError::NotValidNow { .. } | TlsError::Setup(_) => false,
    };
    let key = if is_of_the_key {
        "key_file"
    } else {
        "cert_file"
    };
    Some(fault(&format!("{section}.{key}"), error.to_string()))
}

fn store(store: &config::Store, asks: Asks) -> Option<Fault> {
    let why = match &store.url {
        StoreUrl::Sqlite(file) => {
            must_be_writable(file, asks).and_then(|()| side_files_must_be_writable(file, asks))
        }
        StoreUrl::Postgres(url) => {
            if let Err(error) = PostgresStore::check_settings(store, url) {
                return Some(fault("store.ca_file", error.to_string()));
            }
            // A spool that cannot be written is no fault: the service runs without it and reports it as a note.
            return None;
        }
    };
    Some(fault("store.url", why.err()?))
}

/// The files beside the store must be writable. Another user, such as root, may have created them.
fn side_files_must_be_writable(store: &Path, asks: Asks) -> Result<(), String> {
    for suffix in ["-wal", "-shm", ".lock", ".turn"] {
        let mut name = store.as_os_str().to_owned();
        name.push(suffix);
        let file = Path::new(&name);
        if file.exists() {
            let opened = OpenOptions::new().append(true).open(file);
            can_be_written(file, opened.map(|_| ()), asks)?;
        }
    }
    Ok(())
}

/// When no admin token is configured, the file of the generated one must be readable, or creatable.
fn token(config: &Config, asks: Asks) -> Option<Fault> {
    if !config.admin.tokens.is_empty() {
        return None;
    }
    let file = admin_token::file(config);
    // Reading a pipe would block until somebody writes to it. Only the start reads it, once.
    if file
        .metadata()
        .is_ok_and(|found| found.file_type().is_fifo())
    {
        return None;
    }
    let why = if file.exists() {
        std::fs::read_to_string(&file)
            .map(|_| ())
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))
    } else {
        must_be_writable(&file, asks)
    };
    let why = why.err()?;
    Some(fault(
        "admin.tokens",
        format!("none is set, and the file for the generated token cannot be used: {why}"),
    ))
}

fn sink(sink: &config::SinkConfig, asks: Asks) -> Option<Fault> {
    let key = |key: &str| format!("sinks.{}.{key}", sink.name);
    match &sink.target {
        // An existing folder that cannot be written now is no fault: notifications are still accepted, and deliveries
        // wait.
        SinkTarget::Files(files) if files.dir.is_dir() => None,
        SinkTarget::Files(files) => {
            let why = must_be_writable(&files.dir.join("x"), asks).err()?;
            Some(fault(&key("dir"), why))
        }
        SinkTarget::Http(_) => {
            let error = sinks::build(sink).err()?;
            let at = match &error {
                SetupError::Folder { .. } => "dir",
                SetupError::Client { .. } => "ca_file",
                SetupError::Setting { key, .. } => key,
            };
            Some(fault(&key(at), error.to_string()))
        }
    }
}

/// The file must be writable. If it does not exist yet, its folder, or the nearest existing folder above it, must be
/// writable: the first start creates the file. A disk that is full or fails for now is no fault of the configuration.
fn must_be_writable(file: &Path, asks: Asks) -> Result<(), String> {
    let parent = file.ancestors().skip(1).find(|above| above.exists());
    let folder = match parent {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(format!("{} is not a folder", folder.display()));
    }
    if file.is_dir() {
        return Err(format!("{} is a folder, and no file", file.display()));
    }
    if !file.exists() {
        return can_be_written(folder, tempfile::tempfile_in(folder).map(|_| ()), asks);
    }
    if !file.is_file() {
        return Err(format!("{} is not a regular file", file.display()));
    }
    let opened = OpenOptions::new().append(true).open(file);
    can_be_written(file, opened.map(|_| ()), asks)?;
    // Its write-ahead log and its locks are created beside it.
    can_be_written(folder, tempfile::tempfile_in(folder).map(|_| ()), asks)
}

/// Judges the result of opening a path for writing.
fn can_be_written(path: &Path, opened: std::io::Result<()>, asks: Asks) -> Result<(), String> {
    match opened {
        Err(error) if asks == Asks::Serve && error.kind() == ErrorKind::ReadOnlyFilesystem => {
            Ok(())
        }
        Err(error) if !is_of_the_disk(&error) => {
            Err(format!("{} cannot be written: {error}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_of_the_disk(error: &std::io::Error) -> bool {
    const EIO: i32 = 5;
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    ) || error.raw_os_error() == Some(EIO)
}

fn fault(key: &str, message: String) -> Fault {
    Fault {
        key: key.to_owned(),
        message,
    }
}
