//! What a sender sees while the store fails, and that nothing acknowledged is missing after it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use suki_receiver::domain::{Clock, EventState};
use suki_receiver::journal::{Event, Filter, Inbox, Journal, Records, Store};

use super::contract::{EVENTS, append, claim_events, only, soon, sqlite, try_append};
use crate::support::{
    FailingStore, Receiver, Signed, Vendor, completed, eventually, failure, http, until,
};

/// Events that the worker works on at once.
const ROOM: usize = 2;

/// A receiver on a store that fails on demand.
struct Service {
    store: Arc<FailingStore>,
    receiver: Receiver,
}

impl Service {
    async fn start() -> Self {
        Self::start_following(None).await
    }

    /// The same, with the vendor's API to follow links at.
    async fn start_following(vendor: Option<&Vendor>) -> Self {
        let (receiver, store) = Receiver::start_failing(|config| {
            config.store.deadline = Duration::from_millis(200);
            config.follow.max_concurrency = ROOM;
            if let Some(vendor) = vendor {
                vendor.follow(config);
            }
        })
        .await;
        Self { store, receiver }
    }

    async fn post(&self, session: &str) -> u16 {
        let signed = Signed::new(failure(session));
        signed.post(&self.receiver.webhook()).await.0
    }

    async fn ready(&self) -> u16 {
        self.receiver.get("/readyz").await.0
    }

    /// The only event that there is.
    async fn event(&self) -> Event {
        let page = self.store.list(Filter::default(), 10, None).await;
        only(page.unwrap().events)
    }

    /// How some work ended was to be written down, and again.
    async fn tries_to_write_ends(&self) {
        until("ends are written again", || {
            self.store.finishes.load(SeqCst) > 1
        })
        .await;
    }

    async fn is_done(&self) {
        eventually("it is done", || async {
            self.event().await.state == EventState::Done
        })
        .await;
    }
}

