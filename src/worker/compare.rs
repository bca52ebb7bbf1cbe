//! Whether two events hold the same content: what was fetched, whatever its key order and white space, and whatever its
//! address. Pure.

use std::collections::BTreeMap;

use crate::domain::json::Fingerprint;
use crate::domain::{LinkState, json};
use crate::journal::Found;

/// Whether what was found twice of one session is the same. How a session stands is no content of it.
pub(super) fn is_same(one: &Found, other: &Found) -> bool {
    one.session.outcome == other.session.outcome && contents(one) == contents(other)
}

/// Whether two answers to one question are the same.
pub(super) fn is_same_answer(one: &[u8], other: &[u8]) -> bool {
    json::fingerprint(one) == json::fingerprint(other)
}

/// What each group holds.
fn contents(found: &Found) -> BTreeMap<&str, Vec<Fingerprint>> {
    let mut contents = BTreeMap::<&str, Vec<Fingerprint>>::new();
    for linked in &found.links {
        let group = linked.link.group.as_str();
        if let (Some(body), LinkState::Fetched) = (&linked.body, linked.link.state)
            && group != "status"
        {
            contents
                .entry(group)
                .or_default()
                .push(json::fingerprint(body));
        }
    }
    for answers in contents.values_mut() {
        answers.sort_unstable();
    }
    contents
}
