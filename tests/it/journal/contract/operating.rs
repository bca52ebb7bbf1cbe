//! What operators change, and what age removes.

use std::time::Duration;

use bytes::Bytes;
use suki_receiver::domain::{Cause, Clock, EventId, EventState, Notification, Reason};
use suki_receiver::journal::{
    Appended, Bounds, DeliveryEnd, Ended, Expiry, Filter, RejectedRequest, ReplayFrom, Replayed,
    Requeued, Retrieval, Waiting,
};

use super::*;
use crate::support::failure;

pub async fn a_store_says_how_large_it_is(s: Opened) {
    let size = s.store.size().await.unwrap();
    assert!(size.bytes > 0, "{size:?}");
}

pub async fn a_purge_keeps_the_receipt_and_the_dedupe_key(s: Opened) {
    let event = s.delivering("s", &["a"]).await;
    assert!(s.store.purge(event, "ops".to_owned()).await.unwrap());
    assert_eq!(s.store.payload(event).await.unwrap(), None);
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert!(detail.event.content_purged);
    assert!(s.deliveries("a").await.is_empty());
    assert_eq!(
        append(&s.journal, failure("s")).await,
        Appended::Duplicate(event)
    );
    let replayed = s
        .store
        .replay(event, ReplayFrom::Retrieve, vec![], "ops".to_owned())
        .await
        .unwrap();
    assert_eq!(replayed, Replayed::NoContent);
    assert!(
        !s.store
            .purge(EventId::generate(), "ops".to_owned())
            .await
            .unwrap()
    );
}

pub async fn a_purge_takes_the_work_away_from_whoever_holds_it(s: Opened) {
    let delivering = s.delivering("delivering", &["a"]).await;
    let event = id(append(&s.journal, failure("s")).await);
    let (claimed, delivery) = (s.event().await, s.delivery("a").await);
    for purged in [delivering, event] {
        assert!(s.store.purge(purged, "ops".to_owned()).await.unwrap());
    }
    assert!(s.store.held().await.unwrap().is_empty());
    let ended = s.end(&claimed.lease, deliver(&["a"], vec![])).await;
    assert_eq!(ended, Ended::Lost);
    let ended = s.end(&delivery.lease, s.delivered()).await;
    assert_eq!(ended, Ended::Lost);
    let detail = s.store.event(delivering).await.unwrap().unwrap();
    assert!(detail.deliveries.iter().all(|it| it.delivered_at.is_none()));
    let given = vec![claimed.lease, delivery.lease];
    s.store.give_back(given, s.clock.monotonic()).await.unwrap();
    assert!(s.events().await.is_empty());
    assert!(s.deliveries("a").await.is_empty());
    s.is_well().await;
}

pub async fn what_an_operator_purged_is_dead_no_more_and_keeps_its_reason(s: Opened) {
    let event = s.delivering("s", &["a"]).await;
    s.make("a", dead()).await;
    let junk = quarantine(&s.journal, b"junk").await;
    let stats = s.store.stats().await.unwrap();
    assert_eq!(stats.count(EventState::Dead), 1);
    for purged in [event, junk] {
        let before = s.store.event(purged).await.unwrap().unwrap().event;
        assert!(s.store.purge(purged, "ops".to_owned()).await.unwrap());
        let after = s.store.event(purged).await.unwrap().unwrap().event;
        assert_eq!(after.state, EventState::Purged);
        assert!(after.last_error.is_some());
        assert_eq!(after.last_error, before.last_error);
    }
    let stats = s.store.stats().await.unwrap();
    let counts = [
        EventState::Dead,
        EventState::Quarantined,
        EventState::Purged,
    ];
    assert_eq!(counts.map(|state| stats.count(state)), [0, 0, 2]);
    assert_eq!(stats.total(), 2);
    for (state, count) in [
        (EventState::Dead, 0),
        (EventState::Quarantined, 0),
        (EventState::Purged, 2),
    ] {
        let filter = Filter {
            states: vec![state],
            ..Filter::default()
        };
        let page = s.store.list(filter, 10, None).await.unwrap();
        assert_eq!(page.events.len(), count, "{state}");
    }
    s.is_well().await;
}

