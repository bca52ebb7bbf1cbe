//! Alerts and other notices to the sinks that take them: told at least once while the process lives, and a sink that is
//! down holds up no other. What is not told when the process ends is raised anew by the next one, if it is still so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::backoff;
use crate::config::{Retry, Sink as SinkConfig};
use crate::lifecycle::{Alert, AlertChange, AlertStatus, Alerts, TaskGroup};
use crate::sdp;
use crate::sinks::{Delivery, Outcome, Sink};

/// Notices that wait for one sink; the oldest goes when there are more.
const MOST: usize = 64;

/// One notice. Of those about the same thing the newest is told.
struct Notice {
    about: Option<(Alert, String)>,
    delivery: Delivery,
}

/// Whom alerts are told.
pub(super) struct Listener {
    notices: mpsc::UnboundedSender<Arc<AlertChange>>,
}

impl Listener {
    /// Starts telling this sink in `tasks`.
    pub(super) fn spawn(
        config: &SinkConfig,
        sink: Arc<dyn Sink>,
        instance: String,
        tasks: &TaskGroup,
    ) -> Self {
        let (notices, told) = mpsc::unbounded_channel();
        let teller = Teller {
            name: config.name.clone(),
            retry: config.retry,
            sink,
            instance,
            tasks: tasks.clone(),
        };
        tasks.spawn("notices to a sink", teller.run(told));
        Self { notices }
    }
}

/// Logs and counts alerts, and passes them on, until `tasks` stops.
pub(super) async fn run(shared: Arc<Shared>, listeners: Vec<Listener>, tasks: TaskGroup) {
    loop {
        let changes = tokio::select! {
            changes = shared.alerts.changes() => changes,
            () = tasks.stopping() => return,
        };
        for change in changes {
            let (alert, about) = (change.alert.as_str(), &*change.about);
            let is_raised = change.status == AlertStatus::Raised;
            shared.metrics.alert(alert, is_raised);
            if is_raised {
                tracing::error!(alert, about, reason = change.message, "alert raised");
            } else {
                tracing::info!(alert, about, "alert resolved");
            }
            let change = Arc::new(change);
            for listener in &listeners {
                // The other end is there until the stop.
                listener.notices.send(Arc::clone(&change)).ok();
            }
        }
    }
}

/// How long no login may succeed before that is an alert, and how often it is looked for.
const REFUSED_FOR: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(2);

/// Raises an alert while the vendor's API does not let an identity in.
pub(super) async fn watch_logins(sdp: sdp::Client, alerts: Alerts, tasks: TaskGroup) {
    let mut raised = BTreeSet::<String>::new();
    loop {
        let refused = sdp.refused();
        raised.retain(|identity| {
            let is_refused = refused.contains_key(identity);
            if !is_refused {
                alerts.resolve(Alert::TokenRefused, identity);
            }
            is_refused
        });
        for (identity, since) in refused {
            if since.elapsed() >= REFUSED_FOR {
                alerts.raise(
                    Alert::TokenRefused,
                    &identity,
                    format!("no login to the SDP API as the identity {identity} has succeeded for a minute: what needs it is kept and waits; see the log for the reason"),
                );
                raised.insert(identity);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = tasks.stopping() => return,
        }
    }
}

/// Tells one sink.
struct Teller {
    name: String,
    retry: Retry,
    sink: Arc<dyn Sink>,
    instance: String,
    tasks: TaskGroup,
}

impl Teller {
    async fn run(self, mut told: mpsc::UnboundedReceiver<Arc<AlertChange>>) {
        let (mut waiting, mut attempt) = (Vec::<Notice>::new(), 0);
        // What is added meanwhile does not put off the next try.
        let mut next = Instant::now();
        loop {
            let at = (!waiting.is_empty()).then_some(next);
            tokio::select! {
                biased;
                () = self.tasks.stopping() => return,
                change = told.recv() => match change {
                    Some(change) => self.add(&mut waiting, &change),
                    None => return,
                },
                () = sleep_until(at) => {
                    let outcome = tokio::select! {
                        outcome = self.sink.deliver(&waiting[0].delivery) => outcome,
                        () = self.tasks.stopping() => return,
                    };
                    let after = match &outcome {
                        Outcome::Retry { after, .. } => *after,
                        _ => None,
                    };
                    attempt = self.told(&mut waiting, attempt, outcome);
                    next = match attempt {
                        0 => Instant::now(),
                        attempt => Instant::now() + backoff::wait(&self.retry, attempt, after),
                    };
                }
            }
        }
    }

    /// One that was not told yet gives way to what is said of the same thing since.
    fn add(&self, waiting: &mut Vec<Notice>, change: &AlertChange) {
        let about = Some((change.alert, change.about.clone()));
        waiting.retain(|notice| notice.about != about);
        if waiting.len() >= MOST {
            waiting.remove(0);
        }
        let delivery = Delivery::of_alert(change, &self.instance);
        waiting.push(Notice { about, delivery });
    }

    fn told(&self, waiting: &mut Vec<Notice>, attempt: u32, outcome: Outcome) -> u32 {
        let sink = &*self.name;
        match outcome {
            Outcome::Delivered => {
                waiting.remove(0);
                0
            }
            Outcome::Rejected { reason } => {
                tracing::error!(sink, %reason, "the sink does not take an alert");
                waiting.remove(0);
                0
            }
            Outcome::Retry { reason, .. } => {
                if attempt == 0 {
                    tracing::warn!(sink, %reason, "an alert is not told yet; trying again");
                }
                attempt.saturating_add(1)
            }
        }
    }
}

/// For ever where there is nothing to wait for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
