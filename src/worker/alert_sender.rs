//! Sends alerts to one sink: the beginning of each at least once, and its end if the beginning was sent. A sink that is
//! down does not delay the others. What was sent is stored, so that the next process can send the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::backoff;
use crate::config::{Retry, SinkConfig};
use crate::journal::{Journal, SentAlert};
use crate::lifecycle::{Alert, AlertChange, AlertStatus, TaskGroup};
use crate::sinks::{self, CloudEvent, Sink, SinkAnswer};

/// The most alerts that wait for one sink; beyond that the oldest is dropped.
const MOST: usize = 64;

/// The kind of an alert and what it is about.
type Key = (Alert, String);

/// An alert to send. Of several with the same key only the newest is sent.
struct Waiting {
    change: Arc<AlertChange>,
    event: CloudEvent,
    /// When it was queued.
    since: Instant,
}

/// A sink's queue of alert changes.
pub(super) struct AlertQueue(mpsc::UnboundedSender<Arc<AlertChange>>);

impl AlertQueue {
    /// Starts sending to this sink in `tasks`. `sent` are the alerts that were sent to it before.
    pub(super) fn spawn(
        config: &SinkConfig,
        sink: Arc<dyn Sink>,
        (journal, instance): (Journal, String),
        sent: &[SentAlert],
        tasks: &TaskGroup,
    ) -> Self {
        let (queue, changes) = mpsc::unbounded_channel();
        let its = sent.iter().filter(|sent| sent.sink == config.name);
        let sender = AlertSender {
            name: config.name.clone(),
            retry: config.retry,
            sink,
            journal,
            instance,
            tasks: tasks.clone(),
            sent: its
                .filter_map(|sent| {
                    Some(((sent.alert.parse().ok()?, sent.about.clone()), sent.since))
                })
                .collect(),
            waiting: Vec::new(),
        };
        tasks.spawn("alerts to a sink", sender.run(changes));
        Self(queue)
    }

    /// Queues a change for the sink.
    pub(super) fn push(&self, change: &Arc<AlertChange>) {
        // The receiver exists until the service stops.
        self.0.send(Arc::clone(change)).ok();
    }
}

/// The task that sends to one sink.
struct AlertSender {
    name: String,
    retry: Retry,
    sink: Arc<dyn Sink>,
    journal: Journal,
    instance: String,
    tasks: TaskGroup,
    /// The alerts whose beginning was sent and whose end was not yet, with the time at which each was raised.
    sent: BTreeMap<Key, Timestamp>,
    waiting: Vec<Waiting>,
}

impl AlertSender {
    async fn run(mut self, mut changes: mpsc::UnboundedReceiver<Arc<AlertChange>>) {
        let mut attempt = 0;
        // An alert that is added meanwhile does not postpone the next attempt.
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

    /// Queues a change. It replaces an unsent one with the same key. The end of an alert is not queued if its
    /// beginning was never sent.
    fn add(&mut self, change: Arc<AlertChange>) {
        let key = (change.alert, change.about.clone());
        let is_same =
            |waiting: &Waiting| (waiting.change.alert, &waiting.change.about) == (key.0, &key.1);
        self.waiting.retain(|waiting| !is_same(waiting));
        let sent = self.sent.get(&key);
        let is_news = match change.status {
            AlertStatus::Raised => sent != Some(&change.since),
            AlertStatus::Resolved => sent.is_some(),
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
        self.waiting.push(Waiting {
            event: CloudEvent::of_alert(&change, &self.instance),
            change,
            since: Instant::now(),
        });
    }

    /// Handles the sink's answer to the first alert. Returns `Some` with the wait that the sink asked for when the
    /// alert is to be sent again.
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

    /// Stores that the alert was sent. If the store fails, only a later process is affected.
    async fn delivered(&mut self) {
        let change = Arc::clone(&self.waiting[0].change);
        let key = (change.alert, change.about.clone());
        let alert = SentAlert {
            sink: self.name.clone(),
            alert: change.alert.as_str().to_owned(),
            about: change.about.clone(),
            since: change.since,
            message: change.message.clone(),
        };
        let kept = match change.status {
            AlertStatus::Raised => {
                self.sent.insert(key, change.since);
                self.journal.records().record_sent_alert(alert).await
            }
            AlertStatus::Resolved => {
                self.sent.remove(&key);
                self.journal.records().forget_sent_alert(alert).await
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
