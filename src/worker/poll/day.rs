//! Simulates hours of many expected sessions in seconds: the real poller on a real store, with a vendor that answers at
//! once, under the runtime's paused clock.
//!
//! The test suite simulates a morning. For a whole day, whose figures are in docs/decisions/push-and-pull.md:
//! `DAY_SESSIONS=100000 tests/run.sh poll::day --success-output final`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::ports::{SessionStore, Vendor};
use super::{AT_ONCE, PAGE, Poller};
use crate::config::Reconcile;
use crate::domain::{
    Clock, Expected, ExpectedState, Millis, Origin, Registration, SessionId, SessionKind,
    SessionStatus,
};
use crate::journal::{
    Access, Error, ExpectedStats, Journal, NewExpected, PollEnded, Polled, Received, SentAlert,
    SqliteStore,
};
use crate::lifecycle::{Alert, Alerts, Readiness, TaskGroup};
use crate::metrics::Metrics;
use crate::sdp::{Failure, Subject};
use crate::signature::{Claim, SecretBytes, Secrets, SentBody, Verified, sign, verify};
use crate::traces::Traces;
use crate::worker::breaker::{Breaker, Guarded};

const HOUR: Duration = Duration::from_secs(3600);
/// Sessions and hours of a morning, and the hours of a day. The first visit ends after an hour, the last one a
/// third of the whole time later.
const MORNING: (u32, u32) = (4_000, 3);
const DAY: u32 = 24;
/// The delay between a visit's end and its notification.
const PUSHED_AFTER: Duration = Duration::from_secs(20);
/// The number of calls that fetch a completed session's content.
const TO_FETCH: u32 = 5;
/// The most sessions that may be read from the store at once.
const MOST_HELD: usize = 64;
const _: () = assert!(3 * PAGE + PAGE.div_ceil(4) <= MOST_HELD);

/// The result of a simulated day.
#[derive(Debug)]
struct Lived {
    /// The calls in each hour: polls, and fetches for recovered sessions.
    by_hour: Vec<(u32, u32)>,
    /// The most polls in one second.
    most_in_a_second: u32,
    /// The most sessions that were read at once, and the most polls under way at once.
    held: (usize, usize),
    /// The time from the first missed notification's visit to the alarm.
    alarm: Option<Duration>,
    stats: ExpectedStats,
}

/// The events of the simulation, by time.
struct Events {
    start: Instant,
    questions: Mutex<BTreeMap<u64, u32>>,
    recoveries: Mutex<BTreeMap<u64, u32>>,
    read: AtomicUsize,
    asking: AtomicUsize,
    most_asking: AtomicUsize,
}

impl Events {
    fn since(start: Instant) -> Self {
        Self {
            start,
            questions: Mutex::default(),
            recoveries: Mutex::default(),
            read: AtomicUsize::new(0),
            asking: AtomicUsize::new(0),
            most_asking: AtomicUsize::new(0),
        }
    }

    fn lived(&self, hours: u32, stats: ExpectedStats, alarm: Option<Duration>) -> Lived {
        let questions = self.questions.lock().expect("a lock");
        let recoveries = self.recoveries.lock().expect("a lock");
        let in_hour = |counts: &BTreeMap<u64, u32>, hour: u64| {
            counts
                .range(hour * 3600..(hour + 1) * 3600)
                .map(|(_, count)| count)
                .sum::<u32>()
        };
        Lived {
            by_hour: (0..u64::from(hours))
                .map(|hour| {
                    (
                        in_hour(&questions, hour),
                        in_hour(&recoveries, hour) * TO_FETCH,
                    )
                })
                .collect(),
            most_in_a_second: questions.values().copied().max().unwrap_or(0),
            held: (
                self.read.load(Ordering::Relaxed),
                self.most_asking.load(Ordering::Relaxed),
            ),
            alarm,
            stats,
        }
    }

    fn count(&self, which: &Mutex<BTreeMap<u64, u32>>) {
        let second = self.start.elapsed().as_secs();
        *which.lock().expect("a lock").entry(second).or_default() += 1;
    }
}

/// A vendor at which every polled session has ended.
struct AtOnce(Arc<Events>);

#[async_trait]
impl Vendor for AtOnce {
    async fn status(
        &self,
        _: &Subject<'_>,
        kind: SessionKind,
    ) -> Result<(SessionKind, SessionStatus), Failure> {
        let events = &self.0;
        events.count(&events.questions);
        let asking = events.asking.fetch_add(1, Ordering::Relaxed) + 1;
        events.most_asking.fetch_max(asking, Ordering::Relaxed);
        // Lets polls of the same moment overlap.
        tokio::time::sleep(Duration::from_millis(1)).await;
        events.asking.fetch_sub(1, Ordering::Relaxed);
        Ok((kind, SessionStatus::new("completed")))
    }

