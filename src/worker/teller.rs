//! Sends alerts to one sink: the beginning of each at least once, and its end if the beginning was sent. A sink that is
//! down does not delay the others. What was sent is stored, so that the next process can send the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::backoff;
use crate::config::{Retry, SinkConfig};
use crate::journal::{Journal, ToldAlert};
use crate::lifecycle::{Alert, AlertChange, AlertStatus, TaskGroup};
use crate::sinks::{self, CloudEvent, Sink, SinkAnswer};

/// The most notices that wait for one sink; beyond that the oldest is dropped.
const MOST: usize = 64;

/// The kind of an alert and what it is about.
type Key = (Alert, String);

/// A notice to send. Of several with the same key only the newest is sent.
struct Notice {
    change: Arc<AlertChange>,
    event: CloudEvent,
    /// When it was queued.
    since: Instant,
}

/// A sink's queue of alert changes.
pub(super) struct Listener(mpsc::UnboundedSender<Arc<AlertChange>>);

impl Listener {
    /// Starts sending to this sink in `tasks`. `told` are the alerts that were sent to it before.
    pub(super) fn spawn(
        config: &SinkConfig,
        sink: Arc<dyn Sink>,
        (journal, instance): (Journal, String),
        told: &[ToldAlert],
        tasks: &TaskGroup,
    ) -> Self {
        let (notices, changes) = mpsc::unbounded_channel();
        let its = told.iter().filter(|told| told.sink == config.name);
        let teller = Teller {
            name: config.name.clone(),
            retry: config.retry,
            sink,
            journal,
            instance,
            tasks: tasks.clone(),
            told: its
                .filter_map(|told| {
                    Some(((told.alert.parse().ok()?, told.about.clone()), told.since))
                })
                .collect(),
            waiting: Vec::new(),
        };
        tasks.spawn("notices to a sink", teller.run(changes));
        Self(notices)
    }

    /// Queues a change for the sink.
    pub(super) fn tell(&self, change: &Arc<AlertChange>) {
        // The receiver exists until the service stops.
        self.0.send(Arc::clone(change)).ok();
    }
}

/// The task that sends to one sink.
struct Teller {
    name: String,
    retry: Retry,
    sink: Arc<dyn Sink>,
    journal: Journal,
    instance: String,
    tasks: TaskGroup,
    /// The alerts whose beginning was sent and whose end was not yet, with the time at which each was raised.
    told: BTreeMap<Key, Timestamp>,
    waiting: Vec<Notice>,
}

impl Teller {
    async fn run(mut self, mut changes: mpsc::UnboundedReceiver<Arc<AlertChange>>) {
        let mut attempt = 0;
        // A notice that is added meanwhile does not postpone the next attempt.
        let mut next = Instant::now();
        loop {
            let at = (!self.waiting.is_empty()).then_some(next);
            tokio::select! {
                biased;
                () = self.tasks.stopping() => return,
                change = changes.recv() => match change {
                    Some(change) => self.add(change),
                    None => return,
                },
                () = sleep_until(at) => {
                    let outcome = tokio::select! {
                        outcome = sinks::deliver(&*self.sink, &self.waiting[0].event) => outcome,
                        () = self.tasks.stopping() => return,
                    };
                    next = Instant::now();
                    match self.ended(outcome, attempt).await {
                        None => attempt = 0,
                        Some(after) => {
                            attempt = attempt.saturating_add(1);
                            next += backoff::wait(&self.retry, attempt, after);
                        }
                    }
                }
            }
        }
    }

    /// Queues a change. It replaces an unsent notice with the same key. The end of an alert is not queued if its
    /// beginning was never sent.
    fn add(&mut self, change: Arc<AlertChange>) {
        let key = (change.alert, change.about.clone());
        let is_same =
            |notice: &Notice| (notice.change.alert, &notice.change.about) == (key.0, &key.1);
        self.waiting.retain(|notice| !is_same(notice));
        let told = self.told.get(&key);
        let is_news = match change.status {
            AlertStatus::Raised => told != Some(&change.since),
            AlertStatus::Resolved => told.is_some(),
        };
        if !is_news {
            return;
        }
        if self.waiting.len() >= MOST {
            let oldest = self.waiting.remove(0).change;
            tracing::error!(
                sink = self.name,
                alert = oldest.alert.as_str(),
                about = oldest.about,
                "too many alerts wait for this sink, so the oldest one is not sent"
            );
        }
        self.waiting.push(Notice {
            event: CloudEvent::of_alert(&change, &self.instance),
            change,
            since: Instant::now(),
        });
    }

    /// Handles the sink's answer to the first notice. Returns `Some` with the wait that the sink asked for when the
    /// notice is to be sent again.
    async fn ended(
        &mut self,
        outcome: SinkAnswer,
        attempt: u32,
    ) -> Option<Option<std::time::Duration>> {
        let sink = &*self.name;
        match outcome {
            SinkAnswer::Delivered => self.delivered().await,
            SinkAnswer::Rejected { reason } => {
                tracing::error!(sink, %reason, "the sink does not take an alert");
            }
            SinkAnswer::Retry { reason, after } => {
                if self.waiting[0].since.elapsed() < self.retry.give_up_after {
                    if attempt == 0 {
                        tracing::warn!(sink, %reason, "an alert could not be sent yet; trying again");
                    }
                    return Some(after);
                }
                tracing::error!(sink, %reason, "an alert could not be sent and is given up");
            }
        }
        self.waiting.remove(0);
        None
    }

    /// Stores that the notice was sent. If the store fails, only a later process is affected.
    async fn delivered(&mut self) {
        let change = Arc::clone(&self.waiting[0].change);
        let key = (change.alert, change.about.clone());
        let told = ToldAlert {
            sink: self.name.clone(),
            alert: change.alert.as_str().to_owned(),
            about: change.about.clone(),
            since: change.since,
            message: change.message.clone(),
        };
        let kept = match change.status {
            AlertStatus::Raised => {
                self.told.insert(key, change.since);
                self.journal.records().note_alert(told).await
            }
            AlertStatus::Resolved => {
                self.told.remove(&key);
                self.journal.records().forget_alert(told).await
            }
        };
        if let Err(error) = kept {
            tracing::warn!(sink = self.name, error = %error, "the store could not record that an alert was sent");
        }
    }
}

/// Sleeps until `at`, or for ever if there is nothing to wait for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
