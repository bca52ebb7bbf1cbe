//! `[follow]`: which links are followed, what a delivery waits for, and how failures are tried again.

use std::time::Duration;

use url::Host;

use super::reader::Section;
use super::{check, duration};
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

impl Follow {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let follow = Self {
            groups: section.get("groups", default.groups),
            required: section.get("required", default.required),
            best_effort_for: section.get("best_effort_for", default.best_effort_for),
            not_found_grace: section.get("not_found_grace", default.not_found_grace),
            allowed_hosts: section.checked("allowed_hosts", default.allowed_hosts, |hosts| {
                host_names(hosts)
            }),
            max_concurrency: section.checked(
                "max_concurrency",
                default.max_concurrency,
                check::count,
            ),
            lease: section.checked("lease", default.lease, check::not_zero),
            retry: section.section("retry", |retry| Retry::read(retry, default.retry)),
        };
        follow.check_groups(section);
        if follow.best_effort_for > follow.retry.give_up_after {
            section.warn(
                "follow.best_effort_for is longer than follow.retry.give_up_after, which ends the wait first",
            );
        }
        follow
    }

    fn check_groups(&self, section: &mut Section<'_>) {
        for group in self.groups.iter().filter(|group| !group.is_known()) {
            section.warn(format!(
                "follow.groups names '{group}', which is no link group of the vendor's reference; known are {}",
                LinkGroup::KNOWN.join(", ")
            ));
        }
        for group in &self.required {
            if !self.groups.contains(group) {
                section.problem(
                    "required",
                    format!("'{group}' is not in groups; add it there, or it is never fetched"),
                );
            }
        }
    }
}

impl Retry {
    pub(super) fn read(section: &mut Section<'_>, default: Self) -> Self {
        let retry = Self {
            initial: section.checked("initial", default.initial, check::not_zero),
            max: section.checked("max", default.max, check::not_zero),
            give_up_after: section.checked("give_up_after", default.give_up_after, check::not_zero),
        };
        let in_order = |shorter, longer, name| {
            check::ensure(shorter <= longer, || {
                let (shorter, longer) = (duration::show(shorter), duration::show(longer));
                format!("{shorter} is longer than {name}, which is {longer}")
            })
        };
        section.expect("initial", in_order(retry.initial, retry.max, "max"));
        section.expect(
            "max",
            in_order(retry.max, retry.give_up_after, "give_up_after"),
        );
        retry
    }
}

/// Host names as they are compared with a link's: lower case, no scheme, no port.
fn host_names(hosts: &[String]) -> Result<(), String> {
    let is_host = |host: &str| match Host::parse(host) {
        Ok(parsed) => parsed.to_string() == host && !host.contains('*'),
        Err(_) => false,
    };
    match hosts.iter().find(|host| !is_host(host)) {
        Some(host) => Err(format!(
            "'{host}' is no host name; use names in lower case without scheme, port or *, such as files.example.com"
        )),
        None => Ok(()),
    }
}
