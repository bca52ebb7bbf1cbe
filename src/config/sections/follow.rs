//! `[follow]`: which links are followed, what content a delivery waits for, and how failures are retried.

use std::time::Duration;

use super::check;
use crate::config::reader::duration;
use crate::config::reader::section::Section;
use crate::config::reader::tree::Value;
use crate::domain::{LinkGroup, SessionKind};

/// Which links are followed, and for how long.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Link groups that are followed.
    pub groups: Vec<LinkGroup>,
    /// The groups for which a delivery waits until `retry.give_up_after`; the others are best effort.
    pub required: Required,
    /// How long a delivery waits for best-effort groups. This time and the graces below pass only while the API
    /// answers.
    pub best_effort_for: Duration,
    /// How long a 404 means "not ready yet" rather than "does not exist".
    pub not_found_grace: Duration,
    /// How long an answer without content means "not ready yet", for required groups.
    pub empty_grace: Duration,
    /// Hosts other than `sdp.base_url`'s origin to which links may point. They are never sent the token, and may not
    /// resolve to a private address.
    pub allowed_hosts: Vec<String>,
    /// The limit of events that are worked on at once.
    pub max_concurrency: usize,
    /// `[follow.retry]`.
    pub retry: Retry,
}

/// The groups that a completed session must have, for each kind of session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// For ambient sessions, and for sessions whose kind is not known.
    pub ambient: Vec<LinkGroup>,
    /// For form-filling sessions.
    pub form_filling: Vec<LinkGroup>,
}

impl Required {
    /// No group is required.
    pub fn none() -> Self {
        Self {
            ambient: Vec::new(),
            form_filling: Vec::new(),
        }
    }

    /// The required groups of this kind of session.
    pub fn of(&self, kind: SessionKind) -> &[LinkGroup] {
        match kind {
            SessionKind::FormFilling => &self.form_filling,
            SessionKind::Ambient | SessionKind::Unknown => &self.ambient,
        }
    }

    /// One list for both kinds. A form-filling session can have only two of the groups, so the others are not required
    /// of it.
    fn both(groups: &[LinkGroup]) -> Self {
        let can_have = |group: &&LinkGroup| {
            !group.is_known() || matches!(group.as_str(), "structured_data" | "status")
        };
        let mut form_filling: Vec<_> = groups.iter().filter(can_have).cloned().collect();
        if form_filling.is_empty() && !groups.is_empty() {
            form_filling = Self::default().form_filling;
        }
        Self {
            ambient: groups.to_vec(),
            form_filling,
        }
    }

    /// Reads the table, or a list if one is written. A group that is required only by default is left out if it is not
    /// followed.
    fn read(section: &mut Section<'_>, followed: &[LinkGroup]) -> Self {
        let default = |mut groups: Vec<LinkGroup>| {
            groups.retain(|group| followed.contains(group));
            groups
        };
        let Self {
            ambient,
            form_filling,
        } = Self::default();
        let groups = |groups: &Vec<LinkGroup>| all_followed(groups, followed);
        Self {
            ambient: section.checked("ambient", default(ambient), groups),
            form_filling: section.checked("form_filling", default(form_filling), groups),
        }
    }
}

impl Default for Required {
    fn default() -> Self {
        Self {
            ambient: vec![LinkGroup::new("contents")],
            form_filling: vec![LinkGroup::new("structured_data")],
        }
    }
}

fn all_followed(groups: &[LinkGroup], followed: &[LinkGroup]) -> Result<(), String> {
    match groups.iter().find(|group| !followed.contains(group)) {
        Some(group) => Err(format!(
            "'{group}' is not in groups; add it to follow.groups, or it is never fetched"
        )),
        None => Ok(()),
    }
}

/// The retry policy. The bound of the waits doubles from `initial` to `max`, with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The bound of the first wait.
    pub initial: Duration,
    /// The bound of every wait.
    pub max: Duration,
    /// The time after which the work is given up.
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
            required: Required::default(),
            best_effort_for: Duration::from_secs(10 * 60),
            not_found_grace: Duration::from_secs(10 * 60),
            empty_grace: Duration::from_secs(15 * 60),
            allowed_hosts: Vec::new(),
            max_concurrency: 64,
            retry: Retry::default(),
        }
    }
}

impl Follow {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let groups = section.get("groups", default.groups);
        let is_table = section
            .peek("required")
            .is_none_or(|node| matches!(node.value, Value::Table(_)));
        // In TOML a list is a value, which must come before the tables.
        let listed = (!is_table).then(|| {
            let listed = section.checked("required", Vec::new(), |listed: &Vec<_>| {
                all_followed(listed, &groups)
            });
            Required::both(&listed)
        });
        let mut follow = Self {
            required: Required::none(),
            groups,
            best_effort_for: section.get("best_effort_for", default.best_effort_for),
            not_found_grace: section.get("not_found_grace", default.not_found_grace),
            empty_grace: section.get("empty_grace", default.empty_grace),
            allowed_hosts: section.checked("allowed_hosts", default.allowed_hosts, |hosts| {
                check::host_names(hosts)
            }),
            max_concurrency: section.checked(
                "max_concurrency",
                default.max_concurrency,
                check::count,
            ),
            retry: section.section("retry", |retry| Retry::read(retry, default.retry)),
        };
        if section.unshown::<Duration>("lease").is_some() {
            section.warn(
                "follow.lease has no effect any more: an instance holds its leases for as long as it lives; remove it",
            );
        }
        follow.required = match listed {
            Some(required) => required,
            None => section.section("required", |required| {
                Required::read(required, &follow.groups)
            }),
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
                "follow.groups: unknown link group '{group}'; expected one of {}",
                LinkGroup::KNOWN.join(", ")
            ));
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
