//! Processes events from the journal: retrieves what a notification links to, and delivers the result to every sink.
//!
//! The guarantee is at-least-once delivery to every sink; a lease only avoids duplicate work. The worker does not
//! depend on the public listener.
//!
//! New events come from the intake with their lease and receipt, and their deliveries start from memory. The store is
//! queried only for events for which there was no room, for retries, and for work that other instances gave back.

mod alert_sender;
mod alerts;
mod attempt;
mod backoff;
mod breaker;
mod claims;
mod compare;
mod deliver;
mod ends;
mod fetch;
mod late;
mod logins;
mod plan;
mod poll;
mod recovered;
mod replays;
mod report;
mod retrieve;
mod session;
mod settle;
mod sweep;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::config::{Follow, Reconcile, Refresh, Retention, SinkConfig};
use crate::domain::Clock;
use crate::journal::{Admission, ClaimedEvent, Inbox, Journal, Permit, SentAlert};
use crate::lifecycle::{Alerts, Readiness, TaskGroup};
use crate::metrics::Metrics;
use crate::sdp;
use crate::sinks::Sink;
use crate::traces::Traces;

use self::alert_sender::AlertQueue;
use self::breaker::{Breaker, Guarded};
use self::claims::{Loop, Work};
use self::deliver::{Deliverer, Outlet};
use self::ends::Ends;
use self::late::Late;
use self::poll::Poller;
use self::retrieve::{Retriever, Wants};

/// How many events are refreshed at once; nothing waits for this work.
const LATE_AT_ONCE: usize = 2;

/// What the worker is made of.
pub struct Parts {
    /// The journal.
    pub journal: Journal,
    /// New events, and wake-ups when work is due.
    pub inbox: Inbox,
    /// The vendor's API; `None` without credentials. Then only work that does not need the API is done.
    pub sdp: Option<sdp::Client>,
    /// Every sink with its settings.
    pub sinks: Vec<(SinkConfig, Box<dyn Sink>)>,
    /// Which links to follow, and for how long.
    pub follow: Follow,
    /// Whether and how expected sessions are polled.
    pub reconcile: Reconcile,
    /// When content is fetched again.
    pub refresh: Refresh,
    /// How long content and receipts are kept.
    pub retention: Retention,
    /// This instance's name.
    pub instance: String,
    /// The time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
    /// Opens the spans of attempts.
    pub traces: Traces,
    /// Updated with the state of the vendor's API.
    pub readiness: Readiness,
    /// Raises alerts for operators.
    pub alerts: Alerts,
    /// The alerts whose beginning was sent to a sink and whose end was not yet.
    pub sent: Vec<SentAlert>,
}

/// How often the worker checks for leases that nobody works under.
const RECONCILE: Duration = Duration::from_secs(5);

/// What every part of the worker shares.
struct Shared {
    journal: Journal,
    ends: Ends,
    clock: Clock,
    metrics: Metrics,
    traces: Traces,
    alerts: Alerts,
    /// This instance's name.
    instance: Arc<str>,
}