    async fn give_way(&self) {}

    fn calls_to_fetch(&self, _: &Subject<'_>, _: SessionKind) -> u32 {
        TO_FETCH
    }
}

/// The journal, wrapped so that the paused clock does not advance while it works.
struct Timeless(Journal, Arc<Events>);

#[async_trait]
impl SessionStore for Timeless {
    fn is_alive(&self) -> bool {
        SessionStore::is_alive(&self.0)
    }

    async fn due_sessions(
        &self,
        now: Millis,
        limit: usize,
    ) -> Result<Option<Vec<Expected>>, Error> {
        let journal = self.0.clone();
        let due =
            timeless(async move { SessionStore::due_sessions(&journal, now, limit).await }).await?;
        let held = due.as_ref().map_or(0, Vec::len);
        self.1.read.fetch_max(held, Ordering::Relaxed);
        Ok(due)
    }

    async fn polled(&self, polled: Polled) -> Result<Option<PollEnded>, Error> {
        let journal = self.0.clone();
        let ended = timeless(async move { SessionStore::polled(&journal, polled).await }).await?;
        if matches!(ended, Some(PollEnded::Recovered(_))) {
            self.1.count(&self.1.recoveries);
        }
        Ok(ended)
    }

    async fn stats(&self) -> Result<ExpectedStats, Error> {
        let journal = self.0.clone();
        timeless(async move { SessionStore::stats(&journal).await }).await
    }

    async fn sent_alerts(&self) -> Result<Vec<SentAlert>, Error> {
        let journal = self.0.clone();
        timeless(async move { SessionStore::sent_alerts(&journal).await }).await
    }

    fn wake(&self) {}
}

/// Runs `work` without letting the paused clock advance: the runtime advances it only while no blocking task runs.
async fn timeless<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work)).await;
    done.expect("no panic")
}

/// Simulates a day of this many sessions. No notification comes for those that `is_missed` selects.
async fn live((sessions, hours): (u32, u32), is_missed: fn(u32) -> bool) -> Lived {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::played(|| Instant::now().into_std());
    let access = Access::Owner { longest_wait: HOUR };
    let path = folder.path().join("receiver.db");
    let store = SqliteStore::open(&path, access, 10_000, clock, Metrics::new()).expect("a store");
    let (journal, _inbox) = Journal::new(Arc::new(store), HOUR, 0, clock);
    let (start, first_visit) = (Instant::now(), clock.now() + HOUR);
    let visit = |number: u32| {
        first_visit + (HOUR * hours / 3).mul_f64(f64::from(number) / f64::from(sessions))
    };
    let settings = Reconcile::default();
    let expected = (0..sessions).map(|number| {
        let registration = Registration {
            kind: SessionKind::Ambient,
            ended_at: Some(visit(number)),
            ..Registration::of(session(number), Origin::Registered)
        };
        NewExpected::of(registration, &settings.schedule, clock.now())
    });
    for some in expected.collect::<Vec<_>>().chunks(1_000) {
        let (journal, some) = (journal.clone(), some.to_vec());
        timeless(async move { journal.records().expect(some).await })
            .await
            .expect("registers");
    }
    let (events, alerts) = (Arc::new(Events::since(start)), Alerts::default());
    let tasks = TaskGroup::new("day");
    let (metrics, readiness) = (Metrics::new(), Readiness::default());
    let breaker = Breaker::new(metrics.clone(), Guarded::Sdp(readiness.clone()));
    let poller = Poller::new(
        (
            Arc::new(AtOnce(Arc::clone(&events))),
            Arc::new(Timeless(journal.clone(), Arc::clone(&events))),
        ),
        settings,
        Arc::new(breaker),
        (readiness, alerts.clone()),
        (metrics, Traces::off(), clock),
    );
    tasks.spawn("questions", Arc::new(poller).run(tasks.clone()));
    let told = tokio::spawn(async move {
        let raised = alerts.changes().await.remove(0);
        assert_eq!(raised.alert, Alert::PushMissed);
        clock.now()
    });
    for number in (0..sessions).filter(|number| !is_missed(*number)) {
        sleep_until(clock, visit(number) + PUSHED_AFTER).await;
        let (journal, received) = (
            journal.clone(),
            Received::read(&pushed(number), clock.now(), false),
        );
        timeless(async move { journal.append(&received).await })
            .await
            .expect("keeps");
    }
    tokio::time::sleep_until(start + HOUR * hours).await;
    tasks.stop();
    assert!(tasks.finished((Instant::now() + HOUR).into_std()).await);
    let first_missed = (0..sessions).find(|number| is_missed(*number)).map(visit);
    let alarm = match told.is_finished() {
        true => first_missed.zip(told.await.ok()),
        false => None,
    };
    let alarm = alarm.map(|(missed, raised)| {
        Duration::from_millis((raised.as_millisecond() - missed.as_millisecond()).unsigned_abs())
    });
    let stats = Timeless(journal.clone(), Arc::clone(&events))
        .stats()
        .await
        .expect("stats");
    journal.close().await;
    events.lived(hours, stats, alarm)
}

