//! The listener for operators: metrics, health, and the journal seen from the side.
//!
//! Reads and replays; never on the way of a notification.

mod auth;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;

use crate::domain::Clock;
use crate::journal::Journal;
use crate::lifecycle::Readiness;
use crate::metrics::Metrics;

pub use auth::{Caller, Tokens};

/// What the admin's handlers may reach. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// The events.
    pub journal: Journal,
    /// Counters, rendered for `/metrics`.
    pub metrics: Metrics,
    /// What `/readyz` reports.
    pub readiness: Readiness,
    /// The time.
    pub clock: Clock,
    /// Who may call; swapped on reload.
    pub tokens: Arc<ArcSwap<Tokens>>,
    /// Names of the configured sinks.
    pub sinks: Arc<[String]>,
}

/// The routes of the admin listener.
pub fn router(state: State) -> Router {
    crate::lifecycle::health_routes(state.readiness.clone())
}
