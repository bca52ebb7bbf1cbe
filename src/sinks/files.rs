//! Writes files below a folder: `YYYY/MM/DD/<id>.json` by the day of receipt (UTC). Each file appears complete or not
//! at all.
//!
//! Files that are queued while others are being synced are written and synced together, so a folder is synced once for
//! all of them. Each file is first written under a temporary name. Temporary files that a killed process left are
//! removed at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use jiff::tz::TimeZone;
use tempfile::NamedTempFile;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::{CloudEvent, SetupError, Sink, SinkAnswer};
use crate::config;
use crate::domain::{Cause, EventId, Reason};

/// The prefix and suffix of a temporary file's name.
const PART_PREFIX: &str = ".";
const PART_SUFFIX: &str = ".part";

/// Delivers events as files in a folder.
#[derive(Debug, Clone)]
pub struct FilesSink {
    dir: PathBuf,
    since: SystemTime,
    /// The folder of the last delivery, which is durable together with its parents.
    synced: Arc<Mutex<Option<PathBuf>>>,
    /// The files to write.
    queue: Arc<Mutex<Vec<Job>>>,
    /// Held while a batch is written.
    writing: Arc<tokio::sync::Mutex<()>>,
}

/// The most files of one batch.
const BATCH: usize = 64;
/// How many of them are synced at once: a disk takes several syncs in hardly more time than one.
const SYNCS: usize = 8;

/// A file to write, with the channel for the result.
struct Job {
    folder: PathBuf,
    name: String,
    content: Bytes,
    reply: oneshot::Sender<io::Result<()>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl FilesSink {
    /// A sink that writes below `config.dir`, which is created if necessary.
    ///
    /// # Errors
    /// When the folder cannot be created.
    pub fn new(name: &str, config: &config::FilesConfig) -> Result<Self, SetupError> {
        make_folder(&config.dir).map_err(|source| SetupError::Folder {
            sink: name.to_owned(),
            dir: config.dir.clone(),
            source,
        })?;
        Ok(Self {
            dir: config.dir.clone(),
            since: SystemTime::now(),
            synced: Arc::default(),
            queue: Arc::default(),
            writing: Arc::default(),
        })
    }

    /// Creates a folder below the sink's own if it does not exist, and syncs its parents so that it survives a power
    /// failure. An existing folder may have been created just before a kill, so its parents are synced as well.
    fn prepare(&self, folder: &Path) -> io::Result<()> {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if synced.as_deref() == Some(folder) && folder.is_dir() {
            return Ok(());
        }
        make_folder(folder)?;
        let above = folder.ancestors().skip(1);
        for above in above.take_while(|above| above.starts_with(&self.dir)) {
            sync(above)?;
        }
        *synced = Some(folder.to_owned());
        Ok(())
    }

    /// Writes a file, together with the others in the queue.
    async fn write(&self, folder: PathBuf, name: String, content: Bytes) -> io::Result<()> {
        let (reply, mut answer) = oneshot::channel();
        let job = Job {
            folder,
            name,
            content,
            reply,
        };
        self.queue().push(job);
        // The holder of the lock writes for all; the others then find that their file is written.
        let mut writing = Arc::clone(&self.writing).lock_owned().await;
        loop {
            match answer.try_recv() {
                Ok(written) => return written,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Closed) => {
                    return Err(io::Error::other("writing the file panicked"));
                }
            }
            let batch: Vec<Job> = {
                let mut queue = self.queue();
                let size = queue.len().min(BATCH);
                queue.drain(..size).collect()
            };
            let sink = self.clone();
            // In a task of its own, which keeps the lock: the files of the others must be written even if this caller
            // stops waiting.
            let written = tokio::spawn(async move {
                sink.write_all(batch).await;
                writing
            });
            writing = written.await.map_err(io::Error::other)?;
        }
    }

