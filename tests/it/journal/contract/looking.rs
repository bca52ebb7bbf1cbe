//! What operators see.

use suki_receiver::domain::{EventState, Outcome};
use suki_receiver::journal::{Filter, How};

use super::*;
use crate::support::failure;

pub async fn an_inspection_of_a_well_store_finds_nothing(s: Opened) {
    s.delivering("done", &["a"]).await;
    s.make("a", s.delivered()).await;
    s.delivering("half", &["a"]).await;
    append(&s.journal, failure("new")).await;
    quarantine(&s.journal, b"[]").await;
    s.is_well().await;
}

async fn count(s: &Opened, filter: Filter) -> usize {
    let page = s.store.list(filter, 10, None).await.unwrap();
    page.events.len()
}

pub async fn a_list_has_the_newest_first_and_pages_without_gaps(s: Opened) {
    let mut appended = Vec::new();
    for n in 0..7 {
        appended.push(id(append(&s.journal, failure(&format!("s{n}"))).await));
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = s.store.list(Filter::default(), 3, cursor).await.unwrap();
        seen.extend(page.events.iter().map(|event| event.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    appended.reverse();
    assert_eq!(seen, appended);
    let of_session = || Filter {
        session_id: Some("s3".to_owned()),
        ..Filter::default()
    };
    let of_encounter = || Filter {
        encounter_id: Some("e-s3".to_owned()),
        ..Filter::default()
    };
    let both = async || {
        (
            count(&s, of_session()).await,
            count(&s, of_encounter()).await,
        )
    };
    assert_eq!(both().await, (1, 1));
    let completed = Filter {
        outcome: Some(Outcome::Completed),
        ..of_encounter()
    };
    assert_eq!(count(&s, completed).await, 0);
    let claimed = s.events().await;
    assert_eq!(both().await, (1, 1), "while they are worked on");
    for event in claimed {
        s.end(&event.lease, deliver(&["a"], vec![])).await;
    }
    assert_eq!(both().await, (1, 1), "when they were");
}

pub async fn counts_add_up_to_what_was_appended(s: Opened) {
    s.delivering("a", &["a"]).await;
    s.make("a", s.delivered()).await;
    append(&s.journal, failure("b")).await;
    quarantine(&s.journal, b"junk").await;
    let stats = s.store.stats().await.unwrap();
    assert_eq!(stats.total(), 3);
    let states = [
        EventState::Done,
        EventState::Received,
        EventState::Quarantined,
    ];
    assert_eq!(states.map(|state| stats.count(state)), [1, 1, 1]);
    assert!(stats.oldest_pending.is_some());
}

pub async fn what_is_worked_on_is_seen_as_retrieving_and_as_received_when_it_is_given_back(
    s: Opened,
) {
    let event = id(append(&s.journal, failure("s")).await);
    let seen = async || {
        let detail = s.store.event(event).await.unwrap().unwrap();
        let stats = s.store.stats().await.unwrap();
        let state = detail.event.state;
        let of_state = Filter {
            states: vec![state],
            ..Filter::default()
        };
        assert_eq!((stats.count(state), stats.total()), (1, 1));
        assert_eq!(count(&s, of_state).await, 1, "{state}");
        (state, detail.event.attempts)
    };
    assert_eq!(seen().await, (EventState::Received, 0));
    let claimed = s.event().await;
    assert_eq!(seen().await, (EventState::Retrieving, 1));
    s.end(&claimed.lease, How::GivenBack).await;
    assert_eq!(seen().await, (EventState::Received, 0));
    let claimed = s.event().await;
    s.end(&claimed.lease, deliver(&["a"], vec![])).await;
    assert_eq!(seen().await, (EventState::Delivering, 1));
    s.make("a", s.delivered()).await;
    assert_eq!(seen().await, (EventState::Done, 1));
}

pub async fn what_was_fetched_is_read_link_by_link(s: Opened) {
    let event = id(append(&s.journal, failure("s")).await);
    let claimed = s.event().await;
    let links = vec![
        fetched(0, "{}"),
        missing(1),
        fetched(2, ""),
        fetched(3, "[3]"),
    ];
    s.end(&claimed.lease, deliver(&["a"], links)).await;
    let mut read = Vec::new();
    for n in 0..5 {
        read.push(s.store.resource(event, n).await.unwrap());
    }
    let read: Vec<_> = read.iter().map(|body| body.as_deref()).collect();
    assert_eq!(
        read,
        [Some(&b"{}"[..]), None, Some(b""), Some(b"[3]"), None]
    );
    s.store.purge(event, "ops".to_owned()).await.unwrap();
    assert_eq!(s.store.resource(event, 0).await.unwrap(), None);
    let detail = s.store.event(event).await.unwrap().unwrap();
    assert_eq!(detail.links.len(), 4, "how they stood is still known");
}
