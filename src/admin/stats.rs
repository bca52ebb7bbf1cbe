//! `GET /api/v1/stats`: how many events stand where, and whether all is well.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::State;
use super::error::Error;
use crate::domain::{EventState, ExpectedState};
use crate::journal::Stats;

/// `GET /stats`.
pub(super) async fn show(Shared(state): Shared<State>) -> Result<Json<Value>, Error> {
    let stats = state.journal.stats().await?;
    let events: Map<String, Value> = EventState::ALL
        .iter()
        .map(|state| (state.as_str().to_owned(), stats.count(*state).into()))
        .collect();
    let expected = state.journal.expected_stats().await?;
    let sessions: Map<String, Value> = ExpectedState::ALL
        .iter()
        .map(|state| (state.as_str().to_owned(), expected.count(*state).into()))
        .collect();
    let report = state.readiness.report();
    Ok(Json(json!({
        "events": events,
        "sessions": sessions,
        "total": stats.total(),
        "refused_kept": stats.rejected,
        "oldest_pending_seconds": oldest_pending(&stats, state.clock.now()).as_secs_f64(),
        "ready": {"status": report.word(), "failing": report.failing, "notes": report.notes},
        "version": env!("CARGO_PKG_VERSION"),
    })))
}

/// How long the oldest event in progress has been waiting; zero where there is none.
pub(super) fn oldest_pending(stats: &Stats, now: Timestamp) -> Duration {
    stats
        .oldest_pending
        .and_then(|since| Duration::try_from(now.duration_since(since)).ok())
        .unwrap_or_default()
}
