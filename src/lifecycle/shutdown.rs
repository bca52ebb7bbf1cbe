//! The tasks of one part of the service, and the end of them: asked to stop, waited for, named while they are late.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a wait says who is still busy.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Named tasks that stop together. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Shutdown {
    what: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
    names: Arc<Mutex<Vec<&'static str>>>,
}

impl Shutdown {
    /// An empty group, named after the part that it belongs to.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            names: Arc::default(),
        }
    }

    /// Starts a task of the group. It must end soon after [`Shutdown::stopping`] does.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let names = Arc::clone(&self.names);
        names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name);
        let guard = Named { name, names };
        self.tasks.spawn(async move {
            let _guard = guard;
            task.await;
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
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        for name in names.iter() {
            *counts.entry(name).or_default() += 1;
        }
        counts
            .iter()
            .map(|(name, count)| format!("{name} x{count}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Takes a task's name off the list when the task ends, by a panic as well.
struct Named {
    name: &'static str,
    names: Arc<Mutex<Vec<&'static str>>>,
}

impl Drop for Named {
    fn drop(&mut self) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = names.iter().position(|name| *name == self.name) {
            names.swap_remove(at);
        }
    }
}
