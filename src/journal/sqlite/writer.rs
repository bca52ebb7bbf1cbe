//! The only writing thread: takes the queued writes, runs them in one transaction, commits once, then replies.
//!
//! While one batch is being synced, the next one queues up. So one fsync serves many writes under load, and a single
//! write waits for no others.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot};

use super::counts::Tx;
use super::damage::DamageFlag;
use super::files::OpenFiles;
use super::lock::WriteLock;
use crate::journal::Error;
use crate::metrics::Metrics;

/// The most writes in one transaction.
const BATCH: usize = 512;
/// The most queued writes other than appends; further ones wait for a slot.
const OTHERS: usize = 1024;

/// Tells the caller the result of its write, after the commit.
type Reply = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// One write: runs on the connection, and returns the reply to send after the commit.
type Job = Box<dyn FnOnce(&Tx<'_>) -> Reply + Send>;

/// The handle of the writing thread. Appends have their own slots in the queue, so the worker's writes never cause a
/// notification to be refused.
pub(super) struct Writer {
    queue: mpsc::UnboundedSender<Queued>,
    appends: Arc<Semaphore>,
    others: Arc<Semaphore>,
    damage: DamageFlag,
}

/// A job, with its slot in the queue until it runs. The slots bound the queue, although its channel is unbounded.
struct Queued {
    job: Job,
    room: OwnedSemaphorePermit,
}

/// How a write is isolated from the others of its batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Atomicity {
    /// A write that undoes itself when it fails.
    Single,
    /// Several statements in a savepoint, which are rolled back together when one fails.
    Several,
}

impl Writer {
    /// Starts the thread on its connection. At most `appends` calls of [`Writer::append`] are queued at once. The
    /// thread ends when the writer is dropped and the queue is empty.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn spawn(
        connection: Connection,
        write_lock: WriteLock,
        appends: usize,
        (damage, files): (DamageFlag, OpenFiles),
        metrics: Metrics,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, queued) = mpsc::unbounded_channel();
        let committer = Committer {
            connection,
            write_lock,
            files,
            runtime: Handle::current(),
        };
        let thread = std::thread::Builder::new()
            .name("journal-writer".to_owned())
            .spawn(move || committer.run(queued, &metrics))?;
        let writer = Self {
            queue,
            appends: Arc::new(Semaphore::new(appends.min(Semaphore::MAX_PERMITS))),
            others: Arc::new(Semaphore::new(OTHERS)),
            damage,
        };
        Ok((writer, thread))
    }

    /// Queues an append if there is a slot, and waits for its commit.
    pub(super) async fn append<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let room = Arc::clone(&self.appends)
            .try_acquire_owned()
            .map_err(|error| match error {
                TryAcquireError::NoPermits => Error::Overloaded,
                TryAcquireError::Closed => Error::Closed,
            })?;
        self.run(room, Atomicity::Single, job).await
    }

    /// Waits for a slot, queues a write and waits for its commit.
    pub(super) async fn write<T, F>(&self, job: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let room = Arc::clone(&self.others).acquire_owned().await;
        let room = room.map_err(|_: AcquireError| Error::Closed)?;
        self.run(room, Atomicity::Several, job).await
    }

    async fn run<T, F>(
        &self,
        room: OwnedSemaphorePermit,
        atomicity: Atomicity,
        job: F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        let (job, reply) = package(atomicity, job);
        let queued = Queued { job, room };
        self.queue.send(queued).map_err(|_| Error::Closed)?;
        self.damage.watch(reply.await.map_err(|_| dropped())?)
    }
}

fn package<T, F>(atomicity: Atomicity, job: F) -> (Job, oneshot::Receiver<Result<T, Error>>)
where
    T: Send + 'static,
    F: FnOnce(&Tx<'_>) -> Result<T, Error> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |tx| {
        let result = match atomicity {
            Atomicity::Single => job(tx),
            Atomicity::Several => tx.in_savepoint(|| job(tx)),
        };
        Box::new(move |committed| {
            // The caller may have stopped waiting; what is committed stays committed.
            reply
                .send(result.and_then(|value| committed.map(|()| value)))
                .ok();
        })
    });
    (job, answer)
}

