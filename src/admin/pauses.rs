//! `GET /api/v1/sinks`, and `/sinks/{name}/pause` and `/resume`: what waits for each sink, and whether it is to wait.

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

/// Since when a sink is paused, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pause {
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// Who paused it.
    pub actor: String,
    /// Why, in his own words.
    pub reason: Option<String>,
}

/// A sink, and what waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Whether it is configured; where it is not, nobody delivers what waits.
    pub configured: bool,
    /// Deliveries that wait and that nobody works on now.
    pub waiting: u64,
    /// Its pause; null while it is not paused.
    pub paused: Option<Pause>,
}

/// The sinks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Sinks {
    /// The configured ones in their order, then those that are not and that deliveries wait for.
    pub sinks: Vec<Sink>,
}

/// What came of a pause, or of its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Steered {
    /// The sink.
    pub name: String,
    /// `paused`, `already_paused` (the pause that stood goes on), `resumed` or `not_paused`.
    #[schema(pattern = "^(paused|already_paused|resumed|not_paused)$")]
    pub result: &'static str,
    /// The pause that stands now, or that has ended; null where there was none.
    pub pause: Option<Pause>,
}

/// List the sinks.
///
/// What waits for each, and whether it is paused: since when, by whom and why.
#[utoipa::path(
    get, path = "/sinks", tag = "sinks", operation_id = "list_sinks",
    responses((status = 200, description = "The sinks.", body = Sinks), StoreFailed),
)]
pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Sinks>, Error> {
    // With no sink taken as configured, these are all that deliveries wait for.
    let waiting = state.records().orphans(Vec::new()).await?;
    let paused = state.records().paused().await?;
    Ok(Json(Sinks::of(&state.sinks, &waiting, &paused)))
}

/// Pause a sink.
///
/// From now on no instance delivers to it, and what is for it waits, until it is resumed; what is under way ends as it
/// ends. Waiting is no failure: nothing is given up for it. Other sinks are not held up. One that is paused stays so, with
/// the reason it has.
#[utoipa::path(
    post, path = "/sinks/{name}/pause", tag = "sinks", operation_id = "pause_sink",
    params(("name" = String, Path, description = "The name of a configured sink.")),
    responses((status = 200, description = "It is paused.", body = Steered), NotFound, StoreFailed),
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
/// All that waits for it is due at once, at every instance, and is tried for as long again before it is given up. One that
/// is not paused stays as it is.
#[utoipa::path(
    post, path = "/sinks/{name}/resume", tag = "sinks", operation_id = "resume_sink",
    params(("name" = String, Path, description = "The name of a configured sink.")),
    responses((status = 200, description = "It is not paused any more.", body = Steered), NotFound, StoreFailed),
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

/// A pause in the words of the audit log.
pub fn pausing(sink: &str) -> String {
    format!("pause the sink '{sink}'")
}

/// Its end in the same.
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
    /// The configured sinks, and those that deliveries wait for all the same, each with what waits and its pause.
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