    /// Writes files under temporary names, syncs them, renames them and syncs their folders, so that after a crash each
    /// file is complete or absent. A panic drops jobs, and their callers get an error.
    async fn write_all(&self, mut batch: Vec<Job>) {
        let share = batch.len().div_ceil(SYNCS);
        let mut shares = Vec::with_capacity(SYNCS);
        while !batch.is_empty() {
            let jobs = batch.split_off(batch.len().saturating_sub(share));
            let sink = self.clone();
            shares.push(tokio::task::spawn_blocking(move || sink.begin_all(jobs)));
        }
        let begun: Vec<_> = join_all(shares)
            .await
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        tokio::task::spawn_blocking(move || finish_all(begun))
            .await
            .ok();
    }

    /// Writes and syncs files under temporary names.
    fn begin_all(&self, jobs: Vec<Job>) -> Vec<(Job, NamedTempFile)> {
        let mut begun = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.begin(&job) {
                Ok(file) => begun.push((job, file)),
                Err(error) => reply(job, Err(error)),
            }
        }
        begun
    }

    /// Writes and syncs a file under a temporary name.
    fn begin(&self, job: &Job) -> io::Result<NamedTempFile> {
        self.prepare(&job.folder)?;
        let mut file = tempfile::Builder::new()
            .prefix(PART_PREFIX)
            .suffix(PART_SUFFIX)
            .tempfile_in(&job.folder)?;
        file.write_all(&job.content)?;
        match file
            .as_file()
            .set_permissions(Permissions::from_mode(0o640))
        {
            // A network share may have no permissions, or another owner. The file is then as private as it was created.
            Err(error) if is_refused(&error) => {}
            other => other?,
        }
        file.as_file().sync_all()?;
        Ok(file)
    }

    /// Writes a file as a delivery does, and removes it.
    fn try_out(&self) -> io::Result<()> {
        let (reply, _) = oneshot::channel();
        let job = Job {
            folder: self.dir.clone(),
            name: format!("{PART_PREFIX}{}{PART_SUFFIX}", EventId::generate()),
            content: Bytes::new(),
            reply,
        };
        let path = job.folder.join(&job.name);
        self.begin(&job)?.persist(&path)?;
        let synced = sync(&job.folder);
        std::fs::remove_file(path)?;
        synced
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_refused(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
    )
}

/// Renames the files and syncs their folders.
fn finish_all(begun: Vec<(Job, NamedTempFile)>) {
    let mut renamed: Vec<Job> = Vec::with_capacity(begun.len());
    for (job, file) in begun {
        match file.persist(job.folder.join(&job.name)) {
            Ok(_) => renamed.push(job),
            Err(error) => reply(job, Err(error.error)),
        }
    }
    let folders: BTreeSet<PathBuf> = renamed.iter().map(|job| job.folder.clone()).collect();
    let synced: BTreeMap<PathBuf, io::Result<()>> = folders
        .into_iter()
        .map(|folder| (folder.clone(), sync(&folder)))
        .collect();
    for job in renamed {
        let done = match &synced[&job.folder] {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        reply(job, done);
    }
}

/// Sends the result; the caller may have stopped waiting.
fn reply(job: Job, written: io::Result<()>) {
    job.reply.send(written).ok();
}

#[async_trait]
impl Sink for FilesSink {
    async fn deliver(&self, event: &CloudEvent) -> SinkAnswer {
        let day = event
            .received_at
            .to_zoned_datetime(TimeZone::UTC)
            .strftime("%Y/%m/%d")
            .to_string();
        let name = format!("{}.json", event.id);
        let written = self.write(self.dir.join(day), name, event.envelope.clone());
        match written.await {
            Ok(()) => SinkAnswer::Delivered,
            Err(error) => SinkAnswer::Retry {
                after: None,
                reason: Reason::new(
                    Cause::DeliverStorage,
                    format!("cannot write the file: {error}"),
                ),
            },
        }
    }

    async fn tidy(&self) {
        let (dir, since) = (self.dir.clone(), self.since);
        let removed = tokio::task::spawn_blocking(move || remove_parts(&dir, 3, since)).await;
        if let Ok(removed @ 1..) = removed {
            tracing::info!(
                files = removed,
                "removed pieces of files that an earlier process left"
            );
        }
    }

    async fn check(&self) -> Result<(), String> {
        let sink = self.clone();
        let tried = tokio::task::spawn_blocking(move || sink.try_out()).await;
        tried
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|error| format!("cannot write to {}: {error}", self.dir.display()))
    }
}