/// The state of the writing thread.
struct Committer {
    connection: Connection,
    write_lock: WriteLock,
    files: OpenFiles,
    runtime: Handle,
}

impl Committer {
    fn run(self, mut queued: mpsc::UnboundedReceiver<Queued>, metrics: &Metrics) {
        let mut batch = Vec::with_capacity(BATCH);
        while queued.blocking_recv_many(&mut batch, BATCH) > 0 {
            let (size, start) = (batch.len(), Instant::now());
            self.commit(&mut batch);
            metrics.journal_commit(size, start.elapsed());
        }
        self.files.before_close(&self.connection);
    }

    /// Runs a batch in one transaction and replies to every job, whatever happens.
    fn commit(&self, batch: &mut Vec<Queued>) {
        let mut replies: Vec<Reply> = Vec::with_capacity(batch.len());
        let committed = self.transaction(batch, &mut replies);
        if committed.is_err()
            && !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = %error, "the store could not roll back");
        }
        if let Err(error) = &committed
            && !matches!(error, Error::Replaced { .. })
        {
            tracing::error!(error = %error, writes = replies.len(), "the store could not commit");
        }
        // A job that never ran is dropped without a reply; its caller then gets an error from `dropped`.
        batch.clear();
        let committed = committed.map_err(|error| Error::RolledBack(Arc::new(error)));
        // The runtime wakes tasks at less cost from within than from this thread, which goes on with the next batch.
        self.runtime.spawn(async move {
            for reply in replies {
                reply(committed.clone());
            }
        });
    }

    fn transaction(&self, batch: &mut Vec<Queued>, replies: &mut Vec<Reply>) -> Result<(), Error> {
        let connection = &self.connection;
        let _guard = self.write_lock.take()?;
        self.files.check()?;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let tx = Tx::new(connection);
        for Queued { job, room } in batch.drain(..) {
            drop(room);
            let reply = std::panic::catch_unwind(AssertUnwindSafe(|| job(&tx)));
            // The whole batch is rolled back, because it is unknown what a job that panicked left behind.
            replies.push(reply.map_err(|_| Error::NotCommitted("a write panicked"))?);
            // After a full disk or an I/O error SQLite rolls the whole transaction back. Later statements would then
            // commit one by one, and earlier ones would be reported as committed.
            if connection.is_autocommit() {
                return Err(Error::NotCommitted(
                    "the transaction was rolled back by an I/O error or a full disk",
                ));
            }
        }
        tx.write_counts()?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        // A commit to a file that no later start will open is not durable.
        self.files.check()
    }
}

fn dropped() -> Error {
    Error::NotCommitted("the write was dropped before it ran")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn other_writes_take_no_room_from_appends_and_appends_beyond_theirs_fail_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        let connection = super::super::open::connect(&path).expect("a file");
        let write_lock = WriteLock::of(&path).expect("a turn");
        let (writer, thread) = Writer::spawn(
            connection,
            write_lock,
            1,
            (DamageFlag::none(&path), OpenFiles::none()),
            Metrics::new(),
        )
        .expect("a thread");
        let writer = Arc::new(writer);

        // The thread is blocked, and more writes are queued behind it than there are slots for others.
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let (reply, answer) = oneshot::channel();
        let mut writes = tokio::task::JoinSet::new();
        let first = Arc::clone(&writer);
        writes.spawn(async move {
            let standing = move |_: &Tx<'_>| {
                reply.send(()).ok();
                wait.recv().ok();
                Ok(())
            };
            first.write(standing).await
        });
        answer.await.expect("it stands");
        for _ in 0..OTHERS + 10 {
            let writer = Arc::clone(&writer);
            writes.spawn(async move { writer.write(|_| Ok(())).await });
        }
        while writer.others.available_permits() > 0 {
            tokio::task::yield_now().await;
        }

        let taken = tokio::join!(writer.append(|_| Ok(1)), writer.append(|_| Ok(2)), async {
            go_on.send(()).expect("it stands");
        });
        assert_eq!(taken.0.expect("room for one"), 1);
        assert!(matches!(taken.1, Err(Error::Overloaded)));
        for written in writes.join_all().await {
            written.expect("all others");
        }
        drop(writer);
        thread.join().expect("it ends");
    }
}
