//! The tasks of one part of the service, and the end of them: asked to stop, waited for, named while they are late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// How often a wait says who is still busy.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Named tasks that stop together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskGroup {
    what: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
    running: Running,
}

/// How many tasks of each name run.
type Running = Arc<Mutex<BTreeMap<&'static str, usize>>>;

impl TaskGroup {
    /// An empty group, named after the part that it belongs to.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            running: Arc::default(),
        }
    }

    /// Starts a task of the group. It must end soon after [`TaskGroup::stopping`] does.
    ///
    /// The task goes on when nobody waits for its result any more.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let counted = Counted::new(name, &self.running);
        self.tasks.spawn(async move {
            let _counted = counted;
            task.await
        })
    }

    /// What the group waits for as for a task, and names among those that are busy, until it is dropped.
    pub(super) fn member(&self, name: &'static str) -> Member {
        Member {
            _token: self.tasks.token(),
            _counted: Counted::new(name, &self.running),
        }
    }

    /// Starts a task of the group that ends as soon as the group is asked to stop, wherever it waits then.
    pub fn spawn_until_stopped(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let group = self.clone();
        self.spawn(name, async move {
            tokio::select! {
                () = task => {}
                () = group.stopping() => {}
            }
        });
    }

    /// Asks the tasks to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether they were asked to.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends when they are asked to.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until all have ended, or `deadline`. Says every few seconds who is still busy; `false` if some still are.
    pub async fn finished(&self, deadline: Instant) -> bool {
        self.tasks.close();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(left.min(SAY_EVERY), self.tasks.wait())
                .await
                .is_ok()
            {
                return true;
            }
            let busy = self.busy();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!(
                    part = self.what,
                    busy,
                    "not finished in time; leaving it to the next start"
                );
                return false;
            }
            tracing::info!(
                part = self.what,
                busy,
                seconds_left = left.as_secs(),
                "waiting for work to finish"
            );
        }
    }

    /// Who is busy, with how many of each.
    fn busy(&self) -> String {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, count)| format!("{name} x{count}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Part of a group without being a task.
pub(super) struct Member {
    _token: TaskTrackerToken,
    _counted: Counted,
}

/// Counts a task while it runs. One that ends by a panic has ended as well.
struct Counted {
    name: &'static str,
    running: Running,
}

impl Counted {
    fn new(name: &'static str, running: &Running) -> Self {
        let running = Arc::clone(running);
        let mut counts = running.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(name).or_default() += 1;
        drop(counts);
        Self { name, running }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(self.name) {
            *count -= 1;
        }
    }
}