#[tokio::test]
async fn while_appends_fail_the_answer_is_503_with_retry_after_and_readiness_is_off() {
    let service = Service::start().await;
    service.store.appends_fail.store(true, SeqCst);
    let signed = Signed::new(failure("s"));
    let answer = http()
        .post(service.receiver.webhook())
        .header("X-API-Key", &signed.signature)
        .header("generated-at", &signed.generated_at)
        .body(signed.body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(service.ready().await, 503);
    service.store.appends_fail.store(false, SeqCst);
    assert_eq!(service.post("s").await, 200);
    assert_eq!(service.ready().await, 200);
    service.receiver.delivers(1).await;
}

#[tokio::test]
async fn a_store_that_hangs_is_a_503_at_the_deadline() {
    let service = Service::start().await;
    service.store.appends_hang.store(true, SeqCst);
    assert_eq!(service.post("s").await, 503);
    service.store.appends_hang.store(false, SeqCst);
    assert_eq!(service.post("s").await, 200);
    service.receiver.delivers(1).await;
}

#[tokio::test]
async fn while_claims_fail_notifications_are_kept_and_delivered_after_it() {
    let service = Service::start().await;
    service.store.claims_fail.store(true, SeqCst);
    for n in 0..5 {
        assert_eq!(service.post(&format!("s{n}")).await, 200);
    }
    service.store.claims_fail.store(false, SeqCst);
    service.receiver.delivers(5).await;
}

#[tokio::test]
async fn what_there_was_no_room_for_while_claims_fail_is_delivered_after_it() {
    let service = Service::start().await;
    // What is worked on keeps its room until its end is written down.
    service.store.finishes_fail.store(true, SeqCst);
    service.store.claims_fail.store(true, SeqCst);
    for n in 0..ROOM * 3 {
        assert_eq!(service.post(&format!("s{n}")).await, 200);
    }
    assert!(service.store.held().await.unwrap().len() <= ROOM);
    service.store.finishes_fail.store(false, SeqCst);
    service.store.claims_fail.store(false, SeqCst);
    service.receiver.delivers(ROOM * 3).await;
}

#[tokio::test]
async fn an_end_that_cannot_be_written_down_is_written_when_the_store_takes_it_and_nothing_is_repeated()
 {
    let service = Service::start().await;
    service.store.finishes_fail.store(true, SeqCst);
    assert_eq!(service.post("s").await, 200);
    service.tries_to_write_ends().await;
    assert_eq!(service.event().await.state, EventState::Retrieving);
    assert_eq!(service.store.held().await.unwrap().len(), 1);
    service.store.finishes_fail.store(false, SeqCst);
    service.receiver.delivers(1).await;
    service.is_done().await;
    let event = service.event().await;
    let detail = service.store.event(event.id).await.unwrap().unwrap();
    assert_eq!(event.attempts, 1);
    assert_eq!(only(detail.deliveries).attempts, 1);
    assert_eq!(service.store.held().await.unwrap(), []);
}

#[tokio::test]
async fn what_was_fetched_goes_out_when_the_store_takes_it() {
    let vendor = Vendor::start().await;
    let service = Service::start_following(Some(&vendor)).await;
    service.store.finishes_fail.store(true, SeqCst);
    let body = completed("s", &vendor.completed("s"));
    service.receiver.post(body).await;
    service.tries_to_write_ends().await;
    service.store.finishes_fail.store(false, SeqCst);
    let event = service.receiver.delivers_one().await;
    service.is_done().await;
    for path in ["transcript", "structured-data"] {
        assert_eq!(vendor.sdp.count(path), 1, "{path} is fetched once");
    }
    let groups: Vec<_> = event["data"]["resources"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        groups,
        ["contents", "status", "structured_data", "transcripts"]
    );
}

/// A journal on a store that fails on demand, for a worker that takes what it is handed.
struct Worked {
    store: Arc<FailingStore>,
    journal: Journal,
    inbox: Inbox,
    clock: Clock,
    _dir: tempfile::TempDir,
}

impl Worked {
    fn start() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
        let store = FailingStore::around(Arc::new(sqlite(dir.path(), clock)));
        let deadline = Duration::from_secs(5);
        let (journal, inbox) = Journal::new(store.clone(), deadline, ROOM, clock);
        inbox.admission.set_open(true);
        Self {
            store,
            journal,
            inbox,
            clock,
            _dir: dir,
        }
    }

    /// What is held though nobody knows is given back.
    async fn is_given_back(&self) {
        assert_eq!(self.store.held().await.unwrap().len(), 1);
        assert_eq!(self.journal.reconcile().await.unwrap(), 0);
        assert_eq!(self.journal.reconcile().await.unwrap(), 1);
        assert_eq!(self.journal.reconcile().await.unwrap(), 0);
        let claimed = only(claim_events(&*self.store, self.clock).await);
        assert_eq!(claimed.attempt, 1);
    }
}

#[tokio::test]
async fn what_was_kept_though_the_answer_was_lost_is_not_held_for_ever() {
    let mut worked = Worked::start();
    worked.store.answers_are_lost.store(true, SeqCst);
    try_append(&worked.journal, failure("s")).await.unwrap_err();
    assert!(worked.inbox.events.try_recv().is_err());
    worked.is_given_back().await;
    worked.store.answers_are_lost.store(false, SeqCst);
    for n in 0..ROOM {
        append(&worked.journal, failure(&format!("s{n}"))).await;
    }
    let mut handed = Vec::new();
    while let Ok(event) = worked.inbox.events.try_recv() {
        handed.push(event);
    }
    assert_eq!(handed.len(), ROOM, "it took no room");
}

#[tokio::test]
async fn what_was_claimed_though_the_answer_was_lost_is_not_held_for_ever() {
    let worked = Worked::start();
    worked.inbox.admission.set_open(false);
    append(&worked.journal, failure("s")).await;
    worked.store.claims_are_lost.store(true, SeqCst);
    let wanted = soon(worked.clock, &EVENTS);
    worked.journal.claim(wanted).await.unwrap_err();
    worked.store.claims_are_lost.store(false, SeqCst);
    worked.is_given_back().await;
}

#[tokio::test]
async fn what_cannot_be_given_back_now_is_given_back_later() {
    let worked = Worked::start();
    worked.inbox.admission.set_open(false);
    append(&worked.journal, failure("s")).await;
    only(claim_events(&*worked.store, worked.clock).await);
    assert_eq!(worked.journal.reconcile().await.unwrap(), 0);
    worked.store.gifts_fail.store(true, SeqCst);
    worked.journal.reconcile().await.unwrap_err();
    worked.store.gifts_fail.store(false, SeqCst);
    assert_eq!(worked.journal.reconcile().await.unwrap(), 1);
}
