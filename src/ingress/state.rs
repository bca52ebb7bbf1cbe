//! All that the webhook's handler has access to.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::budget::MemoryBudget;
use super::rejected_requests::{RejectedKeeper, RejectedRequests};
use crate::config::OnStale;
use crate::domain::Clock;
use crate::journal::{Bounds, Journal};
use crate::lifecycle::{Readiness, TaskGroup};
use crate::metrics::Metrics;
use crate::signature::Secrets;
use crate::traces::Traces;

/// The webhook handler's state. Cheap to clone.
#[derive(Clone)]
pub struct State {
    pub(super) parts: Arc<Parts>,
    pub(super) rejected_requests: RejectedRequests,
    pub(super) budget: MemoryBudget,
}

/// The components of the state.
pub struct Parts {
    /// The signing secrets that are valid now; replaced on reload.
    pub secrets: Arc<ArcSwap<Secrets>>,
    /// Stores notifications.
    pub journal: Journal,
    /// Limits and rules.
    pub settings: Settings,
    /// The time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
    /// Set to unready while the store fails.
    pub readiness: Readiness,
    /// Opens the spans of requests.
    pub traces: Traces,
    /// The tasks that store notifications. They run on when the sender has disconnected.
    pub tasks: TaskGroup,
}

/// Limits and rules of the webhook.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
    /// Longest time for a body.
    pub body_timeout: Duration,
    /// The largest difference allowed between `generated-at` and the present time.
    pub tolerance: Duration,
    /// What happens to a notification outside the tolerance.
    pub on_stale: OnStale,
    /// The most bytes of request bodies in memory at once.
    pub max_buffered_bytes: usize,
    /// Limits on the stored requests that match no secret.
    pub rejected: Bounds,
}

impl State {
    /// The state, and the task that stores rejected requests.
    pub fn new(parts: Parts) -> (Self, RejectedKeeper) {
        let (rejected_requests, keeper) = RejectedRequests::new(parts.settings.rejected);
        let budget = MemoryBudget::new(parts.settings.max_buffered_bytes);
        let state = Self {
            parts: Arc::new(parts),
            rejected_requests,
            budget,
        };
        (state, keeper)
    }
}

impl Deref for State {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
