//! Sinks that are paused: what waits, what does not, and what a resume makes of it.

use std::time::Duration;

use suki_receiver::domain::{Cause, EventState, Reason};
use suki_receiver::journal::{DeliveryEnd, Ended, ReplayFrom, Replayed};

use super::{Opened, append, deliver, deliver_at_once, delivered, kept, names};
use crate::support::{failure, until};

impl Opened {
    async fn pause(&self, sink: &str, actor: &str, reason: &str) -> bool {
        let reason = Some(reason.to_owned());
        let before = self
            .store
            .pause(sink.to_owned(), actor.to_owned(), reason)
            .await;
        before.unwrap().is_none()
    }

    async fn resume(&self, sink: &str) -> bool {
        let ended = self.store.resume(sink.to_owned()).await;
        ended.unwrap().is_some()
    }
}

pub async fn what_is_for_a_paused_sink_is_claimed_by_nobody_until_it_is_resumed(opened: Opened) {
    let before = opened.delivering("s1", &["ehr", "archive"]).await;
    assert!(opened.pause("ehr", "ops", "it is upgraded").await);
    let after = opened.delivering("s2", &["ehr", "archive"]).await;
    assert!(opened.deliveries("ehr").await.is_empty());
    for delivery in opened.deliveries("archive").await {
        opened.end(&delivery.lease, opened.delivered()).await;
    }
    for event in [before, after] {
        assert_eq!(opened.state(event).await, EventState::Delivering);
        let detail = opened.store.event(event).await.unwrap().unwrap();
        let ehr = detail.deliveries.iter().find(|it| it.sink == "ehr");
        assert_eq!(ehr.unwrap().attempts, 0);
        assert!(detail.attempts.is_empty(), "{:?}", detail.attempts);
    }
    opened.is_well().await;
    assert!(opened.resume("ehr").await);
    let waited = opened.deliveries("ehr").await;
    assert_eq!(waited.len(), 2);
    for delivery in waited {
        assert_eq!(delivery.attempt, 1);
        opened.end(&delivery.lease, opened.delivered()).await;
    }
    for event in [before, after] {
        assert_eq!(opened.state(event).await, EventState::Done);
    }
}

pub async fn a_second_pause_leaves_the_first_one_as_it_is_and_a_second_resume_ends_nothing(
    opened: Opened,
) {
    assert_eq!(opened.store.paused().await.unwrap(), []);
    assert!(!opened.resume("ehr").await, "it never was");
    assert!(opened.pause("ehr", "ops", "it is upgraded").await);
    assert!(!opened.pause("ehr", "desk", "the same once more").await);
    assert!(opened.pause("archive", "desk", "the disk is full").await);
    let paused = opened.store.paused().await.unwrap();
    let told = paused.iter().map(|pause| {
        let reason = pause.reason.as_deref().unwrap_or_default();
        (&*pause.sink, &*pause.actor, reason)
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("archive", "desk", "the disk is full"),
            ("ehr", "ops", "it is upgraded")
        ]
    );
    assert!(opened.resume("ehr").await);
    assert!(!opened.resume("ehr").await);
    assert!(opened.pause("ehr", "desk", "again").await);
    assert!(opened.resume("ehr").await && opened.resume("archive").await);
    assert_eq!(opened.store.paused().await.unwrap(), []);
}

pub async fn what_whoever_retrieved_it_would_deliver_waits_where_its_sink_is_paused(
    opened: Opened,
) {
    opened.pause("ehr", "ops", "it is upgraded").await;
    append(&opened.journal, failure("s1")).await;
    let event = opened.event().await;
    let ended = opened
        .end(&event.lease, deliver_at_once(&["ehr", "archive"], vec![]))
        .await;
    let Ended::Kept { deliveries, .. } = ended else {
        panic!("lost");
    };
    let held: Vec<String> = deliveries
        .iter()
        .map(|lease| lease.task().to_string())
        .collect();
    assert_eq!(held, ["deliver:archive"]);
    assert!(opened.deliveries("ehr").await.is_empty());
    opened.resume("ehr").await;
    opened.delivery("ehr").await;
}

pub async fn what_is_under_way_when_a_pause_comes_ends_as_it_ends(opened: Opened) {
    opened.delivering("s1", &["ehr"]).await;
    let delivery = opened.delivery("ehr").await;
    opened.pause("ehr", "ops", "it is upgraded").await;
    let ended = opened.end(&delivery.lease, delivered(opened.clock)).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
}

pub async fn what_was_to_be_tried_later_is_due_at_a_resume_and_its_time_counts_anew(
    opened: Opened,
) {
    let wait = Duration::from_secs(3600);
    opened.delivering("s1", &["ehr"]).await;
    let first = opened.delivery("ehr").await;
    let retry = DeliveryEnd::Retry {
        at: opened.clock.monotonic_in(wait),
        reason: Reason::new(Cause::Internal, "HTTP 503"),
    };
    opened.end(&first.lease, retry).await;
    opened.pause("ehr", "ops", "it is upgraded").await;
    until("the clock has gone on", || {
        opened.clock.monotonic() > first.started_at + 100
    })
    .await;
    opened.resume("ehr").await;
    let second = opened.delivery("ehr").await;
    assert_eq!(second.attempt, 2);
    // The clocks of two machines are not compared to the millisecond.
    assert!(second.started_at > first.started_at + 50, "{first:?}");
}

pub async fn what_waits_for_its_event_to_be_retrieved_is_not_hurried_by_a_resume(opened: Opened) {
    let event = opened.delivering("s1", &["ehr"]).await;
    opened.make("ehr", opened.delivered()).await;
    let (from, sinks) = (ReplayFrom::Retrieve, names(&["ehr"]));
    let replayed = opened.store.replay(event, from, sinks, "ops".to_owned());
    assert_eq!(replayed.await.unwrap(), Replayed::Scheduled);
    opened.pause("ehr", "ops", "it is upgraded").await;
    opened.resume("ehr").await;
    assert!(opened.deliveries("ehr").await.is_empty());
    let claimed = opened.event().await;
    opened.end(&claimed.lease, deliver(&["ehr"], vec![])).await;
    opened.delivery("ehr").await;
}
