//! Which links to follow, and what their standing means for the event. Pure.

use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Follow, Refresh};
use crate::domain::{self, LinkCause, LinkGroup, LinkState, Millis, RetentionClock, json};
use crate::journal::LinkRecord;
use crate::sdp::{self, Failure, Kind};

/// Whether an answer to a link of this group holds no content.
pub(super) fn is_empty(group: &LinkGroup, body: &[u8]) -> bool {
    let names_status = group.as_str() == "status" && sdp::status_in(body).is_some();
    !names_status && json::is_empty_content(body)
}

/// The plan of an event: its links, numbered, with those that will not be followed marked. Each address is there once, but
/// for groups that are required: each of them has its own.
pub(super) fn plan(
    links: Vec<domain::Link>,
    follow: &Follow,
    required: &[LinkGroup],
) -> Vec<LinkRecord> {
    let mut followed = HashSet::new();
    links
        .into_iter()
        .filter_map(|link| {
            let is_followed = follow.groups.contains(&link.group);
            // A known group that is not listed is left out on purpose. An unknown one is new, and worth a word.
            if !is_followed && link.group.is_known() {
                return None;
            }
            let refused = if !is_followed {
                Some("not followed: an unknown link group; add it to follow.groups to have it")
            } else if !link.is_get {
                Some("not followed: the link asks for another method than GET")
            } else {
                None
            };
            if refused.is_none() {
                let is_first = followed.insert((None, link.href.clone()));
                let is_first_required = required.contains(&link.group)
                    && followed.insert((Some(link.group.clone()), link.href.clone()));
                if !is_first && !is_first_required {
                    return None;
                }
            }
            Some((link, refused))
        })
        .zip(0..)
        .map(|((link, refused), n)| {
            let state = match refused {
                Some(_) => LinkState::Missing,
                None => LinkState::Pending,
            };
            LinkRecord {
                reason: refused.map(str::to_owned),
                cause: refused.map(|_| LinkCause::NotFollowed),
                ..LinkRecord::new(n, link.group, link.href, state)
            }
        })
        .collect()
}

/// The entry for a required group that is not linked and that sessions of this kind do not have.
pub(super) fn unlinked(links: &[LinkRecord], group: &LinkGroup) -> LinkRecord {
    let n = u32::try_from(links.len()).unwrap_or(u32::MAX);
    LinkRecord {
        reason: Some(
            "required, but neither linked nor one of the session's standard links".to_owned(),
        ),
        cause: Some(LinkCause::NotLinked),
        ..LinkRecord::new(n, group.clone(), String::new(), LinkState::Missing)
    }
}

/// When an event's links are judged.
pub(super) struct Times {
    /// How long it was tried while the API answered.
    pub(super) tried: Duration,
    /// From when the vendor's retention counts.
    pub(super) start: Timestamp,
    /// Now.
    pub(super) now: Millis,
}

impl Times {
    /// Whether the vendor has deleted what this link leads to.
    fn is_deleted(&self, link: &LinkRecord) -> bool {
        let clock = RetentionClock::of_group(&link.group, self.start);
        clock.is_some_and(|clock| clock.is_over(self.now))
    }
}

/// Decides how each failed fetch leaves its link; `failed` names the links by their place.
pub(super) fn judge(
    follow: &Follow,
    required: &[LinkGroup],
    links: &mut [LinkRecord],
    failed: &[(usize, Failure)],
    times: &Times,
) {
    let tried = times.tried;
    for (at, _) in failed {
        if times.is_deleted(&links[*at]) {
            links[*at].state = LinkState::Failed;
            links[*at].reason = Some("Suki does not keep it for so long".to_owned());
        }
    }
    let is_required = |link: &LinkRecord| required.contains(&link.group);
    let is_over = |failure: &Failure| {
        let is_not_there = failure.kind == Kind::NotFound && tried >= follow.not_found_grace;
        !failure.is_retryable() || is_not_there
    };
    for (at, failure) in failed {
        if is_required(&links[*at]) && is_over(failure) {
            links[*at].state = LinkState::Failed;
        }
    }
    // While the event waits for what it must have, nothing else of it is given up that may still come.
    let waits = links
        .iter()
        .any(|link| is_required(link) && link.state == LinkState::Pending);
    for (at, failure) in failed {
        let link = &mut links[*at];
        if is_required(link) || times.is_deleted(link) {
            continue;
        }
        link.state = if !failure.is_retryable() || (!waits && is_over(failure)) {
            LinkState::Failed
        } else if !waits && tried >= follow.best_effort_for {
            LinkState::Missing
        } else {
            LinkState::Pending
        };
    }
}

