//! `[[sinks]]`: the partner's own systems that results are delivered to.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{NamedSecret, Retry, Secret};
use crate::domain::Outcome;

/// One place that results are delivered to.
#[derive(Debug, Clone)]
pub struct Sink {
    /// Its name: in the API, the metrics and the logs. Unique; letters, digits, `-` and `_`.
    pub name: String,
    /// Outcomes that are delivered; all when not set.
    pub events: Vec<Outcome>,
    /// What is delivered.
    pub include: Include,
    /// Most deliveries at once.
    pub max_concurrency: usize,
    /// How failures are tried again (`retry = { initial, max, give_up_after }`).
    pub retry: Retry,
    /// Where to.
    pub target: SinkTarget,
}

/// What a delivery holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// `["notification", "resources"]`: all, clinical content included.
    Everything,
    /// `["notification"]`: the notification as received, and nothing that was fetched.
    NotificationOnly,
}

/// The kinds of sink.
#[derive(Debug, Clone)]
pub enum SinkTarget {
    /// `type = "files"`.
    Files(FilesSink),
    /// `type = "http"`.
    Http(HttpSink),
}

/// Files below a folder.
#[derive(Debug, Clone)]
pub struct FilesSink {
    /// The folder; made at start.
    pub dir: PathBuf,
}

/// POSTs to an address, signed as Standard Webhooks.
#[derive(Debug, Clone)]
pub struct HttpSink {
    /// The address.
    pub url: Url,
    /// Signing secrets (`secret`, or `secrets` during a rotation: one signature each, the newest first).
    pub secrets: Vec<NamedSecret>,
    /// Further headers; the values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// Deadline of one delivery.
    pub timeout: Duration,
    /// Further trusted certificate authorities, PEM.
    pub ca_file: Option<PathBuf>,
}
