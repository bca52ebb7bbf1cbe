//! Records how work ended. Ends that arrive while one write is under way are collected and written together, so the
//! store gets one write for many ends, and a single end waits for no others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::journal::{End, Ended, Error, Journal, Lease};
use crate::lifecycle::TaskGroup;

/// The most ends in one write.
const BATCH: usize = 64;
/// The most queued ends; a caller with a further one waits.
const QUEUE: usize = 1024;
/// The backoff while the store is down: doubled from the first wait to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(2);
/// How long work is held whose end the store refuses to record. It is not given back at once, because it will then be
/// done a second time.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);

/// The queue of ends. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ends {
    queue: mpsc::Sender<(End, oneshot::Sender<Ended>)>,
}

impl Ends {
    /// Starts the writing task in `tasks`. It ends when all handles are dropped.
    pub(super) fn spawn(journal: Journal, tasks: &TaskGroup) -> Self {
        let (queue, queued) = mpsc::channel(QUEUE);
        tasks.spawn("results", run(journal, queued));
        Self { queue }
    }

    /// Waits until an end is recorded, however long the store is down. `None` when the store refuses it.
    pub(super) async fn write(&self, end: End) -> Option<Ended> {
        let (reply, answer) = oneshot::channel();
        self.queue.send((end, reply)).await.ok()?;
        answer.await.ok()
    }
}

async fn run(journal: Journal, mut queued: mpsc::Receiver<(End, oneshot::Sender<Ended>)>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queued.recv_many(&mut batch, BATCH).await > 0 {
        let (ends, replies): (Vec<End>, Vec<_>) = batch.drain(..).unzip();
        let ends = Arc::new(ends);
        match write(&journal, ends.to_vec()).await {
            Ok(ended) => {
                for (reply, ended) in replies.into_iter().zip(ended) {
                    reply.send(ended).ok();
                }
            }
            // One end that cannot be recorded must not fail the others, so each is written by itself.
            Err(_) => {
                for (end, reply) in ends.iter().zip(replies) {
                    match write(&journal, vec![end.clone()]).await {
                        Ok(mut ended) => {
                            ended.pop().map(|ended| reply.send(ended));
                        }
                        Err(error) => refused(&journal, end.lease.clone(), &error),
                    }
                }
            }
        }
    }
}

/// Writes until it succeeds or the store refuses.
async fn write(journal: &Journal, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
    let mut wait = FIRST_WAIT;
    loop {
        match journal.finish(ends.clone()).await {
            Err(error) if error.is_retryable() => {
                tracing::debug!(error = %error, ends = ends.len(), "results of attempts cannot be stored now; trying again");
            }
            result => return result,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_WAIT);
    }
}

fn refused(journal: &Journal, lease: Lease, error: &Error) {
    tracing::error!(error = %error, task = %lease.task(), "the result of an attempt cannot be stored; the work will be repeated");
    let journal = journal.clone();
    tokio::spawn(async move {
        tokio::time::sleep(AFTER_REFUSAL).await;
        journal.abandon(&lease);
    });
}