pub async fn what_a_gone_sink_does_not_have_is_found_dropped_or_given_to_another(s: Opened) {
    let known = || vec!["kept".to_owned(), "new".to_owned()];
    let both = s.delivering("both", &["gone", "kept"]).await;
    s.make("kept", s.delivered()).await;
    let dead_there = s.delivering("dead", &["gone"]).await;
    // The one of the two that is due first is claimed, and it is given up.
    for claimed in s.deliveries("gone").await {
        let end = if claimed.document.id == dead_there {
            dead()
        } else {
            DeliveryEnd::Retry {
                at: s.clock.monotonic(),
                reason: Reason::new(Cause::Internal, "down"),
            }
        };
        s.end(&claimed.lease, end).await;
    }
    let only = s.delivering("only", &["gone"]).await;
    let first = s.store.event(both).await.unwrap().unwrap();
    assert_eq!(
        s.store.waiting_deliveries(known()).await.unwrap(),
        [Waiting {
            sink: "gone".to_owned(),
            count: 2,
            since: first.event.received_at,
        }]
    );
    let all = vec!["gone".to_owned(), "kept".to_owned()];
    assert!(s.store.waiting_deliveries(all).await.unwrap().is_empty());

    let to_new = async || {
        let (from, to) = ("gone".to_owned(), "new".to_owned());
        let given = s.store.readdress(from, to, 1, "ops".to_owned()).await;
        given.unwrap()
    };
    assert_eq!(to_new().await, 1, "no more than the limit");
    let dropped = s
        .store
        .drop_deliveries("gone".to_owned(), 10, "ops".to_owned())
        .await
        .unwrap();
    assert_eq!((dropped, to_new().await), (2, 0));
    let purged = s.delivering("purged", &["gone"]).await;
    s.make("gone", dead()).await;
    s.store.purge(purged, "ops".to_owned()).await.unwrap();
    assert_eq!(to_new().await, 0, "there is nothing left to deliver");
    assert!(
        s.store
            .waiting_deliveries(known())
            .await
            .unwrap()
            .is_empty()
    );
    s.make("new", s.delivered()).await;
    for event in [both, dead_there, only] {
        let detail = s.store.event(event).await.unwrap().unwrap();
        assert_eq!(detail.event.state, EventState::Done, "{detail:?}");
        assert!(
            detail
                .attempts
                .iter()
                .any(|it| it.detail.contains("by ops"))
        );
        assert!(detail.deliveries.iter().all(|it| it.sink != "gone"));
    }
    s.is_well().await;
}

pub async fn a_quarantined_event_becomes_the_notification_that_it_is(s: Opened) {
    let event = quarantine(&s.journal, b"what an older version could not read").await;
    let parsed =
        |session: &str| Box::new(Notification::parse(Bytes::from(failure(session))).unwrap());
    let known = id(append(&s.journal, failure("known")).await);
    let requeue = async |event, session: &str| {
        let done = s.store.requeue(event, parsed(session), "ops".to_owned());
        done.await.unwrap()
    };
    assert_eq!(requeue(event, "known").await, Requeued::Duplicate(known));
    assert_eq!(requeue(known, "x").await, Requeued::NotQuarantined);
    assert_eq!(requeue(EventId::generate(), "x").await, Requeued::NotFound);
    assert_eq!(requeue(event, "new").await, Requeued::Scheduled);
    assert_eq!(requeue(event, "new").await, Requeued::NotQuarantined);
    let claimed = s.events().await;
    let mut claimed = claimed.iter();
    let claimed = claimed.find(|claimed| claimed.receipt.id == event);
    assert_eq!(claimed.unwrap().receipt.session_id.as_str(), "new");
    assert_eq!(
        append(&s.journal, failure("new")).await,
        Appended::Duplicate(event)
    );
    s.is_well().await;
}

