//! Whether an event holds anything that another one does not: what was fetched counts, whatever its key order and white
//! space, and whatever its address. Pure.

use std::collections::HashSet;

use crate::domain::json::Fingerprint;
use crate::domain::{LinkState, json};
use crate::journal::Found;

/// Whether what was found of a session has all been found of it before, with the same end.
pub(super) fn holds_nothing_new(found: &Found, before: &Found) -> bool {
    found.session.outcome == before.session.outcome && contents(found).is_subset(&contents(before))
}

/// Whether two answers to one question are the same.
pub(super) fn is_same_answer(one: &[u8], other: &[u8]) -> bool {
    json::fingerprint(one) == json::fingerprint(other)
}

/// What each group holds. How a session stands is no content of it.
fn contents(found: &Found) -> HashSet<(&str, Fingerprint)> {
    let fetched = found.links.iter().filter_map(|linked| {
        let group = linked.link.group.as_str();
        let body = linked.body.as_ref()?;
        (linked.link.state == LinkState::Fetched && group != "status")
            .then(|| (group, json::fingerprint(body)))
    });
    fetched.collect()
}
