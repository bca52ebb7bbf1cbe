//! Which links to follow, and what their standing means for the event. Pure.

use std::collections::HashSet;
use std::time::Duration;

use crate::config::Follow;
use crate::domain::{self, LinkGroup, LinkState};
use crate::journal::Link;
use crate::sdp::Failure;

/// The plan of an event: its links, numbered, each address once, with those that will not be followed marked.
pub(super) fn plan(links: Vec<domain::Link>, follow: &Follow) -> Vec<Link> {
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
            let is_new = refused.is_some() || followed.insert(link.href.clone());
            is_new.then_some((link, refused))
        })
        .zip(0..)
        .map(|((link, refused), n)| Link {
            n,
            group: link.group,
            href: link.href,
            state: if refused.is_some() {
                LinkState::Missing
            } else {
                LinkState::Pending
            },
            http_status: None,
            bytes: None,
            fetched_at: None,
            reason: refused.map(str::to_owned),
        })
        .collect()
}

/// How a failed fetch leaves a link, `since` after the run of attempts began.
pub(super) fn standing(
    follow: &Follow,
    group: &LinkGroup,
    failure: &Failure,
    since: Duration,
) -> LinkState {
    let is_not_there =
        failure.kind == crate::sdp::Kind::NotFound && since >= follow.not_found_grace;
    if !failure.is_retryable() || is_not_there {
        return LinkState::Failed;
    }
    if !follow.required.contains(group) && since >= follow.best_effort_for {
        return LinkState::Missing;
    }
    LinkState::Pending
}

/// What the links' standing means for the event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    /// All that is waited for is there.
    Complete,
    /// Something may still come.
    Waiting(&'a Link),
    /// Something required will never come.
    Hopeless(&'a Link),
}

/// What the links' standing means for the event.
pub(super) fn verdict<'a>(follow: &Follow, links: &'a [Link]) -> Verdict<'a> {
    let is_required = |link: &&Link| follow.required.contains(&link.group);
    let is_lost = |link: &&Link| matches!(link.state, LinkState::Failed | LinkState::Missing);
    let is_pending = |link: &&Link| link.state == LinkState::Pending;
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
mod tests {
    use super::*;
    use crate::sdp::Kind;

    fn follow() -> Follow {
        Follow {
            groups: vec![LinkGroup::new("contents"), LinkGroup::new("transcripts")],
            ..Follow::default()
        }
    }

    fn link(group: &str) -> domain::Link {
        domain::Link {
            group: LinkGroup::new(group),
            href: format!("/{group}"),
            is_get: true,
        }
    }

    fn failure(kind: Kind) -> Failure {
        Failure {
            kind,
            status: None,
            after: None,
            reason: "test".to_owned(),
        }
    }

    #[test]
    fn groups_that_are_not_listed_are_left_out_and_unknown_ones_are_named() {
        let plan = plan(
            vec![link("contents"), link("structured_data"), link("videos")],
            &follow(),
        );
        let seen: Vec<_> = plan
            .iter()
            .map(|link| (link.n, link.group.as_str(), link.state))
            .collect();
        assert_eq!(
            seen,
            [
                (0, "contents", LinkState::Pending),
                (1, "videos", LinkState::Missing)
            ]
        );
    }

    #[test]
    fn the_same_address_in_two_groups_is_fetched_once_and_never_hidden_by_one_that_is_not_followed()
    {
        let same = |group: &str| domain::Link {
            href: "/same".to_owned(),
            ..link(group)
        };
        let plan = plan(
            vec![same("videos"), same("contents"), same("transcripts")],
            &follow(),
        );
        let seen: Vec<_> = plan
            .iter()
            .map(|link| (link.group.as_str(), link.state))
            .collect();
        assert_eq!(
            seen,
            [
                ("videos", LinkState::Missing),
                ("contents", LinkState::Pending)
            ]
        );
    }

    #[test]
    fn a_404_is_not_ready_for_a_while_and_then_not_there() {
        let (follow, group) = (follow(), LinkGroup::new("contents"));
        let at = |since| standing(&follow, &group, &failure(Kind::NotFound), since);
        assert_eq!(at(Duration::ZERO), LinkState::Pending);
        assert_eq!(at(follow.not_found_grace), LinkState::Failed);
    }

    #[test]
    fn best_effort_ends_sooner_than_required() {
        let follow = follow();
        let at = |group: &str| {
            standing(
                &follow,
                &LinkGroup::new(group),
                &failure(Kind::Outage),
                follow.best_effort_for,
            )
        };
        assert_eq!(at("transcripts"), LinkState::Missing);
        assert_eq!(at("contents"), LinkState::Pending);
    }

    #[test]
    fn the_event_waits_for_what_is_pending_and_dies_of_what_is_required_and_lost() {
        let follow = follow();
        let mut plan = plan(vec![link("contents"), link("transcripts")], &follow);
        assert!(
            matches!(verdict(&follow, &plan), Verdict::Waiting(link) if link.group.as_str() == "contents")
        );
        plan[0].state = LinkState::Fetched;
        assert!(
            matches!(verdict(&follow, &plan), Verdict::Waiting(link) if link.group.as_str() == "transcripts")
        );
        plan[1].state = LinkState::Missing;
        assert_eq!(verdict(&follow, &plan), Verdict::Complete);
        plan[0].state = LinkState::Failed;
        assert!(matches!(verdict(&follow, &plan), Verdict::Hopeless(_)));
    }
}
