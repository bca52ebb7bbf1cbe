//! Files below a folder: `YYYY/MM/DD/<id>.json` by the day of receipt (UTC), written whole or not at all.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::tz::TimeZone;

use super::{Delivery, Outcome, SetupError, Sink};
use crate::config;

/// Delivers into a folder.
#[derive(Debug, Clone)]
pub struct FilesSink {
    dir: PathBuf,
}

impl FilesSink {
    /// A sink that writes below `config.dir`, which is made if need be.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(name: &str, config: &config::FilesSink) -> Result<Self, SetupError> {
        make_folder(&config.dir).map_err(|source| SetupError::Folder {
            sink: name.to_owned(),
            dir: config.dir.clone(),
            source,
        })?;
        Ok(Self {
            dir: config.dir.clone(),
        })
    }
}

#[async_trait]
impl Sink for FilesSink {
    async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let day = delivery
            .received_at
            .to_zoned_datetime(TimeZone::UTC)
            .strftime("%Y/%m/%d")
            .to_string();
        let (root, folder) = (self.dir.clone(), self.dir.join(day));
        let (name, envelope) = (format!("{}.json", delivery.id), delivery.envelope.clone());
        let written =
            tokio::task::spawn_blocking(move || write(&root, &folder, &name, &envelope)).await;
        match written {
            Ok(Ok(())) => Outcome::Delivered,
            Ok(Err(error)) => Outcome::Retry {
                after: None,
                reason: format!("cannot write the file: {error}"),
            },
            Err(_) => Outcome::Retry {
                after: None,
                reason: "writing the file panicked".to_owned(),
            },
        }
    }

    async fn check(&self) -> Result<(), String> {
        tempfile::tempfile_in(&self.dir)
            .map(|_| ())
            .map_err(|error| format!("cannot write to {}: {error}", self.dir.display()))
    }
}

/// Writes a file under another name, syncs it, renames it and syncs the folder: after a crash it is there whole or not.
fn write(root: &Path, folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    if !folder.is_dir() {
        make_folder(folder)?;
        // The new folders' own entries have to last as well.
        let mut parent = folder.parent();
        while let Some(above) = parent.filter(|above| above.starts_with(root)) {
            sync(above)?;
            parent = above.parent();
        }
    }
    let mut file = tempfile::Builder::new()
        .prefix(".")
        .suffix(".part")
        .tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o640))?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))
        .map_err(|error| error.error)?;
    sync(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Patient data goes there: the service's user and group only.
fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(folder)
}
