//! Tells one sink of alerts: of each at least once, of its end if it was told of the beginning, and no other sink waits
//! while this one is down. What a sink was told is kept, so that the next process can tell it the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::backoff;
use crate::config::{Retry, SinkConfig};
use crate::journal::{Journal, ToldAlert};
use crate::lifecycle::{Alert, AlertChange, AlertStatus, TaskGroup};
use crate::sinks::{CloudEvent, Sink, SinkAnswer};

/// Notices that wait for one sink; the oldest goes when there are more.
const MOST: usize = 64;

/// What an alert is about.
type Key = (Alert, String);

/// One notice. Of those about the same thing the newest is told.
struct Notice {
    change: Arc<AlertChange>,
    event: CloudEvent,
    /// When it was to be told.
    since: Instant,
}

/// Whom alerts are told.
pub(super) struct Listener(mpsc::UnboundedSender<Arc<AlertChange>>);

impl Listener {
    /// Starts telling this sink in `tasks`. It was told of `told` before.
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
                    Some((
                        (Alert::of_word(&told.alert)?, told.about.clone()),
                        told.since,
                    ))
                })
                .collect(),
            waiting: Vec::new(),
        };
        tasks.spawn("notices to a sink", teller.run(changes));
        Self(notices)
    }

    /// Tells it of a change, in its time.
    pub(super) fn tell(&self, change: &Arc<AlertChange>) {
        // The other end is there until the stop.
        self.0.send(Arc::clone(change)).ok();
    }
}

/// Tells one sink.
struct Teller {
    name: String,
    retry: Retry,
    sink: Arc<dyn Sink>,
    journal: Journal,
    instance: String,
    tasks: TaskGroup,
    /// The alerts that it was told of and not of their end, with when each was raised.
    told: BTreeMap<Key, Timestamp>,
    waiting: Vec<Notice>,
}

impl Teller {
    async fn run(mut self, mut changes: mpsc::UnboundedReceiver<Arc<AlertChange>>) {
        let mut attempt = 0;
        // What is added meanwhile does not put off the next try.
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
                        outcome = self.sink.deliver(&self.waiting[0].event) => outcome,
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

    /// One that was not told yet gives way to what is said of the same thing since. Of the end of what it was not told it
    /// is not told either.
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
            self.waiting.remove(0);
        }
        self.waiting.push(Notice {
            event: CloudEvent::of_alert(&change, &self.instance),
            change,
            since: Instant::now(),
        });
    }

    /// Takes up what the sink said of the first notice. `Some` where it is told again, with the wait that the sink asks for.
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
                        tracing::warn!(sink, %reason, "an alert is not told yet; trying again");
                    }
                    return Some(after);
                }
                tracing::error!(sink, %reason, "an alert was not told, and is given up");
            }
        }
        self.waiting.remove(0);
        None
    }

    /// Keeps what it was told. Where the store fails, only a later process would miss it.
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
            tracing::warn!(sink = self.name, error = %error, "that an alert was told could not be written down");
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