/// Starts the worker's tasks in `tasks`: a loop for retrieval, one for each sink, and the background tasks.
pub fn spawn(parts: Parts, tasks: &TaskGroup) {
    let shared = Arc::new(Shared {
        ends: Ends::spawn(parts.journal.clone(), tasks),
        journal: parts.journal,
        clock: parts.clock,
        metrics: parts.metrics.clone(),
        traces: parts.traces,
        alerts: parts.alerts,
        instance: Arc::from(&*parts.instance),
    });
    let new_loop = |admission: Admission, wakeup: &Arc<Notify>| Loop {
        journal: shared.journal.clone(),
        admission,
        wakeup: Arc::clone(wakeup),
        tasks: tasks.clone(),
    };
    let wants: Vec<_> = parts
        .sinks
        .iter()
        .map(|(config, _)| wants(config))
        .collect();
    let wants = Arc::new(wants);
    let names = SinkConfig::names_for_events(parts.sinks.iter().map(|(config, _)| config));
    let jobs = replays::run(Arc::clone(&shared), names, tasks.clone());
    tasks.spawn("replay jobs", jobs);
    let (mut outlets, mut queues) = (Vec::new(), Vec::new());
    for (config, sink) in parts.sinks {
        let admission = Admission::new(config.max_concurrency);
        let (sink, wakeup) = (Arc::<dyn Sink>::from(sink), Arc::<Notify>::default());
        let tidied = Arc::clone(&sink);
        tasks.spawn("tidying of a sink", async move { tidied.tidy().await });
        if config.alerts {
            let sink = Arc::clone(&sink);
            let keeper = (shared.journal.clone(), parts.instance.clone());
            queues.push(AlertQueue::spawn(&config, sink, keeper, &parts.sent, tasks));
        }
        let deliverer = Arc::new(Deliverer::new(config, sink, Arc::clone(&shared)));
        let deliveries = new_loop(admission.clone(), &wakeup);
        tasks.spawn("delivery loop", deliveries.run(Arc::clone(&deliverer)));
        outlets.push(Outlet {
            deliverer,
            admission,
            wakeup,
        });
    }
    let outlets = Arc::new(outlets);
    if let Some(sdp) = parts.sdp.clone() {
        tasks.spawn_until_stopped("alert of logins", logins::watch(sdp, shared.alerts.clone()));
    }
    tasks.spawn(
        "alerts",
        alerts::run(Arc::clone(&shared), queues, tasks.clone()),
    );
    let guarded = Guarded::Sdp(parts.readiness.clone());
    let breaker = Arc::new(Breaker::new(parts.metrics, guarded));
    if let Some(sdp) = parts.sdp.clone().filter(|_| parts.reconcile.enabled) {
        let sessions = shared.journal.clone();
        let poller = Poller::new(
            (Arc::new(sdp), Arc::new(sessions)),
            parts.reconcile,
            Arc::clone(&breaker),
            (parts.readiness, shared.alerts.clone()),
            (shared.metrics.clone(), shared.traces.clone(), shared.clock),
        );
        tasks.spawn(
            "polls of expected sessions",
            Arc::new(poller).run(tasks.clone()),
        );
    }
    if let Some(sdp) = parts.sdp.clone() {
        let late = Late {
            shared: Arc::clone(&shared),
            sdp,
            refresh: parts.refresh.clone(),
            follow: parts.follow.clone(),
            wants: Arc::clone(&wants),
            outlets: Arc::clone(&outlets),
            breaker: Arc::clone(&breaker),
        };
        let refreshes = new_loop(Admission::new(LATE_AT_ONCE), &Arc::default());
        tasks.spawn("late content loop", refreshes.run(Arc::new(late)));
    }
    let retriever = Arc::new(Retriever {
        refresh: parts.refresh,
        reconcile: parts.reconcile,
        shared: Arc::clone(&shared),
        sdp: parts.sdp,
        follow: parts.follow,
        wants,
        outlets,
        breaker,
        tasks: tasks.clone(),
    });
    let Inbox {
        admission,
        events,
        wakeup,
    } = parts.inbox;
    let retrievals = new_loop(admission, &wakeup);
    tasks.spawn("retrieval loop", retrievals.run(Arc::clone(&retriever)));
    tasks.spawn("new events", take_in(retriever, events, tasks.clone()));
    let journal = shared.journal.clone();
    tasks.spawn_until_stopped("other instances' wake-ups", async move {
        loop {
            journal.announced().await;
            journal.wake();
        }
    });
    tasks.spawn(
        "lost work",
        reconcile(shared.journal.clone(), tasks.clone()),
    );
    let group = tasks.clone();
    tasks.spawn("retention sweep", async move {
        sweep::run(&shared, parts.retention, &group).await
    });
}

fn wants(config: &SinkConfig) -> Wants {
    Wants {
        sink: config.name.clone(),
        events: config.events.clone(),
        include: config.include,
    }
}

/// Processes new events as the intake passes them on. Those that are not begun when `tasks` stops are given back with the
/// rest.
async fn take_in(
    retriever: Arc<Retriever>,
    mut events: mpsc::Receiver<(ClaimedEvent, Permit)>,
    tasks: TaskGroup,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = tasks.stopping() => return,
            next = events.recv() => next,
        };
        // `None`: the journal's handles are gone, because the service is stopping.
        let Some((event, permit)) = next else { return };
        tasks.spawn(Retriever::NAME, Arc::clone(&retriever).work(event, permit));
    }
}

/// Gives back leases that the store lists for this instance although no task works under them.
async fn reconcile(journal: Journal, tasks: TaskGroup) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RECONCILE) => {}
            () = tasks.stopping() => return,
        }
        match journal.reconcile().await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                count,
                "leases that no task of this process works under were released"
            ),
            // A failing store is logged by the tasks that claim and write.
            Err(error) => tracing::debug!(error = %error, "cannot check for leases that were lost"),
        }
    }
}
