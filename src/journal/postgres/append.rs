//! The intake queue: queued events are taken as a batch, stored by one statement, and answered after its commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use uuid::Uuid;

use super::error::{class, within};
use super::insert;
use super::pool::Pool;
use crate::domain::EventId;
use crate::journal::record::NewContent;
use crate::journal::{Appended, Error, Kept, NewEvent};
use crate::lifecycle::TaskGroup;
use crate::metrics::Metrics;

/// The most events of one batch, and about the most bytes of their bodies: a statement has to fit into the server's
/// memory.
const BATCH: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// The number of concurrent batches, each on a connection of its own.
pub(super) const AT_ONCE: u32 = 2;
/// How long the next batch waits for the one under way. It fills up meanwhile, and few large batches cost the server
/// less than many small ones. A batch that takes longer, because of a lock or a slow disk, holds up no other.
const BESIDE: Duration = Duration::from_millis(5);
/// The shortest time limit of a batch, if its callers wait for less.
const LEAST_DEADLINE: Duration = Duration::from_secs(5);

/// A queued event, with the channel for its result.
struct Queued {
    event: Arc<NewEvent>,
    hold: bool,
    reply: Reply,
}

/// The channel on which a caller gets the result of its append.
type Reply = oneshot::Sender<Result<Kept, Error>>;

/// The sending end of the queue. The task behind it ends when this is dropped and the queue is empty.
pub(super) struct Intake {
    queue: mpsc::Sender<Queued>,
}

/// What the batches share.
struct Batches {
    pool: Pool,
    deadline: Duration,
    metrics: Metrics,
    kept: watch::Sender<Option<EventId>>,
    owner: Uuid,
}

impl Intake {
    /// Starts the task in `tasks`. At most `queue` events wait, each for at most `deadline`. The pool must have
    /// [`AT_ONCE`] connections and serve only the intake, so that appends go on whatever else is asked of the database.
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
        let (reply, answer) = oneshot::channel();
        self.queue
            .try_send(Queued { event, hold, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Error::Overloaded,
                mpsc::error::TrySendError::Closed(_) => Error::Closed,
            })?;
        answer
            .await
            .map_err(|_| Error::NotCommitted("the write was dropped before it was answered"))?
    }
}

async fn run(batches: Arc<Batches>, mut queued: mpsc::Receiver<Queued>, tasks: &TaskGroup) {
    let room = Arc::new(Semaphore::new(AT_ONCE as usize));
    while let Some(first) = queued.recv().await {
        // Events that arrive while a batch is under way make the next one larger.
        let none_under_way = room.acquire_many(AT_ONCE);
        tokio::time::timeout(BESIDE, none_under_way).await.ok();
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

/// The queued events, in order, up to the limits of one batch.
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
        // Drop events whose callers have given up; those callers have answered that nothing was stored.
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
                // The commit hangs, and the idle connections most likely do as well. Close them, so that the next batch
                // does not wait for them.
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
            // One event that cannot be stored must not fail the others, so each is stored by itself.
            Err(error) if size > 1 && (!error.is_outage() || class(&error) == Some("40")) => {
                for (event, reply) in events.iter().zip(replies) {
                    let kept = self.keep(std::slice::from_ref(event)).await;
                    self.answer(reply, kept.map(|mut kept| kept.remove(0)));
                }
            }
            Err(error) => {
                tracing::error!(error = %error, writes = size, "the store could not commit");
                for reply in replies {
                    self.answer(reply, Err(error.clone()));
                }
            }
        }
    }

    /// Stores events and returns one result for each.
    async fn keep(&self, events: &[(Arc<NewEvent>, bool)]) -> Result<Vec<Kept>, Error> {
        let lent = within(self.deadline, self.pool.lend()).await?;
        let kept = within(self.deadline, insert::batch(&*lent, self.owner, events)).await;
        lent.settle(kept)
    }

    /// Sends a result to its caller. An event that this instance does not work on is announced to the other instances.
    fn answer(&self, reply: Reply, kept: Result<Kept, Error>) {
        if let Ok(Kept {
            appended: Appended::New(id),
            lease: None,
            ..
        }) = kept
        {
            self.kept.send_replace(Some(id));
        }
        // The caller may have stopped waiting; what is committed stays committed.
        reply.send(kept).ok();
    }
}

/// Completes when no caller waits for an answer any more.
async fn all_gone(replies: &mut [Reply]) {
    for reply in replies {
        reply.closed().await;
    }
}
