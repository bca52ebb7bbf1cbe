//! Writing down how work ended. What ends while one write is under way is gathered and written together, so a store is
//! asked once for many, and a single end waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::journal::{End, Ended, Error, Journal, Lease};
use crate::lifecycle::TaskGroup;

/// Most ends in one write.
const BATCH: usize = 64;
/// Ends that wait for their write; whoever has more waits.
const QUEUE: usize = 1024;
/// Waits between two tries while the store is down: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(2);
/// When work is given back whose end the store will not write: not at once, since it was done, and will be done again.
const AFTER_REFUSAL: Duration = Duration::from_secs(300);

/// Where ends are handed in. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ends {
    queue: mpsc::Sender<(End, oneshot::Sender<Ended>)>,
}

impl Ends {
    /// Starts the task that writes in `tasks`. It ends when nobody can hand in any more.
    pub(super) fn spawn(journal: Journal, tasks: &TaskGroup) -> Self {
        let (queue, queued) = mpsc::channel(QUEUE);
        tasks.spawn("results", run(journal, queued));
        Self { queue }
    }

    /// Waits until an end is written down, however long the store is down. `None` when it never will be.
    pub(super) async fn write(&self, end: End) -> Option<Ended> {
        let (tell, told) = oneshot::channel();
        self.queue.send((end, tell)).await.ok()?;
        told.await.ok()
    }
}

async fn run(journal: Journal, mut queued: mpsc::Receiver<(End, oneshot::Sender<Ended>)>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queued.recv_many(&mut batch, BATCH).await > 0 {
        let (ends, tell): (Vec<End>, Vec<_>) = batch.drain(..).unzip();
        let ends = Arc::new(ends);
        match write(&journal, ends.to_vec()).await {
            Ok(ended) => {
                for (tell, ended) in tell.into_iter().zip(ended) {
                    tell.send(ended).ok();
                }
            }
            // One that cannot be written must not take the others with it.
            Err(_) => {
                for (end, tell) in ends.iter().zip(tell) {
                    match write(&journal, vec![end.clone()]).await {
                        Ok(mut ended) => {
                            ended.pop().map(|ended| tell.send(ended));
                        }
                        Err(error) => refused(&journal, end.lease.clone(), &error),
                    }
                }
            }
        }
    }
}

/// Tries until it is written, or will never be.
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
