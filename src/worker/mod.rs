//! Works off the journal: fetches what a notification links to, and delivers the result to every sink.
//!
//! Guarantee: at least once to every sink. A lease only saves double work. Knows nothing of the public listener.

mod backoff;
mod breaker;
mod claims;
mod deliver;
mod fetch;
mod insist;
mod late;
mod plan;
mod report;
mod retrieve;
mod session;
mod settle;
mod sweep;
mod updates;

use std::sync::Arc;

use tokio::sync::Notify;

use crate::config::{Follow, Refresh, Retention, Sink as SinkConfig};
use crate::domain::Clock;
use crate::journal::{Journal, Wakeups};
use crate::lifecycle::{Readiness, Shutdown};
use crate::metrics::Metrics;
use crate::sdp;
use crate::sinks::Sink;

use self::breaker::{Breaker, Guarded};
use self::deliver::Deliverer;
use self::late::Late;
use self::retrieve::{Retriever, Wants};

/// Events whose late content is asked for at once; nobody waits for it.
const LATE_AT_ONCE: usize = 2;

/// What the worker works with.
pub struct Parts {
    /// The journal, and its announcements.
    pub journal: Journal,
    /// Ids of events that became due.
    pub wakeups: Wakeups,
    /// The vendor's API; `None` without credentials: then only what needs none is worked on.
    pub sdp: Option<sdp::Client>,
    /// Every sink with its settings.
    pub sinks: Vec<(SinkConfig, Box<dyn Sink>)>,
    /// What to follow, and for how long.
    pub follow: Follow,
    /// When what never came is asked for again.
    pub refresh: Refresh,
    /// How long things are kept.
    pub retention: Retention,
    /// Name of this instance.
    pub instance: String,
    /// The time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
    /// Told how the vendor's API does.
    pub readiness: Readiness,
}

/// What every step of the worker works with.
struct Shared {
    journal: Journal,
    clock: Clock,
    metrics: Metrics,
}

/// Starts the worker's tasks in `tasks`: one loop for retrieving, one for each sink, and the sweep.
pub fn spawn(parts: Parts, tasks: &Shutdown) {
    let shared = Arc::new(Shared {
        journal: parts.journal,
        clock: parts.clock,
        metrics: parts.metrics.clone(),
    });
    let bells: Vec<Arc<Notify>> = parts.sinks.iter().map(|_| Arc::default()).collect();
    let wants: Vec<_> = parts
        .sinks
        .iter()
        .map(|(config, _)| Wants {
            sink: config.name.clone(),
            events: config.events.clone(),
            include: config.include,
        })
        .collect();
    let (lease, concurrency) = (parts.follow.lease, parts.follow.max_concurrency);
    for ((config, sink), bell) in parts.sinks.into_iter().zip(&bells) {
        let (concurrency, sink) = (config.max_concurrency, Arc::<dyn Sink>::from(sink));
        let tidied = Arc::clone(&sink);
        tasks.spawn("tidying of a sink", async move { tidied.tidy().await });
        let deliverer = Deliverer::new(
            config,
            sink,
            Arc::clone(&shared),
            lease,
            parts.instance.clone(),
        );
        let (bell, group) = (Arc::clone(bell), tasks.clone());
        tasks.spawn("delivery loop", async move {
            claims::run(deliverer, bell, concurrency, &group).await
        });
    }
    let (wants, breaker) = (
        Arc::new(wants),
        Arc::new(Breaker::new(parts.metrics, Guarded::Sdp(parts.readiness))),
    );
    if let Some(sdp) = parts.sdp.clone() {
        let late = Late {
            shared: Arc::clone(&shared),
            sdp,
            follow: parts.follow.clone(),
            refresh: parts.refresh.clone(),
            wants: Arc::clone(&wants),
            bells: bells.clone(),
            breaker: Arc::clone(&breaker),
        };
        let (bell, group) = (Arc::<Notify>::default(), tasks.clone());
        tasks.spawn("late content loop", async move {
            claims::run(late, bell, LATE_AT_ONCE, &group).await
        });
    }
    let retriever = Retriever {
        refresh: parts.refresh,
        shared: Arc::clone(&shared),
        sdp: parts.sdp,
        follow: parts.follow,
        wants,
        bells,
        breaker,
    };
    let (other, group) = (Arc::clone(&shared), tasks.clone());
    tasks.spawn("other instances' wake-ups", async move {
        loop {
            tokio::select! {
                id = other.journal.announced() => other.journal.wake(id),
                () = group.stopping() => return,
            }
        }
    });
    let (wakeups, group) = (parts.wakeups, tasks.clone());
    tasks.spawn("retrieval loop", async move {
        claims::run(retriever, wakeups, concurrency, &group).await
    });
    let group = tasks.clone();
    tasks.spawn("retention sweep", async move {
        sweep::run(&shared, parts.retention, &group).await
    });
}
