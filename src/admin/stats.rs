//! `GET /api/v1/stats`: the numbers of events and sessions by state, the health of the service, and the last day by
//! minute.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Error;
use super::openapi::answers::{BadRequest, StoreFailed};
use super::{State, filter};
use crate::domain::{EventState, ExpectedState, Outcome};
use crate::journal;
use crate::metrics::{self, Answer};
use crate::net::Health;

/// The numbers of events by state.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventCounts {
    /// Events by their state.
    #[schema(value_type = BTreeMap<String, u64>)]
    events: BTreeMap<&'static str, u64>,
    /// The age of the oldest event in progress; zero if there is none.
    oldest_pending_seconds: f64,
    /// Requests that were refused and are kept to be verified again.
    refused_kept: u64,
    /// All events.
    total: u64,
}

/// The numbers of events and sessions by state, and the health of the service.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    #[serde(flatten)]
    counts: EventCounts,
    ready: Health,
    /// Expected sessions by their state.
    #[schema(value_type = BTreeMap<String, u64>)]
    sessions: BTreeMap<&'static str, u64>,
    /// The version of the service.
    version: &'static str,
}

/// The figures of the last minutes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct History {
    /// The oldest first; the last one is the current minute.
    minutes: Vec<Minute>,
}

/// The figures of one minute.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Minute {
    /// The time from a notification to its answer, in milliseconds; null if there was none.
    ack_ms: Option<Times>,
    /// Notifications by their answer.
    #[schema(value_type = BTreeMap<String, u32>)]
    answers: BTreeMap<&'static str, u32>,
    /// When the minute began.
    #[schema(format = DateTime)]
    at: String,
    /// Events that were given up.
    dead: u32,
    /// Events that are done: every sink has them.
    done: u32,
    /// The time from receipt to the last delivery, in milliseconds; null if no event was done.
    end_to_end_ms: Option<Times>,
    /// Sessions by how they ended.
    #[schema(value_type = BTreeMap<String, u32>)]
    outcomes: BTreeMap<&'static str, u32>,
}

/// The median and the 99th percentile, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Times {
    p50: f64,
    p99: f64,
}

/// Show the state of the service.
///
/// The numbers of events and sessions by state, the age of the oldest event in progress, and the health of the service.
#[utoipa::path(
    get, path = "/stats", tag = "operations", operation_id = "show_stats",
    responses((status = 200, description = "The counts.", body = Stats), StoreFailed),
)]
pub(super) async fn show(Shared(state): Shared<State>) -> Result<Json<Stats>, Error> {
    let counts = events(&state).await?;
    let expected = state.records().expected_stats().await?;
    let sessions = ExpectedState::ALL.iter();
    Ok(Json(Stats {
        counts,
        ready: Health::from(state.readiness.report()),
        sessions: sessions
            .map(|state| (state.as_str(), expected.count(*state)))
            .collect(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// The numbers of events by state, and the age of the oldest one in progress.
pub(super) async fn events(state: &State) -> Result<EventCounts, Error> {
    let stats = state.records().stats().await?;
    let states = EventState::ALL.iter();
    Ok(EventCounts {
        events: states
            .map(|state| (state.as_str(), stats.count(*state)))
            .collect(),
        oldest_pending_seconds: oldest_pending(&stats, state.clock.now()).as_secs_f64(),
        refused_kept: stats.rejected,
        total: stats.total(),
    })
}

/// Show the last day by minute.
///
/// The figures are of this process: they begin anew with each start, and each instance has its own.
#[utoipa::path(
    get, path = "/stats/history", tag = "operations", operation_id = "show_history",
    params((
        "minutes" = Option<u32>, Query, description = "How many minutes; 60 by default.",
        minimum = 1, maximum = 1440,
    )),
    responses((status = 200, description = "The minutes.", body = History), BadRequest),
)]
pub(super) async fn history(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<History>, Error> {
    let most = filter::minutes(query.as_deref()).map_err(Error::BadRequest)?;
    let minutes = state.metrics.history(most);
    let minutes = minutes.iter().map(|(at, minute)| Minute::of(*at, minute));
    Ok(Json(History {
        minutes: minutes.collect(),
    }))
}

impl Minute {
    fn of(at: Timestamp, minute: &metrics::Minute) -> Self {
        let answers = Answer::ALL.iter().map(|answer| answer.as_str());
        let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
        Self {
            ack_ms: minute.ack.map(Times::of),
            answers: answers.zip(minute.answers).collect(),
            at: at.to_string(),
            dead: minute.dead,
            done: minute.done,
            end_to_end_ms: minute.end_to_end.map(Times::of),
            outcomes: outcomes.zip(minute.outcomes).collect(),
        }
    }
}

impl Times {
    fn of(times: metrics::Times) -> Self {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        Self {
            p50: millis(times.p50),
            p99: millis(times.p99),
        }
    }
}

/// How long the oldest event in progress has been waiting; zero if there is none.
pub(super) fn oldest_pending(stats: &journal::Stats, now: Timestamp) -> Duration {
    age(stats.oldest_pending, now)
}

/// The time since `since`; zero if there is none.
pub(super) fn age(since: Option<Timestamp>, now: Timestamp) -> Duration {
    since
        .and_then(|since| Duration::try_from(now.duration_since(since)).ok())
        .unwrap_or_default()
}