pub async fn retention_purges_what_is_done_and_keeps_what_is_dead(s: Opened) {
    let done = s.delivering("done", &["a"]).await;
    s.make("a", s.delivered()).await;
    let lost = s.delivering("dead", &["a"]).await;
    s.make("a", dead()).await;
    let content_only = Expiry {
        receipts: 0,
        ..expired(&s)
    };
    let purged = s.store.retain(content_only, 10).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (1, 0));
    assert_eq!(s.store.payload(done).await.unwrap(), None);
    assert!(s.store.payload(lost).await.unwrap().is_some());
    let purged = s.store.retain(expired(&s), 10).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (0, 1));
    assert!(s.store.event(done).await.unwrap().is_none());
    assert!(s.store.event(lost).await.unwrap().is_some());
}

/// All that ended so far is old enough, but for what has no age limit.
fn expired(s: &Opened) -> Expiry {
    let soon = s.clock.monotonic_in(Duration::from_secs(1));
    Expiry {
        content: soon,
        dead: None,
        quarantined: None,
        receipts: soon,
    }
}

pub async fn what_is_dead_or_quarantined_goes_where_an_age_limit_is_set(s: Opened) {
    let lost = s.delivering("dead", &["a"]).await;
    s.make("a", dead()).await;
    let junk = quarantine(&s.journal, b"[]").await;
    keep_rejected(&s, b"refused").await;
    let soon = Some(s.clock.monotonic_in(Duration::from_secs(1)));
    let limited = Expiry {
        dead: soon,
        quarantined: soon,
        ..expired(&s)
    };
    let purged = s.store.retain(limited, 10).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (2, 2));
    assert!(s.store.event(lost).await.unwrap().is_none());
    assert!(s.store.event(junk).await.unwrap().is_none());
    assert_eq!(s.store.stats().await.unwrap().rejected, 0);
}

pub async fn what_a_dead_event_had_still_to_deliver_goes_with_its_content(s: Opened) {
    append(&s.journal, failure("s")).await;
    let claimed = s.event().await;
    let end = Retrieval::Dead {
        found: found(vec![]),
        reason: Reason::new(Cause::Internal, "HTTP 410"),
        sinks: names(&["down"]),
    };
    s.end(&claimed.lease, end).await;
    let limited = Expiry {
        dead: Some(s.clock.monotonic_in(Duration::from_secs(1))),
        receipts: 0,
        ..expired(&s)
    };
    let purged = s.store.retain(limited, 10).await.unwrap();
    assert_eq!((purged.content, purged.receipts), (1, 0));
    assert!(s.deliveries("down").await.is_empty());
    assert_eq!(s.store.held().await.unwrap(), [], "nobody could deliver it");
    s.is_well().await;
}

pub async fn refused_requests_are_kept_within_bounds_the_newest_first_to_stay(s: Opened) {
    for n in 0..5u8 {
        keep_rejected(&s, &[n; 10]).await;
    }
    let kept = s.store.rejected(0, 10).await.unwrap();
    let bodies: Vec<u8> = kept.iter().map(|(_, request)| request.body[0]).collect();
    assert_eq!(bodies, [2, 3, 4], "three are within 35 bytes");
    let (number, oldest) = &kept[0];
    assert_eq!(oldest.signature, "ab".repeat(32));
    assert_eq!(oldest.generated_at, "1765977748432");
    assert_eq!(s.store.rejected(*number, 1).await.unwrap(), kept[1..2]);
    s.store.forget_rejected(vec![*number]).await.unwrap();
    assert_eq!(s.store.rejected(0, 10).await.unwrap(), kept[1..]);
    assert_eq!(s.store.stats().await.unwrap().rejected, 2);
}

async fn keep_rejected(s: &Opened, body: &[u8]) {
    let request = RejectedRequest {
        received_at: Clock::start().now(),
        generated_at: "1765977748432".to_owned(),
        signature: "ab".repeat(32),
        body: Bytes::copy_from_slice(body),
    };
    let bounds = Bounds {
        requests: 4,
        bytes: 35,
    };
    s.store.keep_rejected(vec![request], bounds).await.unwrap();
}