/// Removes temporary files older than `since` from the folders `depth` levels below, which are those of the days.
/// Nothing else is touched. Returns the number of files removed.
fn remove_parts(folder: &Path, depth: usize, since: SystemTime) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let mut removed = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if depth > 0 {
            if name.bytes().all(|byte| byte.is_ascii_digit()) {
                removed += remove_parts(&entry.path(), depth - 1, since);
            }
            continue;
        }
        let middle = name.strip_prefix(PART_PREFIX);
        let middle = middle.and_then(|rest| rest.strip_suffix(PART_SUFFIX));
        let is_ours = middle.is_some_and(|random| {
            random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let is_old = || {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            changed.is_ok_and(|changed| changed < since)
        };
        if is_ours && is_old() && std::fs::remove_file(entry.path()).is_ok() {
            removed += 1;
        }
    }
    removed
}

fn sync(folder: &Path) -> io::Result<()> {
    match std::fs::File::open(folder)?.sync_all() {
        // Some network file systems cannot sync a folder.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Creates a folder and its parents, accessible only to the service's user and group, because they hold patient data.
/// The parent of each new folder is synced, so that it is durable.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folder(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o750).create(folder) {
        // A concurrent delivery of the same day has created it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    sync(parent.unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::poll;
    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_check_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = config::FilesConfig {
            dir: dir.path().to_owned(),
        };
        let sink = FilesSink::new("archive", &config).expect("a sink");
        assert_eq!(sink.check().await, Ok(()));
        let left = std::fs::read_dir(dir.path()).expect("readable").count();
        assert_eq!(left, 0);
    }

    #[test]
    fn only_old_pieces_of_our_own_files_in_folders_of_days_are_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let day = dir.path().join("2026/11/25");
        std::fs::create_dir_all(&day).expect("made");
        std::fs::create_dir_all(dir.path().join("2026/11/notes")).expect("made");
        let kept = [
            "2026/11/25/a.json",
            "2026/11/25/.notes.part",
            "2026/11/25/abcdef.part",
            "2026/11/25/.abcdef.json",
            "2026/11/.abcdef.part",
            "2026/11/notes/.abcdef.part",
        ];
        for name in kept.into_iter().chain(["2026/11/25/.Ab3dEf.part"]) {
            std::fs::write(dir.path().join(name), "x").expect("written");
        }
        let now = SystemTime::now();
        let before = now - Duration::from_secs(3600);
        assert_eq!(
            remove_parts(dir.path(), 3, before),
            0,
            "someone writes it now"
        );
        assert_eq!(remove_parts(dir.path(), 3, now + Duration::from_secs(1)), 1);
        assert!(kept.iter().all(|name| dir.path().join(name).exists()));
        assert!(!day.join(".Ab3dEf.part").exists());
    }
    #[tokio::test]
    async fn a_caller_that_stops_waiting_takes_no_other_file_with_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = config::FilesConfig {
            dir: dir.path().to_owned(),
        };
        let sink = FilesSink::new("files", &config).expect("a sink");
        let events = [(); 3].map(|()| CloudEvent {
            id: EventId::generate(),
            received_at: Timestamp::UNIX_EPOCH,
            envelope: Bytes::from_static(b"{}"),
        });
        // While the first file is written, the others queue up; the second one's caller then writes both.
        let [mut first, mut second, mut third] = events.each_ref().map(|it| sink.deliver(it));
        for delivery in [&mut first, &mut second, &mut third] {
            assert!(poll!(delivery).is_pending());
        }
        assert_eq!(first.await, SinkAnswer::Delivered);
        assert!(poll!(&mut second).is_pending());
        drop(second);
        assert_eq!(third.await, SinkAnswer::Delivered);
        for event in &events {
            let name = format!("1970/01/01/{}.json", event.id);
            assert!(dir.path().join(&name).exists(), "{name}");
        }
    }
}
