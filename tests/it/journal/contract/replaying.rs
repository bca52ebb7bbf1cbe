//! Replays: an event is due again, and work on it that is under way is taken from nobody.

use suki_receiver::domain::{EventId, EventState};
use suki_receiver::journal::{Ended, How, ReplayFrom, Replayed};

use super::*;
use crate::support::failure;

async fn replay(s: &Opened, event: EventId, from: ReplayFrom, sinks: &[&str]) -> Replayed {
    let replayed = s.store.replay(event, from, names(sinks), "ops".to_owned());
    replayed.await.unwrap()
}

pub async fn a_replay_from_delivery_delivers_again_to_the_sinks_that_are_named(s: Opened) {
    let event = s.delivering("s", &["a", "b"]).await;
    s.make("a", s.delivered()).await;
    s.make("b", dead()).await;
    let replayed = replay(&s, event, ReplayFrom::Deliver, &["b"]).await;
    assert_eq!(replayed, Replayed::Scheduled);
    assert!(s.deliveries("a").await.is_empty());
    let ended = s.make("b", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    let replayed = replay(&s, event, ReplayFrom::Retrieve, &[]).await;
    assert_eq!(replayed, Replayed::Scheduled);
    let claimed = s.event().await;
    s.end(&claimed.lease, deliver(&["a", "b"], vec![])).await;
    s.make("a", s.delivered()).await;
    let ended = s.make("b", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    // The first deliveries stay in the history.
    let detail = s.store.event(event).await.unwrap().unwrap();
    let before = |what: &str| {
        let attempts = detail.attempts.iter();
        let same = attempts.filter(|it| it.what == what && it.detail == "delivered, attempt 1");
        same.count()
    };
    assert_eq!((before("deliver to a"), before("deliver to b")), (1, 1));
    let unknown = replay(&s, EventId::generate(), ReplayFrom::Deliver, &[]).await;
    assert_eq!(unknown, Replayed::NotFound);
    s.is_well().await;
}

pub async fn a_replay_takes_the_event_away_from_nobody_and_comes_when_the_work_ends(s: Opened) {
    let event = id(append(&s.journal, failure("s")).await);
    let held = s.event().await;
    let early = replay(&s, event, ReplayFrom::Deliver, &[]).await;
    assert_eq!(early, Replayed::NotRetrieved);
    let replayed = replay(&s, event, ReplayFrom::Retrieve, &[]).await;
    assert_eq!(replayed, Replayed::Scheduled);
    assert!(s.events().await.is_empty(), "it is still worked on");
    let links = vec![fetched(0, "{}")];
    let ended = s.end(&held.lease, deliver_at_once(&["a"], links)).await;
    assert_eq!(
        ended,
        kept(None),
        "it counts, and holds up the replay no more"
    );
    assert!(
        s.deliveries("a").await.is_empty(),
        "it waits for the replay"
    );
    let again = s.event().await;
    assert_eq!((again.receipt.id, again.attempt), (event, 1));
    assert!(again.found.links.is_empty(), "it begins anew");
    s.end(&again.lease, deliver(&["a"], vec![])).await;
    let ended = s.make("a", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    assert!(s.events().await.is_empty(), "once");
    s.is_well().await;
}

pub async fn a_replay_comes_when_what_is_held_is_given_back(s: Opened) {
    let event = s.delivering("s", &["a"]).await;
    for is_an_end in [true, false] {
        let held = s.delivery("a").await;
        replay(&s, event, ReplayFrom::Retrieve, &[]).await;
        assert!(s.events().await.is_empty());
        if is_an_end {
            s.end(&held.lease, How::GivenBack).await;
        } else {
            let now = s.clock.monotonic();
            s.store.give_back(vec![held.lease], now).await.unwrap();
        }
        assert!(s.deliveries("a").await.is_empty());
        let again = s.event().await;
        s.end(&again.lease, deliver(&["a"], vec![])).await;
    }
    let ended = s.make("a", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    s.is_well().await;
}

pub async fn a_replay_waits_for_the_last_of_what_is_held(s: Opened) {
    let event = s.delivering("s", &["a", "b"]).await;
    let (a, b) = (s.delivery("a").await, s.delivery("b").await);
    replay(&s, event, ReplayFrom::Deliver, &[]).await;
    assert_eq!(s.end(&a.lease, s.delivered()).await, kept(None));
    assert!(s.deliveries("a").await.is_empty(), "b is being delivered");
    let ended = s.end(&b.lease, s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    assert_eq!(s.state(event).await, EventState::Delivering);
    assert_eq!(s.make("a", s.delivered()).await, kept(None));
    let ended = s.make("b", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    assert!(s.deliveries("a").await.is_empty(), "once");
    let stats = s.store.stats().await.unwrap();
    assert_eq!((stats.count(EventState::Done), stats.total()), (1, 1));
    s.is_well().await;
}

pub async fn the_last_of_several_replays_is_the_one_that_comes(s: Opened) {
    let event = s.delivering("s", &["a", "b"]).await;
    s.make("b", s.delivered()).await;
    let held = s.delivery("a").await;
    replay(&s, event, ReplayFrom::Retrieve, &[]).await;
    replay(&s, event, ReplayFrom::Deliver, &["b"]).await;
    let ended = s.end(&held.lease, s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
    assert!(s.events().await.is_empty());
    assert!(s.deliveries("a").await.is_empty());
    let ended = s.make("b", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
}

pub async fn a_replay_for_one_sink_gives_the_others_nothing_before_it_is_fetched(s: Opened) {
    let event = s.delivering("s", &["a", "b"]).await;
    replay(&s, event, ReplayFrom::Retrieve, &["a"]).await;
    for sink in ["a", "b"] {
        let due = s.deliveries(sink).await;
        assert!(due.is_empty(), "{sink} would get it without its resources");
    }
    let claimed = s.event().await;
    let links = vec![fetched(0, "{}")];
    s.end(&claimed.lease, deliver(&["a", "b"], links)).await;
    for sink in ["a", "b"] {
        let delivery = s.delivery(sink).await;
        assert_eq!(delivery.document.resources.len(), 1, "{sink}");
    }
}

pub async fn a_replay_for_one_sink_takes_the_delivery_to_another_from_nobody(s: Opened) {
    let event = s.delivering("s", &["a", "b"]).await;
    let held = s.delivery("b").await;
    replay(&s, event, ReplayFrom::Deliver, &["a"]).await;
    assert!(s.deliveries("b").await.is_empty(), "two deliver the same");
    assert_eq!(s.end(&held.lease, s.delivered()).await, kept(None));
    assert!(s.deliveries("b").await.is_empty(), "it has it");
    let ended = s.make("a", s.delivered()).await;
    assert_eq!(ended, kept(Some(EventState::Done)));
}

pub async fn a_purge_ends_a_replay_that_waits(s: Opened) {
    let event = id(append(&s.journal, failure("s")).await);
    let held = s.event().await;
    replay(&s, event, ReplayFrom::Retrieve, &[]).await;
    assert!(s.store.purge(event, "ops".to_owned()).await.unwrap());
    let ended = s.end(&held.lease, deliver(&["a"], vec![])).await;
    assert_eq!(ended, Ended::Lost);
    assert!(s.events().await.is_empty());
    assert!(s.deliveries("a").await.is_empty());
    s.is_well().await;
}
