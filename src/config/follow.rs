//! `[follow]`: which links are followed, what a delivery waits for, and how failures are tried again.

use std::time::Duration;

use crate::domain::LinkGroup;

/// Which links are followed, and for how long.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Link groups that are followed.
    pub groups: Vec<LinkGroup>,
    /// Those a delivery waits for until `retry.give_up_after`; the others are best effort.
    pub required: Vec<LinkGroup>,
    /// How long a delivery waits for the best-effort ones.
    pub best_effort_for: Duration,
    /// How long a 404 means «not ready yet» rather than «not there».
    pub not_found_grace: Duration,
    /// Hosts beyond `sdp.base_url`'s origin that links may point to. Never sent the token, never a private address.
    pub allowed_hosts: Vec<String>,
    /// Most events worked on at once.
    pub max_concurrency: usize,
    /// How long a worker holds an event before another may take it up.
    pub lease: Duration,
    /// `[follow.retry]`.
    pub retry: Retry,
}

/// How often and how long something is tried again. Waits double from `initial` to `max`, with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Bound of the first wait.
    pub initial: Duration,
    /// Bound of every wait.
    pub max: Duration,
    /// When it is given up.
    pub give_up_after: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(5 * 60),
            give_up_after: Duration::from_secs(72 * 3600),
        }
    }
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            groups: LinkGroup::KNOWN.into_iter().map(LinkGroup::new).collect(),
            required: vec![LinkGroup::new("contents")],
            best_effort_for: Duration::from_secs(10 * 60),
            not_found_grace: Duration::from_secs(10 * 60),
            allowed_hosts: Vec::new(),
            max_concurrency: 64,
            lease: Duration::from_secs(5 * 60),
            retry: Retry::default(),
        }
    }
}
