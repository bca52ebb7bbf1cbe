//! `[store]`: where notifications are kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{PostgresUrl, check};
use crate::config::reader::Secret;
use crate::config::reader::dump::quoted;
use crate::config::reader::section::Section;
use crate::config::reader::setting::Setting;
use crate::config::reader::tree::Value;

/// The settings of the store.
#[derive(Debug, Clone)]
pub struct Store {
    /// The store.
    pub url: StoreUrl,
    /// PostgreSQL: the password, if it is not in the address.
    pub password: Option<Secret>,
    /// PostgreSQL: further trusted certificate authorities, PEM file.
    pub ca_file: Option<PathBuf>,
    /// PostgreSQL: the limit of this instance's connections, besides two that append notifications and one that
    /// listens.
    pub pool_size: usize,
    /// PostgreSQL: the folder of the local spool.
    pub spool_dir: PathBuf,
    /// How long an answer waits for the commit before it is a 503; with PostgreSQL, before the spool takes it.
    pub deadline: Duration,
    /// The limit of notifications that wait for their commit. Beyond it the answer is an immediate 503, or the spool
    /// takes the notification.
    pub queue: usize,
}

/// The kinds of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: the embedded store, for one instance.
    Sqlite(PathBuf),
    /// `postgres://…`: a shared store, for several instances.
    Postgres(PostgresUrl),
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite(PathBuf::from("data/receiver.db")),
            password: None,
            ca_file: None,
            pool_size: 10,
            spool_dir: PathBuf::from("data/spool"),
            deadline: Duration::from_secs(2),
            queue: 8192,
        }
    }
}

impl Setting for StoreUrl {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = value.text()?;
        // The text is not shown, because a database's address may contain its password.
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return PostgresUrl::parse(text).map(Self::Postgres);
        }
        match text.strip_prefix("sqlite:") {
            Some("" | ":memory:") => {
                Err("names no file; use sqlite:PATH, such as sqlite:data/receiver.db".to_owned())
            }
            Some(path) if path.contains('?') || path.starts_with("file:") => Err(
                "holds options of SQLite (a '?' or 'file:'), which are not taken; use sqlite:PATH, such as sqlite:data/receiver.db"
                    .to_owned(),
            ),
            Some(path) if path.starts_with('~') => Err(
                "begins with '~', which only a shell replaces; use the path from the root, such as sqlite:/var/lib/receiver.db"
                    .to_owned(),
            ),
            Some(path) if path.starts_with("//") => Err(
                "has slashes before its path; use sqlite:PATH, such as sqlite:/var/lib/receiver.db"
                    .to_owned(),
            ),
            Some(path) => Ok(Self::Sqlite(PathBuf::from(path))),
            None => Err(
                "invalid store address; expected sqlite:PATH, such as sqlite:data/receiver.db, or postgres://USER@HOST/DATABASE"
                    .to_owned(),
            ),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }

    fn hidden(&self) -> Option<String> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(url) => {
                let url = url.expose();
                // The password is the only part that `Debug` leaves out.
                Some(format!("{url:?} {:?}", url.get_password()))
            }
        }
    }
}

impl Store {
    /// The local data folder: the embedded store's, or the spool's.
    pub fn folder(&self) -> &Path {
        match &self.url {
            StoreUrl::Sqlite(file) => file.parent().unwrap_or(Path::new("")),
            StoreUrl::Postgres(_) => &self.spool_dir,
        }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let store = Self {
            url: section.get("url", default.url),
            password: section.secret("password"),
            ca_file: section.get("ca_file", default.ca_file),
            pool_size: section.checked("pool_size", default.pool_size, check::count),
            spool_dir: section.get("spool_dir", default.spool_dir),
            deadline: section.checked("deadline", default.deadline, check::not_zero),
            queue: section.checked("queue", default.queue, check::count),
        };
        store.check(section);
        store
    }

    fn check(&self, section: &mut Section<'_>) {
        match &self.url {
            StoreUrl::Sqlite(_) => {
                if self.password.is_some() || self.ca_file.is_some() {
                    section.warn(
                        "store.password and store.ca_file are for a postgres:// store; store.url names an embedded one",
                    );
                }
            }
            StoreUrl::Postgres(url) => {
                if url.has_password() && self.password.is_some() {
                    section.problem("password", "is given twice: here and in url; keep one");
                }
            }
        }
    }
}
