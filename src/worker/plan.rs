//! Which links to follow, and what their states mean for the event. Pure.

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

/// The plan of an event: its links, numbered, with those marked that will not be followed. Each address is planned
/// once, but each required group keeps a link of its own.
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
            // A known group that is not listed is left out on purpose. An unknown group is new, so the event records
            // it.
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

/// The entry for a required group that is neither linked nor among the standard links of this kind of session.
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

/// The times by which an event's links are judged.
pub(super) struct Times {
    /// How long it has been tried while the API answered.
    pub(super) tried: Duration,
    /// The start of the vendor's retention.
    pub(super) start: Timestamp,
    /// The present time.
    pub(super) now: Millis,
}

impl Times {
    /// Whether the vendor has deleted this link's content by now.
    fn is_deleted(&self, link: &LinkRecord) -> bool {
        let clock = RetentionClock::of_group(&link.group, self.start);
        clock.is_some_and(|clock| clock.is_over(self.now))
    }
}

/// Decides the state of each link whose fetch has failed. `failed` names links by their index.
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
    // While the event waits for required content, no other content is given up that may still come.
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

/// Whether a link was given up whose content may still come, because it was not ready or not found. Links that were
/// refused, by this service or by the vendor, are not among them.
pub(super) fn is_late(link: &LinkRecord) -> bool {
    match link.state {
        LinkState::Missing => link.cause.is_none(),
        LinkState::Failed => link.http_status == Some(404),
        LinkState::Fetched => link.cause == Some(LinkCause::Empty),
        LinkState::Pending => false,
    }
}

/// Whether everything required that is still awaited has a vendor's retention period. It is then tried until that ends.
pub(super) fn has_clock(required: &[LinkGroup], links: &[LinkRecord]) -> bool {
    let is_awaited =
        |link: &&LinkRecord| link.state == LinkState::Pending && required.contains(&link.group);
    let mut awaited = links.iter().filter(is_awaited).peekable();
    awaited.peek().is_some()
        && awaited
            .all(|link| RetentionClock::of_group(&link.group, Timestamp::UNIX_EPOCH).is_some())
}

/// The first awaited group whose retention reaches a warning time within this period, and the time left at that point.
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

/// Whether the content that a link lacks can still be fetched at `at`: the vendor still keeps it, or it has no
/// retention period.
pub(super) fn is_kept(link: &LinkRecord, start: Timestamp, at: Millis) -> bool {
    RetentionClock::of_group(&link.group, start).is_none_or(|clock| !clock.is_over(at))
}

/// The wait before the next fetch of missing content, for an event that was retrieved `age` ago. `None` when there is
/// no further one.
pub(super) fn next_refresh(refresh: &Refresh, age: Duration) -> Option<Duration> {
    let end = refresh.missing_for?;
    let planned = refresh.missing_after.iter().find(|after| **after > age);
    let wait = match planned {
        Some(after) => *after - age,
        None => *refresh.missing_after.last()?,
    };
    (age + wait <= end).then_some(wait)
}

/// What the links' states mean for the event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// Nothing is awaited any more.
    Complete,
    /// This link may still be fetched.
    Waiting(&'a LinkRecord),
    /// This required link can never be fetched.
    Hopeless(&'a LinkRecord),
}

/// Decides what the links' states mean for the event.
pub(super) fn verdict<'a>(required: &[LinkGroup], links: &'a [LinkRecord]) -> Verdict<'a> {
    let is_required = |link: &&LinkRecord| required.contains(&link.group);
    let is_lost = |link: &&LinkRecord| matches!(link.state, LinkState::Failed | LinkState::Missing);
    let is_pending = |link: &&LinkRecord| link.state == LinkState::Pending;
    if let Some(link) = links.iter().filter(is_required).find(is_lost) {
        return Verdict::Hopeless(link);
    }
    // A required link comes first: its reason is why the event waits.
    let waiting = links
        .iter()
        .filter(is_pending)
        .max_by_key(|link| is_required(link));
    waiting.map_or(Verdict::Complete, Verdict::Waiting)
}

#[cfg(test)]
mod tests;
