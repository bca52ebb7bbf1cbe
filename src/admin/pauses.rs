//! `GET /api/v1/sinks`, and `/sinks/{name}/pause` and `/resume`: lists the waiting deliveries of each sink, and pauses
//! and resumes sinks.

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::audit;
use super::error::Error;
use super::openapi::answers::{NotFound, StoreFailed};
use super::path::SinkName;
use super::{Caller, State};
use crate::journal;

/// The pause of a sink: since when, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pause {
    /// When the sink was paused.
    #[schema(format = DateTime)]
    pub since: String,
    /// Who paused it.
    pub actor: String,
    /// The reason in the caller's own words.
    pub reason: Option<String>,
}

/// A sink, and the number of deliveries that wait for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sink {
    /// The name.
    pub name: String,
    /// Whether the sink is configured. If it is not, nobody delivers the waiting deliveries.
    pub configured: bool,
    /// Deliveries that wait and are not being worked on now.
    pub waiting: u64,
    /// The pause; null if the sink is not paused.
    pub paused: Option<Pause>,
}

/// The sinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sinks {
    /// The configured sinks in their order, then sinks that are not configured and have waiting deliveries.
    pub sinks: Vec<Sink>,
}

/// The result of pausing or resuming a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Steered {
    /// The sink.
    pub name: String,
    /// `paused`, `already_paused` (the earlier pause continues), `resumed` or `not_paused`.
    #[schema(pattern = "^(paused|already_paused|resumed|not_paused)$")]
    pub result: &'static str,
    /// The pause that is in force now, or that has just ended; null if there was none.
    pub pause: Option<Pause>,
}

/// List the sinks.
///
/// Each with the number of its waiting deliveries, and its pause: since when, by whom and why.
#[utoipa::path(
    get, path = "/sinks", tag = "sinks", operation_id = "list_sinks",
    responses((status = 200, description = "The sinks.", body = Sinks), StoreFailed),
)]
pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Sinks>, Error> {
    let waiting = state.records().waiting_deliveries(Vec::new()).await?;
    let paused = state.records().paused().await?;
    Ok(Json(Sinks::of(&state.sinks, &waiting, &paused)))
}

/// Pause a sink.
///
/// From now on no instance delivers to the sink until it is resumed; its deliveries wait, and attempts in progress are
/// finished. Waiting does not count as a failure, so no delivery is given up. Other sinks are not affected. A sink that
/// is already paused keeps its pause with the earlier reason.
#[utoipa::path(
    post, path = "/sinks/{name}/pause", tag = "sinks", operation_id = "pause_sink",
    params(("name" = String, Path, description = "The name of a configured sink.")),
    responses((status = 200, description = "The sink is paused.", body = Steered), NotFound, StoreFailed),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn pause(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    SinkName(name): SinkName,
) -> Result<Json<Steered>, Error> {
    must_be_configured(&state, &name)?;
    audit(&state, &caller, pausing(&name), None).await?;
    let (sink, actor) = (name.clone(), caller.name.clone());
    let before = state.records().pause(sink, actor, caller.reason).await?;
    let result = if before.is_some() {
        "already_paused"
    } else {
        "paused"
    };
    let paused = state.records().paused().await?;
    let pause = paused.iter().find(|pause| pause.sink == name);
    Ok(Json(Steered {
        result,
        pause: pause.map(Pause::from),
        name,
    }))
}

/// Resume a sink.
///
/// All waiting deliveries are due at once, on every instance, and the time until they are given up starts anew. A sink
/// that is not paused is left unchanged.
#[utoipa::path(
    post, path = "/sinks/{name}/resume", tag = "sinks", operation_id = "resume_sink",
    params(("name" = String, Path, description = "The name of a configured sink.")),
    responses((status = 200, description = "The sink is not paused any more.", body = Steered), NotFound, StoreFailed),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn resume(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    SinkName(name): SinkName,
) -> Result<Json<Steered>, Error> {
    must_be_configured(&state, &name)?;
    audit(&state, &caller, resuming(&name), None).await?;
    let ended = state.records().resume(name.clone()).await?;
    let result = if ended.is_some() {
        "resumed"
    } else {
        "not_paused"
    };
    Ok(Json(Steered {
        name,
        result,
        pause: ended.as_ref().map(Pause::from),
    }))
}

/// The audit log's text for a pause.
pub fn pausing(sink: &str) -> String {
    format!("pause the sink '{sink}'")
}

/// The audit log's text for the end of a pause.
pub fn resuming(sink: &str) -> String {
    format!("resume the sink '{sink}'")
}

fn must_be_configured(state: &State, name: &str) -> Result<(), Error> {
    if state.sinks.iter().any(|sink| sink == name) {
        return Ok(());
    }
    Err(Error::NotFound("no sink of this name is configured"))
}

impl Sinks {
    /// The configured sinks, and others that have waiting deliveries, each with their number and its pause.
    pub fn of(
        configured: &[String],
        waiting: &[journal::Waiting],
        paused: &[journal::Pause],
    ) -> Self {
        let gone = waiting
            .iter()
            .map(|waits| &waits.sink)
            .filter(|name| !configured.contains(name));
        let sinks = configured.iter().chain(gone).map(|name| Sink {
            name: name.clone(),
            configured: configured.contains(name),
            waiting: waiting
                .iter()
                .find(|waits| waits.sink == *name)
                .map_or(0, |waits| waits.count),
            paused: paused
                .iter()
                .find(|pause| pause.sink == *name)
                .map(Pause::from),
        });
        Self {
            sinks: sinks.collect(),
        }
    }
}

impl From<&journal::Pause> for Pause {
    fn from(pause: &journal::Pause) -> Self {
        Self {
            since: pause.since.to_string(),
            actor: pause.actor.clone(),
            reason: pause.reason.clone(),
        }
    }
}