/// Whether what a link leads to was given up and may still come: it was not ready or not there. What was refused, by us or
/// by the vendor, is not among it.
pub(super) fn is_late(link: &LinkRecord) -> bool {
    match link.state {
        LinkState::Missing => link.cause.is_none(),
        LinkState::Failed => link.http_status == Some(404),
        LinkState::Fetched => link.cause == Some(LinkCause::Empty),
        LinkState::Pending => false,
    }
}

/// Whether all that is waited for and must come has a clock of the vendor's, so that it is tried for as long as that runs.
pub(super) fn has_clock(required: &[LinkGroup], links: &[LinkRecord]) -> bool {
    let is_awaited =
        |link: &&LinkRecord| link.state == LinkState::Pending && required.contains(&link.group);
    let mut awaited = links.iter().filter(is_awaited).peekable();
    awaited.peek().is_some()
        && awaited
            .all(|link| RetentionClock::of_group(&link.group, Timestamp::UNIX_EPOCH).is_some())
}

/// Of what is waited for, the group whose clock comes to a point within this time at which somebody should be told, and how
/// much is left of it then.
pub(super) fn closing<'a>(
    mut links: impl Iterator<Item = &'a LinkRecord>,
    start: Timestamp,
    within: (Millis, Millis),
) -> Option<(&'a LinkGroup, Duration)> {
    links.find_map(|link| {
        let left = RetentionClock::of_group(&link.group, start)?.warning(within)?;
        Some((&link.group, left))
    })
}

/// Whether what a link lacks may still be had then: the vendor keeps it, or it has no clock.
pub(super) fn is_kept(link: &LinkRecord, start: Timestamp, at: Millis) -> bool {
    RetentionClock::of_group(&link.group, start).is_none_or(|clock| !clock.is_over(at))
}

/// When to ask again for what an event lacks that was retrieved `age` ago. `None` when it is over.
pub(super) fn next_look(refresh: &Refresh, age: Duration) -> Option<Duration> {
    let end = refresh.missing_for?;
    let planned = refresh.missing_after.iter().find(|after| **after > age);
    let wait = match planned {
        Some(after) => *after - age,
        None => *refresh.missing_after.last()?,
    };
    (age + wait <= end).then_some(wait)
}

/// What the links' standing means for the event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// All that is waited for is there.
    Complete,
    /// Something may still come.
    Waiting(&'a LinkRecord),
    /// Something required will never come.
    Hopeless(&'a LinkRecord),
}

/// What the links' standing means for the event.
pub(super) fn verdict<'a>(required: &[LinkGroup], links: &'a [LinkRecord]) -> Verdict<'a> {
    let is_required = |link: &&LinkRecord| required.contains(&link.group);
    let is_lost = |link: &&LinkRecord| matches!(link.state, LinkState::Failed | LinkState::Missing);
    let is_pending = |link: &&LinkRecord| link.state == LinkState::Pending;
    if let Some(link) = links.iter().filter(is_required).find(is_lost) {
        return Verdict::Hopeless(link);
    }
    // A required one first: its reason is what the event waits for.
    let waiting = links
        .iter()
        .filter(is_pending)
        .max_by_key(|link| is_required(link));
    waiting.map_or(Verdict::Complete, Verdict::Waiting)
}

#[cfg(test)]
mod tests;
