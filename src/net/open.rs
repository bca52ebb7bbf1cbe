//! The open connections of a listener. There are never more than the limit; at the limit, the connection that has been
//! idle for the longest time is closed to make room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::activity::Activity;
use crate::metrics::Metrics;

/// The time within which an evicted connection must close before the next one is evicted.
const PATIENCE: Duration = Duration::from_millis(200);

/// The open connections of a listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct OpenConnections {
    permits: Arc<Semaphore>,
    activities: Arc<Mutex<HashMap<u64, Arc<Activity>>>>,
    next: Arc<AtomicU64>,
    metrics: Option<Metrics>,
}

/// One open connection. Dropping it makes room for another.
pub(super) struct Open {
    pub(super) activity: Arc<Activity>,
    number: u64,
    connections: OpenConnections,
    _permit: OwnedSemaphorePermit,
}

impl OpenConnections {
    pub(super) fn new(most: usize, metrics: Option<Metrics>) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(most)),
            activities: Arc::default(),
            next: Arc::default(),
            metrics,
        }
    }

    /// Registers one more connection. At the limit this closes idle connections, and waits while none is idle.
    pub(super) async fn open(&self) -> Open {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.make_room().await,
        };
        let activity = Activity::new();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(number, Arc::clone(&activity));
        if let Some(metrics) = &self.metrics {
            metrics.connection(1.0);
        }
        Open {
            activity,
            number,
            connections: self.clone(),
            _permit: permit,
        }
    }

    async fn make_room(&self) -> OwnedSemaphorePermit {
        if let Some(metrics) = &self.metrics {
            metrics.connections_full();
        }
        tracing::warn!(
            "all connections that server.max_connections allows are open; the longest idle one is closed, and where none is idle new ones wait"
        );
        loop {
            self.evict_longest_idle();
            let permit = Arc::clone(&self.permits).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(PATIENCE, permit).await {
                return permit.expect("the semaphore is never closed");
            }
        }
    }

    /// Evicts the connection that has been idle for the longest time, except those that were already asked to close.
    fn evict_longest_idle(&self) {
        let open = self.lock();
        let longest = open
            .values()
            .filter(|activity| !activity.is_evicted())
            .filter_map(|activity| Some((activity.idle_since()?, activity)))
            .min_by_key(|(idle_since, _)| *idle_since);
        if let Some((_, activity)) = longest {
            activity.evict();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Activity>>> {
        self.activities
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.number);
        if let Some(metrics) = &self.connections.metrics {
            metrics.connection(-1.0);
        }
    }
}
