//! `GET /api/v1/stats`: how many events stand where, whether all is well, and the last day by minute.

use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::error::Error;
use super::{State, filter};
use crate::domain::{EventState, ExpectedState, Outcome};
use crate::journal::Stats;
use crate::metrics::{Answer, Minute, Times};

/// `GET /stats`.
pub(super) async fn show(Shared(state): Shared<State>) -> Result<Json<Value>, Error> {
    let stats = state.journal.stats().await?;
    let expected = state.journal.expected_stats().await?;
    let sessions: Map<String, Value> = ExpectedState::ALL
        .iter()
        .map(|state| (state.as_str().to_owned(), expected.count(*state).into()))
        .collect();
    let report = state.readiness.report();
    Ok(Json(json!({
        "events": by_state(&stats),
        "sessions": sessions,
        "total": stats.total(),
        "refused_kept": stats.rejected,
        "oldest_pending_seconds": oldest_pending(&stats, state.clock.now()).as_secs_f64(),
        "ready": {"status": report.word(), "failing": report.failing, "notes": report.notes},
        "version": env!("CARGO_PKG_VERSION"),
    })))
}

/// How many events stand where, and how old the oldest one in progress is.
pub(super) async fn events(state: &State) -> Result<Value, Error> {
    let stats = state.journal.stats().await?;
    Ok(json!({
        "events": by_state(&stats),
        "total": stats.total(),
        "refused_kept": stats.rejected,
        "oldest_pending_seconds": oldest_pending(&stats, state.clock.now()).as_secs_f64(),
    }))
}

fn by_state(stats: &Stats) -> Map<String, Value> {
    let states = EventState::ALL.iter();
    states
        .map(|state| (state.as_str().to_owned(), stats.count(*state).into()))
        .collect()
}

/// `GET /stats/history`: the last day of this instance by minute.
pub(super) async fn history(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Error> {
    let most = filter::minutes(query.as_deref()).map_err(Error::BadRequest)?;
    let minutes = state.metrics.history(most);
    let minutes: Vec<Value> = minutes
        .iter()
        .map(|(at, minute)| of_minute(*at, minute))
        .collect();
    Ok(Json(json!({"minutes": minutes})))
}

fn of_minute(at: Timestamp, minute: &Minute) -> Value {
    let counts = |words: &[&str], counts: &[u32]| -> Map<String, Value> {
        let counts = words.iter().zip(counts);
        counts
            .map(|(word, count)| ((*word).to_owned(), (*count).into()))
            .collect()
    };
    let times = |times: Option<Times>| {
        times.map(|times| {
            let millis = |time: Duration| time.as_secs_f64() * 1000.0;
            json!({"p50": millis(times.p50), "p99": millis(times.p99)})
        })
    };
    json!({
        "at": at.to_string(),
        "answers": counts(&Answer::ALL.map(Answer::as_str), &minute.answers),
        "outcomes": counts(&Outcome::ALL.map(Outcome::as_str), &minute.outcomes),
        "done": minute.done,
        "dead": minute.dead,
        "ack_ms": times(minute.ack),
        "end_to_end_ms": times(minute.end_to_end),
    })
}

/// How long the oldest event in progress has been waiting; zero where there is none.
pub(super) fn oldest_pending(stats: &Stats, now: Timestamp) -> Duration {
    stats
        .oldest_pending
        .and_then(|since| Duration::try_from(now.duration_since(since)).ok())
        .unwrap_or_default()
}