async fn sleep_until(clock: Clock, time: Timestamp) {
    let left = time.as_millisecond() - clock.monotonic();
    tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await;
}

fn session(number: u32) -> SessionId {
    SessionId::new(format!("day-{number}")).expect("an id")
}

/// A session's notification, signed and verified.
fn pushed(number: u32) -> Verified {
    let secrets = Secrets::new([SecretBytes {
        id: "test",
        key: b"key",
    }]);
    let body = format!(
        r#"{{"session_id":"day-{number}","encounter_id":"e-{number}","status":"success"}}"#
    );
    let (body, at) = (Bytes::from(body), "1765977748432");
    let signature = sign(b"key", at, &body);
    let claim = Claim::of(Some(signature.as_bytes()), Some(at.as_bytes()));
    verify(&secrets, &claim, &SentBody::plain(body)).expect("authentic")
}

/// A morning, or a day with the number of sessions that is set at compile time.
fn time() -> (u32, u32) {
    match option_env!("DAY_SESSIONS") {
        Some(sessions) => (sessions.parse().expect("DAY_SESSIONS is a number"), DAY),
        None => MORNING,
    }
}

impl Lived {
    /// Checks what must hold for every day.
    fn keeps_its_bounds(&self) {
        if option_env!("DAY_SESSIONS").is_some() {
            writeln!(std::io::stdout(), "{self:#?}").ok();
        }
        let limit = Reconcile::default().max_requests_per_second;
        assert!(self.most_in_a_second <= limit, "{}", self.most_in_a_second);
        for (hour, (asked, fetched)) in self.by_hour.iter().enumerate() {
            assert!(
                asked + fetched <= limit * 3600 + TO_FETCH,
                "hour {hour}: {asked} + {fetched}"
            );
        }
        let (read, asking) = self.held;
        assert!(
            read <= MOST_HELD && asking <= AT_ONCE,
            "{read} read, {asking} asking"
        );
    }

    fn questions(&self) -> u32 {
        self.by_hour.iter().map(|(asked, _)| asked).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn while_notifications_come_only_what_was_missed_is_asked_for() {
    let (sessions, hours) = time();
    let lived = live((sessions, hours), |number| number % 200 == 0).await;
    lived.keeps_its_bounds();
    let missed = sessions.div_ceil(200);
    // The misses are far apart, with many met sessions in between, so there is no alarm.
    assert_eq!(lived.questions(), missed);
    assert_eq!(lived.alarm, None);
    let stands = |state| lived.stats.count(state);
    assert_eq!(stands(ExpectedState::Recovered), u64::from(missed));
    assert_eq!(stands(ExpectedState::Met), u64::from(sessions - missed));
}

#[tokio::test(start_paused = true)]
async fn while_none_comes_the_limit_holds_and_the_alarm_is_raised_within_minutes() {
    let (sessions, hours) = time();
    let lived = live((sessions, hours), |_| true).await;
    lived.keeps_its_bounds();
    let alarm = lived.alarm.expect("an alarm");
    assert!(alarm <= Duration::from_secs(300), "{alarm:?}");
    let recovered = lived.stats.count(ExpectedState::Recovered);
    assert_eq!(recovered, u64::from(lived.questions()));
    // As many sessions as the limit allows from the first visit on, or all of them.
    let settings = Reconcile::default();
    let left = HOUR * (hours - 1) - settings.schedule.push_grace;
    let calls = u64::from(settings.max_requests_per_second) * left.as_secs();
    let may = calls / u64::from(1 + TO_FETCH);
    assert!(
        recovered >= u64::from(sessions).min(may * 99 / 100),
        "{recovered}"
    );
}
