//! Replays one event.

use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::audit;
use super::error::Error;
use super::openapi::answers::{BadRequest, Conflict, NotFound, StoreFailed, TooLarge};
use super::openapi::words;
use super::path::Id;
use super::{Caller, State};
use crate::domain::EventId;
use crate::journal::{NoSink, ReplayFrom, Replayed, addressees};

/// What `POST /events/{id}/replay` takes; no body at all stands for `{}`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayOne)]
pub(super) struct One {
    /// Where it starts; `retrieve` where nothing is said.
    #[schema(value_type = Option<words::ReplayFrom>)]
    from: Option<String>,
    /// To which sinks; to those that had it where none is named.
    #[serde(default)]
    sinks: Option<Vec<String>>,
}

/// What was made due.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scheduled {
    /// The event.
    #[schema(format = "uuid")]
    id: String,
    /// Always `scheduled`.
    result: &'static str,
}

impl Scheduled {
    /// This event.
    pub(super) fn of(id: EventId) -> (StatusCode, Json<Self>) {
        let scheduled = Self {
            id: id.to_string(),
            result: "scheduled",
        };
        (StatusCode::ACCEPTED, Json(scheduled))
    }
}

/// A replay as asked for, checked.
pub(crate) struct Wish {
    pub(crate) from: ReplayFrom,
    pub(crate) sinks: Vec<String>,
}

/// Replay one event.
///
/// Makes it due again; no body at all stands for `{}`. Sinks tell a repeated delivery by its id.
#[utoipa::path(
    post, path = "/events/{id}/replay", tag = "replays", operation_id = "replay_event",
    params(Id),
    request_body(content = Option<One>, example = json!({"from": "deliver", "sinks": ["ehr"]})),
    responses(
        (
            status = 202, description = "It is scheduled.", body = Scheduled,
            links(("ShowEvent" = (
                operation_id = "show_event", parameters(("id" = "$response.body#/id")),
                description = "What became of it.",
            ))),
        ),
        BadRequest, NotFound, Conflict, TooLarge, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn one(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Error> {
    let One { from, sinks } = read(body)?;
    let wish = wish(&state, from.as_deref(), sinks)?;
    state.event(id).await?;
    audit(&state, &caller, wish.action(), Some(id)).await?;
    let end = wish.replay(&state, id, &caller.name).await?;
    match end {
        Ok(Replayed::Scheduled) => state.metrics.replays("scheduled", 1),
        Ok(Replayed::NoContent) => state.metrics.replays("no_content", 1),
        Ok(Replayed::NotRetrieved) => state.metrics.replays("not_retrieved", 1),
        Err(NoSink) => state.metrics.replays("no_sink", 1),
        Ok(Replayed::NotFound) => {}
    }
    match end {
        Ok(Replayed::Scheduled) => {}
        Ok(Replayed::NotFound) => return Err(Error::no_event()),
        Ok(other @ (Replayed::NoContent | Replayed::NotRetrieved)) => {
            return Err(Error::Conflict(words(other).to_owned()));
        }
        Err(why) => return Err(Error::Conflict(why.to_string())),
    }
    Ok(Scheduled::of(id))
}

impl Wish {
    /// What came of it, or why it has nowhere to go.
    async fn replay(
        &self,
        state: &State,
        id: EventId,
        actor: &str,
    ) -> Result<Result<Replayed, NoSink>, Error> {
        let Some(detail) = state.records().event(id).await? else {
            return Ok(Ok(Replayed::NotFound));
        };
        let had = detail.sinks();
        let sinks = match addressees(self.from, &self.sinks, &had, &state.sinks) {
            Ok(sinks) => sinks,
            Err(why) => return Ok(Err(why)),
        };
        let actor = actor.to_owned();
        let end = state.records().replay(id, self.from, sinks, actor).await?;
        if end == Replayed::Scheduled {
            state.journal.wake();
        }
        Ok(Ok(end))
    }

    /// It in the words of the audit log.
    pub(super) fn action(&self) -> String {
        action(self.from, &self.sinks)
    }
}

/// A replay in the words of the audit log.
pub fn action(from: ReplayFrom, sinks: &[String]) -> String {
    let from = from.as_str();
    if sinks.is_empty() {
        format!("replay from {from}")
    } else {
        format!("replay from {from} to {}", sinks.join(", "))
    }
}

/// Where a replay starts, in the admin API's word.
///
/// # Errors
/// Names the words.
pub fn from_word(word: &str) -> Result<ReplayFrom, String> {
    ReplayFrom::from_word(word)
        .ok_or_else(|| format!("unknown start '{word}'; expected retrieve or deliver"))
}

/// Checks that each wanted sink is configured.
///
/// # Errors
/// Names the ones that are not, and those that are.
pub fn known_sinks(wanted: &[String], known: &[String]) -> Result<(), String> {
    let unknown: Vec<&str> = wanted
        .iter()
        .filter(|sink| !known.contains(sink))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known = if known.is_empty() {
        "none is configured".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    Err(format!("no such sink: {}; {known}", unknown.join(", ")))
}

/// What came of a replay, for people.
pub fn words(end: Replayed) -> &'static str {
    match end {
        Replayed::Scheduled => "scheduled",
        Replayed::NotFound => "there is no event with this id",
        Replayed::NoContent => {
            "there is nothing to replay: the content is purged, or it is not a notification (quarantined)"
        }
        Replayed::NotRetrieved => {
            "its resources were never all retrieved; replay it from \"retrieve\""
        }
    }
}

/// A replay as asked for.
pub(crate) fn wish(
    state: &State,
    from: Option<&str>,
    sinks: Option<Vec<String>>,
) -> Result<Wish, Error> {
    let from = from.unwrap_or("retrieve");
    let from = from_word(from).map_err(|why| Error::BadRequest(format!("from: {why}")))?;
    let sinks = sinks.unwrap_or_default();
    known_sinks(&sinks, &state.sinks).map_err(|why| Error::BadRequest(format!("sinks: {why}")))?;
    Ok(Wish { from, sinks })
}

/// Reads a body; no body at all stands for `{}`.
pub(crate) fn read<T: DeserializeOwned + Default>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Error> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(super::MAX_BODY_BYTES),
        _ => Error::BadRequest("the body broke off".to_owned()),
    })?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|error| Error::BadRequest(format!("body: {error}")))
}
