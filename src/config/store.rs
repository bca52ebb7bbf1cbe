//! `[store]`: where notifications are kept.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::check;
use super::dump::quoted;
use super::reader::Section;
use super::setting::Setting;
use super::tree::Value;

/// Where notifications are kept.
#[derive(Debug, Clone)]
pub struct Store {
    /// The store.
    pub url: StoreUrl,
    /// Folder of the local spool. Only used with PostgreSQL.
    pub spool_dir: PathBuf,
    /// How long an answer waits for the commit before it is a 503.
    pub deadline: Duration,
    /// Most notifications waiting for their commit at once; beyond it the answer is 503 at once.
    pub queue: usize,
}

/// The kinds of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: the embedded store, for one instance.
    Sqlite(PathBuf),
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: StoreUrl::Sqlite(PathBuf::from("data/receiver.db")),
            spool_dir: PathBuf::from("data/spool"),
            deadline: Duration::from_secs(2),
            queue: 8192,
        }
    }
}

impl Setting for StoreUrl {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = value.text()?;
        // The text is not shown: a database's address may hold its password.
        if text.starts_with("postgres:") || text.starts_with("postgresql:") {
            return Err("this version has only the embedded store; use sqlite:PATH".to_owned());
        }
        match text.strip_prefix("sqlite:") {
            Some("" | ":memory:") => {
                Err("names no file; use sqlite:PATH, such as sqlite:data/receiver.db".to_owned())
            }
            Some(path) if path.starts_with("//") => Err(
                "has slashes before its path; use sqlite:PATH, such as sqlite:/var/lib/receiver.db"
                    .to_owned(),
            ),
            Some(path) => Ok(Self::Sqlite(PathBuf::from(path))),
            None => Err("is no store; use sqlite:PATH, such as sqlite:data/receiver.db".to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Store {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        Self {
            url: section.get("url", default.url),
            spool_dir: section.get("spool_dir", default.spool_dir),
            deadline: section.checked("deadline", default.deadline, check::not_zero),
            queue: section.checked("queue", default.queue, check::count),
        }
    }
}
