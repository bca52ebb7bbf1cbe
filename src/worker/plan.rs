//! Which links to follow, and what their standing means for the event. Pure.

use std::collections::HashSet;
use std::time::Duration;

use crate::config::{Follow, Refresh};
use crate::domain::{self, LinkCause, LinkGroup, LinkState, json};
use crate::journal::Link;
use crate::sdp::{self, Failure, Kind};

/// Whether an answer to a link of this group holds no content.
pub(super) fn is_empty(group: &LinkGroup, body: &[u8]) -> bool {
    let names_status = group.as_str() == "status" && sdp::status_in(body).is_some();
    !names_status && json::is_empty_content(body)
}

/// The plan of an event: its links, numbered, with those that will not be followed marked. Each address is there once, but
/// for groups that are required: each of them has its own.
pub(super) fn plan(links: Vec<domain::Link>, follow: &Follow, required: &[LinkGroup]) -> Vec<Link> {
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
            took: None,
            reason: refused.map(str::to_owned),
            cause: refused.map(|_| LinkCause::NotFollowed),
        })
        .collect()
}

/// The entry for a required group that is not linked and that sessions of this kind do not have.
pub(super) fn unlinked(links: &[Link], group: &LinkGroup) -> Link {
    Link {
        n: u32::try_from(links.len()).unwrap_or(u32::MAX),
        group: group.clone(),
        href: String::new(),
        state: LinkState::Missing,
        http_status: None,
        bytes: None,
        fetched_at: None,
        took: None,
        reason: Some(
            "required, but neither linked nor one of the session's standard links".to_owned(),
        ),
        cause: Some(LinkCause::NotLinked),
    }
}

/// Decides how each failed fetch leaves its link. `tried` is how long the event was tried while the API answered;
/// `failed` names the links by their place. Gives back the places whose links changed.
pub(super) fn judge(
    follow: &Follow,
    required: &[LinkGroup],
    links: &mut [Link],
    failed: &[(usize, Failure)],
    tried: Duration,
) {
    let is_required = |link: &Link| required.contains(&link.group);
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
        if is_required(link) {
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
pub(super) fn is_late(link: &Link) -> bool {
    match link.state {
        LinkState::Missing => link.cause.is_none(),
        LinkState::Failed => link.http_status == Some(404),
        LinkState::Fetched => link.cause == Some(LinkCause::Empty),
        LinkState::Pending => false,
    }
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
    Waiting(&'a Link),
    /// Something required will never come.
    Hopeless(&'a Link),
}

/// What the links' standing means for the event.
pub(super) fn verdict<'a>(required: &[LinkGroup], links: &'a [Link]) -> Verdict<'a> {
    let is_required = |link: &&Link| required.contains(&link.group);
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

    fn follow() -> Follow {
        Follow {
            groups: vec![LinkGroup::new("contents"), LinkGroup::new("transcripts")],
            ..Follow::default()
        }
    }

    fn required() -> [LinkGroup; 1] {
        [LinkGroup::new("contents")]
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

    /// How `contents` and `transcripts` stand after these failures (none: fetched).
    fn after(contents: Option<Kind>, transcripts: Kind, tried: Duration) -> [LinkState; 2] {
        let follow = follow();
        let mut links = plan(
            vec![link("contents"), link("transcripts")],
            &follow,
            &required(),
        );
        let mut failed = vec![(1, failure(transcripts))];
        match contents {
            Some(kind) => failed.push((0, failure(kind))),
            None => links[0].state = LinkState::Fetched,
        }
        judge(&follow, &required(), &mut links, &failed, tried);
        [links[0].state, links[1].state]
    }

    #[test]
    fn groups_that_are_not_listed_are_left_out_and_unknown_ones_are_named() {
        let plan = plan(
            vec![link("contents"), link("structured_data"), link("videos")],
            &follow(),
            &required(),
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
            &required(),
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
    fn a_required_group_has_its_link_though_another_group_leads_to_the_same_address() {
        let required = [LinkGroup::new("transcripts")];
        let same = |group: &str| domain::Link {
            href: "/same".to_owned(),
            ..link(group)
        };
        let links = vec![same("contents"), same("transcripts"), same("transcripts")];
        let plan = plan(links, &follow(), &required);
        let groups: Vec<_> = plan.iter().map(|link| link.group.as_str()).collect();
        assert_eq!(groups, ["contents", "transcripts"]);
    }

    #[test]
    fn the_name_of_a_status_is_all_the_content_that_a_status_has() {
        let is_empty = |group: &str, body: &str| is_empty(&LinkGroup::new(group), body.as_bytes());
        let status = r#"{"status":"completed"}"#;
        assert!(!is_empty("status", status) && is_empty("contents", status));
        assert!(is_empty("status", "{}") && !is_empty("status", r#"{"state":"done"}"#));
    }

    #[test]
    fn what_is_missing_is_asked_for_after_1_h_6_h_and_then_daily_for_30_days() {
        let (refresh, hour) = (Refresh::default(), Duration::from_secs(3600));
        let mut looks = vec![Duration::ZERO];
        while let Some(wait) = next_look(&refresh, looks[looks.len() - 1]) {
            looks.push(looks[looks.len() - 1] + wait);
        }
        assert_eq!(looks[1..4], [hour, hour * 6, hour * 24]);
        assert_eq!(looks[4], hour * 48);
        assert_eq!(looks.last(), Some(&(hour * 720)));
        let never = Refresh {
            missing_for: None,
            ..refresh
        };
        assert_eq!(next_look(&never, Duration::ZERO), None);
    }

    #[test]
    fn a_404_is_not_ready_for_a_while_and_then_not_there() {
        let at = |since| after(Some(Kind::NotFound), Kind::Retry, since)[0];
        assert_eq!(at(Duration::ZERO), LinkState::Pending);
        assert_eq!(at(follow().not_found_grace), LinkState::Failed);
    }

    #[test]
    fn best_effort_ends_sooner_than_required_but_not_while_that_is_pending() {
        let end = follow().best_effort_for;
        let (fetched, pending) = (LinkState::Fetched, LinkState::Pending);
        for kind in [Kind::Retry, Kind::Outage, Kind::NotFound] {
            assert_eq!(after(None, kind, Duration::ZERO), [fetched, pending]);
            assert_ne!(after(None, kind, end)[1], pending, "{kind:?}");
            for required in [Kind::Retry, Kind::Outage] {
                assert_eq!(after(Some(required), kind, end), [pending, pending]);
            }
        }
        let refused = after(Some(Kind::Retry), Kind::Final, Duration::ZERO);
        assert_eq!(refused, [pending, LinkState::Failed]);
    }

    #[test]
    fn the_event_waits_for_what_is_pending_and_dies_of_what_is_required_and_lost() {
        let (follow, required) = (follow(), required());
        let links = vec![link("contents"), link("transcripts")];
        let mut plan = plan(links, &follow, &required);
        assert!(
            matches!(verdict(&required, &plan), Verdict::Waiting(link) if link.group.as_str() == "contents")
        );
        plan[0].state = LinkState::Fetched;
        assert!(
            matches!(verdict(&required, &plan), Verdict::Waiting(link) if link.group.as_str() == "transcripts")
        );
        plan[1].state = LinkState::Missing;
        assert_eq!(verdict(&required, &plan), Verdict::Complete);
        plan[0].state = LinkState::Failed;
        assert!(matches!(verdict(&required, &plan), Verdict::Hopeless(_)));
        assert_eq!(verdict(&[], &plan), Verdict::Complete);
    }
}
