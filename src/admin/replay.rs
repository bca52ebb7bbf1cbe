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

/// The body of `POST /events/{id}/replay`; no body is the same as `{}`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayOne)]
pub(super) struct One {
    /// Where the replay starts; `retrieve` by default.
    #[schema(value_type = Option<words::ReplayFrom>)]
    from: Option<String>,
    /// The sinks to deliver to; if none is named, the sinks that had the event.
    #[serde(default)]
    sinks: Option<Vec<String>>,
}

/// The event that was made due.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scheduled {
    /// The event.
    #[schema(format = "uuid")]
    id: String,
    /// Always `scheduled`.
    result: &'static str,
}

impl Scheduled {
    /// The answer for this event.
    pub(super) fn of(id: EventId) -> (StatusCode, Json<Self>) {
        let scheduled = Self {
            id: id.to_string(),
            result: "scheduled",
        };
        (StatusCode::ACCEPTED, Json(scheduled))
    }
}

/// A checked request for a replay.
pub(crate) struct ReplayRequest {
    pub(crate) from: ReplayFrom,
    pub(crate) sinks: Vec<String>,
}

/// Replay one event.
///
/// Makes the event due again; no body is the same as `{}`. Sinks recognise a repeated delivery by its id.
#[utoipa::path(
    post, path = "/events/{id}/replay", tag = "replays", operation_id = "replay_event",
    params(Id),
    request_body(content = Option<One>, example = json!({"from": "deliver", "sinks": ["ehr"]})),
    responses(
        (
            status = 202, description = "The replay is scheduled.", body = Scheduled,
            links(("ShowEvent" = (
                operation_id = "show_event", parameters(("id" = "$response.body#/id")),
                description = "The event with its state.",
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
    let request = checked(&state, from.as_deref(), sinks)?;
    state.event(id).await?;
    audit(&state, &caller, request.action(), Some(id)).await?;
    let end = request.replay(&state, id, &caller.name).await?;
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

impl ReplayRequest {
    /// Replays the event, and returns the result or an error if there is no sink to deliver to.
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
        let sinks = match addressees(self.from, &self.sinks, &had, &state.event_sinks) {
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

    /// The audit log's text for this replay.
    pub(super) fn action(&self) -> String {
        action(self.from, &self.sinks)
    }
}

/// The audit log's text for a replay.
pub fn action(from: ReplayFrom, sinks: &[String]) -> String {
    let from = from.as_str();
    if sinks.is_empty() {
        format!("replay from {from}")
    } else {
        format!("replay from {from} to {}", sinks.join(", "))
    }
}

/// Parses the admin API's word for where a replay starts.
///
/// # Errors
/// When the word is unknown; the error names the known ones.
pub fn from_word(word: &str) -> Result<ReplayFrom, String> {
    word.parse()
        .map_err(|_| format!("unknown start '{word}'; expected retrieve or deliver"))
}

/// Checks that each wanted sink is configured and takes events: one that takes only alerts must never get what is about a
/// patient.
///
/// # Errors
/// Names the sinks that do not, and those that do.
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
        "none does".to_owned()
    } else {
        format!("those that do: {}", known.join(", "))
    };
    Err(format!(
        "no sink of this name takes events: {}; {known}",
        unknown.join(", ")
    ))
}

/// The result of a replay in words.
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

/// Checks a request for a replay.
pub(crate) fn checked(
    state: &State,
    from: Option<&str>,
    sinks: Option<Vec<String>>,
) -> Result<ReplayRequest, Error> {
    let from = from.unwrap_or("retrieve");
    let from = from_word(from).map_err(|why| Error::BadRequest(format!("from: {why}")))?;
    let sinks = sinks.unwrap_or_default();
    known_sinks(&sinks, &state.event_sinks)
        .map_err(|why| Error::BadRequest(format!("sinks: {why}")))?;
    Ok(ReplayRequest { from, sinks })
}

/// Parses a body; no body is the same as `{}`.
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
