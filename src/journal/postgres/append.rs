//! The intake: what is queued is taken together, kept by one statement, and answered after its commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use uuid::Uuid;

use super::error::{again, class, within};
use super::insert;
use super::pool::Pool;
use crate::domain::EventId;
use crate::journal::record::NewContent;
use crate::journal::{Appended, Error, Kept, NewEvent};
use crate::lifecycle::TaskGroup;
use crate::metrics::Metrics;

/// Most events of one batch, and about the most bytes of their bodies: a statement has to fit into the server's memory.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// Batches under way at once, each on a connection of its own: while one waits for the disk the next one is on its way.
pub(super) const AT_ONCE: usize = 2;
/// Shortest limit on one batch's time, should its callers wait for less.
const LEAST_DEADLINE: Duration = Duration::from_secs(5);

/// An event that waits, and whom to tell.
struct Queued {
    event: Arc<NewEvent>,
    hold: bool,
    reply: Reply,
}

/// Whom to tell.
type Reply = oneshot::Sender<Result<Kept, Error>>;

/// The queue's entrance. The task behind it ends when this is dropped and the queue is empty.
pub(super) struct Intake {
    queue: mpsc::Sender<Queued>,
}

/// What a batch needs.
struct Batches {
    pool: Pool,
    deadline: Duration,
    metrics: Metrics,
    kept: watch::Sender<Option<EventId>>,
    owner: Uuid,
}

impl Intake {
    /// Starts the task in `tasks`. At most `queue` events wait, each for at most `deadline`. The pool is to have
    /// [`AT_ONCE`] connections, and to be the intake's own: whatever else is asked of the database, this goes on.
    pub(super) fn spawn(
        pool: Pool,
        queue: usize,
        deadline: Duration,
        metrics: Metrics,
        (kept, owner): (watch::Sender<Option<EventId>>, Uuid),
        tasks: &TaskGroup,
    ) -> Self {
        let (sender, queued) = mpsc::channel(queue);
        let batches = Arc::new(Batches {
            pool,
            deadline: deadline.max(LEAST_DEADLINE),
            metrics,
            kept,
            owner,
        });
        let group = tasks.clone();
        tasks.spawn("journal intake", async move {
            run(batches, queued, &group).await;
        });
        Self { queue: sender }
    }

    /// Queues an event if there is room, and waits for its commit.
    pub(super) async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error> {
        let (reply, told) = oneshot::channel();
        self.queue
            .try_send(Queued { event, hold, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::Overloaded,
                mpsc::error::TrySendError::Closed(_) => Error::Closed,
            })?;
        told.await
            .map_err(|_| Error::Commit("the write was dropped before it was answered".to_owned()))?
    }
}

async fn run(batches: Arc<Batches>, mut queued: mpsc::Receiver<Queued>, tasks: &TaskGroup) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(first) = queued.recv().await {
        // What comes while all batches are under way makes the next one larger.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let batch = fill(first, &mut queued);
        let batches = Arc::clone(&batches);
        tasks.spawn("journal batch", async move {
            batches.commit(batch).await;
            drop(permit);
        });
    }
}

/// What is queued, in its order, as much as one batch may hold.
fn fill(first: Queued, queued: &mut mpsc::Receiver<Queued>) -> Vec<Queued> {
    let mut bytes = size(&first.event);
    let mut batch = vec![first];
    while batch.len() < BATCH && bytes < BATCH_BYTES {
        let Ok(next) = queued.try_recv() else { break };
        bytes += size(&next.event);
        batch.push(next);
    }
    batch
}

fn size(event: &NewEvent) -> usize {
    match &event.content {
        NewContent::Notification(notification) => notification.body.len(),
        NewContent::Malformed { body, .. } => body.len(),
    }
}

impl Batches {
    async fn commit(&self, mut batch: Vec<Queued>) {
        // Nobody waits for these any more; they were answered as not kept.
        batch.retain(|queued| !queued.reply.is_closed());
        if batch.is_empty() {
            return;
        }
        let start = Instant::now();
        let size = batch.len();
        let (events, mut replies): (Vec<_>, Vec<Reply>) = batch
            .into_iter()
            .map(|queued| ((queued.event, queued.hold), queued.reply))
            .unzip();
        let kept = tokio::select! {
            kept = self.keep(&events) => kept,
            () = all_gone(&mut replies) => {
                // It hangs, and most likely so do the connections beside it. What comes next is not to wait for them.
                self.pool.close_idle();
                return;
            }
        };
        match kept {
            Ok(kept) => {
                self.metrics.journal_commit(size, start.elapsed());
                for (reply, appended) in replies.into_iter().zip(kept) {
                    self.answer(reply, Ok(appended));
                }
            }
            // One that cannot be kept must not take the others with it.
            Err(error) if size > 1 && (!error.is_outage() || class(&error) == Some("40")) => {
                for (event, reply) in events.iter().zip(replies) {
                    let kept = self.keep(std::slice::from_ref(event)).await;
                    self.answer(reply, kept.map(|mut kept| kept.remove(0)));
                }
            }
            Err(error) => {
                tracing::error!(error = %error, writes = size, "the store could not commit");
                for reply in replies {
                    self.answer(reply, Err(again(&error)));
                }
            }
        }
    }

    /// As many results as events.
    async fn keep(&self, events: &[(Arc<NewEvent>, bool)]) -> Result<Vec<Kept>, Error> {
        let lent = within(self.deadline, self.pool.lend()).await?;
        let kept = within(self.deadline, insert::batch(&*lent, self.owner, events)).await;
        lent.settle(kept)
    }

    /// Other instances are told of what this one does not hold.
    fn answer(&self, reply: Reply, kept: Result<Kept, Error>) {
        if let Ok(Kept {
            appended: Appended::New(id),
            lease: None,
            ..
        }) = kept
        {
            self.kept.send_replace(Some(id));
        }
        // The caller may have given up waiting; what is committed stays committed.
        reply.send(kept).ok();
    }
}

/// Ends when nobody waits for an answer any more.
async fn all_gone(replies: &mut [Reply]) {
    for reply in replies {
        reply.closed().await;
    }
}
