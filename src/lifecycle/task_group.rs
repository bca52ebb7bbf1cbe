//! The tasks of one part of the service. A group asks its tasks to stop, waits for them, and logs which are still busy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The interval at which a wait logs the tasks that are still busy.
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
    /// The task goes on when its handle is dropped.
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

    /// Makes the group wait for this as for a task, and list it among the busy tasks, until it is dropped.
    pub(super) fn member(&self, name: &'static str) -> Member {
        Member {
            _token: self.tasks.token(),
            _counted: Counted::new(name, &self.running),
        }
    }

    /// Starts a task of the group that is dropped at its next await point when the group is asked to stop.
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

    /// Whether the tasks were asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until the tasks are asked to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Waits until all tasks have ended, at most until `deadline`. Logs the busy tasks every few seconds. `false` if
    /// some are still busy.
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

    /// The names of the busy tasks, with the number of each.
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

/// Counts a task while it runs, and stops counting when it ends, also by a panic.
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
