//! `GET /api/v1/causes`: the events and requests that need attention, grouped by the cause of their failure, and the
//! notes that operators write on the groups. A note's text is not in the audit log, so that text that should not have
//! been written can be removed.

use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::audit;
use super::error::Error;
use super::jobs_view::{Cause, CauseNote, Causes};
use super::openapi::answers::{BadRequest, NotFound, StoreFailed, TooLarge};
use super::openapi::words;
use super::path::CauseWord;
use super::replay::read;
use super::{Caller, State};

/// The limit of characters in a note.
pub(crate) const LONGEST_NOTE: usize = 500;

/// The body of `PUT /causes/{cause}/note`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCauseNote {
    /// The sink of the group; left out if the group has none.
    sink: Option<String>,
    /// The text of the note, without patient data. An empty text removes the note.
    #[schema(value_type = String, max_length = 500, example = "EHR vendor ticket 4711, fixed on Friday")]
    text: Option<String>,
}

/// A group with its note, if it has one.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CauseNoted {
    #[schema(value_type = words::Cause)]
    cause: &'static str,
    sink: Option<String>,
    note: Option<CauseNote>,
}

/// List the failures that need attention, by cause.
///
/// Dead and quarantined events and rejected requests in groups, the largest first, each with an explanation, advice,
/// and the note that an operator has written on it. An event that failed at two sinks is in two groups. `GET
/// /api/v1/events` with a group's `state`, `cause` and `sink` lists its events; a group of the state `rejected` consists of
/// requests, and has none.
#[utoipa::path(
    get, path = "/causes", tag = "events", operation_id = "list_causes",
    responses((status = 200, description = "The groups.", body = Causes), StoreFailed),
)]
pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Causes>, Error> {
    let groups = state.records().causes().await?;
    let notes = state.records().cause_notes().await?;
    Ok(Json(Causes {
        causes: groups
            .iter()
            .map(|group| Cause::of(group, &notes))
            .collect(),
    }))
}

/// Write a note on a cause.
///
/// A note for colleagues, such as who fixes the cause and until when. There is one note for each cause and sink: a new
/// one replaces it, and an empty one removes it. It is kept when the group is gone, and shown again when the group
/// comes back. It must not contain patient data.
#[utoipa::path(
    put, path = "/causes/{cause}/note", tag = "events", operation_id = "note_cause",
    params(CauseWord),
    request_body(content = NewCauseNote, example = json!({"sink": "ehr", "text": "EHR vendor ticket 4711, fixed on Friday"})),
    responses(
        (status = 200, description = "The note as it is now.", body = CauseNoted),
        BadRequest, NotFound, TooLarge, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn note(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    CauseWord(cause): CauseWord,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<CauseNoted>, Error> {
    let NewCauseNote { sink, text } = read(body)?;
    let sink = sink.filter(|sink| !sink.is_empty());
    let text = text.ok_or_else(|| {
        Error::BadRequest("text: give what the note says; an empty one removes it".to_owned())
    })?;
    let text = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let length = text.as_ref().map_or(0, |text| text.chars().count());
    if length > LONGEST_NOTE {
        return Err(Error::BadRequest(format!(
            "text: it has {length} characters; use at most {LONGEST_NOTE}"
        )));
    }
    let is_of = |group: &crate::journal::CauseGroup| group.cause == cause && group.sink == sink;
    // A new note on a group that does not exist would be seen by nobody. A left-over note can still be removed.
    if text.is_some() && !state.records().causes().await?.iter().any(is_of) {
        return Err(Error::NotFound(
            "nothing needs attention for this cause and sink",
        ));
    }
    let what = if text.is_some() { "write" } else { "remove" };
    let at = sink
        .as_ref()
        .map_or_else(String::new, |sink| format!(" at '{sink}'"));
    let action = format!("{what} the note on {cause}{at}");
    audit(&state, &caller, action, None).await?;
    let noting = state
        .records()
        .note_cause(cause, sink.clone(), text, caller.name);
    noting.await?;
    let notes = state.records().cause_notes().await?;
    Ok(Json(CauseNoted {
        cause: cause.as_str(),
        note: CauseNote::on(cause, sink.as_deref(), &notes),
        sink,
    }))
}
