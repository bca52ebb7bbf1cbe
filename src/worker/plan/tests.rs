//! Examples of plans and judgements.

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
    Failure::new(kind, None, "test")
}

/// The states of `contents` and `transcripts` after these failures; `None` means fetched.
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
    judge(
        &follow,
        &required(),
        &mut links,
        &failed,
        &at(tried, Duration::ZERO),
    );
    [links[0].state, links[1].state]
}

/// The times for an event that was tried for `tried`, of a session that is `age` old.
fn at(tried: Duration, age: Duration) -> Times {
    let start = Timestamp::UNIX_EPOCH;
    let now = (start + age).as_millisecond();
    Times { tried, start, now }
}

#[test]
fn what_the_vendor_has_deleted_is_not_waited_for() {
    let (follow, day) = (follow(), Duration::from_secs(24 * 3600));
    for required in [vec![], vec![LinkGroup::new("transcripts")]] {
        let mut links = plan(vec![link("transcripts")], &follow, &required);
        assert_eq!(has_clock(&required, &links), !required.is_empty());
        let failed = [(0, failure(Kind::Outage))];
        judge(
            &follow,
            &required,
            &mut links,
            &failed,
            &at(Duration::ZERO, day * 29),
        );
        assert_eq!(links[0].state, LinkState::Pending);
        assert!(is_kept(&links[0], Timestamp::UNIX_EPOCH, 0));
        judge(
            &follow,
            &required,
            &mut links,
            &failed,
            &at(Duration::ZERO, day * 30),
        );
        assert_eq!(links[0].state, LinkState::Failed);
        let later = at(Duration::ZERO, day * 30).now;
        assert!(!is_kept(&links[0], Timestamp::UNIX_EPOCH, later));
    }
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
fn the_same_address_in_two_groups_is_fetched_once_and_never_hidden_by_one_that_is_not_followed() {
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
    let mut ages = vec![Duration::ZERO];
    while let Some(wait) = next_refresh(&refresh, ages[ages.len() - 1]) {
        ages.push(ages[ages.len() - 1] + wait);
    }
    assert_eq!(ages[1..4], [hour, hour * 6, hour * 24]);
    assert_eq!(ages[4], hour * 48);
    assert_eq!(ages.last(), Some(&(hour * 720)));
    let never = Refresh {
        missing_for: None,
        ..refresh
    };
    assert_eq!(next_refresh(&never, Duration::ZERO), None);
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
