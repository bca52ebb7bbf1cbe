//! Compares events: whether one holds content that the other does not. Only fetched content counts; the order of JSON
//! keys, white space and the links' addresses do not. Pure.

use std::collections::HashSet;

use crate::domain::json::Fingerprint;
use crate::domain::{LinkState, json};
use crate::journal::Found;

/// Whether all content in `found` is also in `before`, with the same outcome.
pub(super) fn holds_nothing_new(found: &Found, before: &Found) -> bool {
    found.session.outcome == before.session.outcome && contents(found).is_subset(&contents(before))
}

/// Whether two answers to the same request have the same content.
pub(super) fn is_same_answer(one: &[u8], other: &[u8]) -> bool {
    json::fingerprint(one) == json::fingerprint(other)
}

/// The content of each link group. The session's status is not counted as content.
fn contents(found: &Found) -> HashSet<(&str, Fingerprint)> {
    let fetched = found.links.iter().filter_map(|linked| {
        let group = linked.link.group.as_str();
        let body = linked.body.as_ref()?;
        (linked.link.state == LinkState::Fetched && group != "status")
            .then(|| (group, json::fingerprint(body)))
    });
    fetched.collect()
}
