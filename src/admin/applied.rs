//! `POST /events/{id}/applied`: a sink's target confirms that it has applied an event. A delivered event is not yet
//! applied: it may still wait in the target's own queue.

use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::Error;
use super::openapi::answers::{BadRequest, Conflict, NotFound, StoreFailed, TooLarge};
use super::path::Id;
use super::replay::{known_sinks, read};
use super::{Caller, State};
use crate::journal::Applied;

/// The body of a confirmation. An applier's token already names its sink.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    /// The sink; may be left out with a token that belongs to one sink.
    #[schema(example = "ehr")]
    sink: Option<String>,
}

/// The answer to a confirmation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Confirmed {
    /// The event.
    #[schema(format = "uuid")]
    id: String,
    /// Always `applied`.
    result: &'static str,
    /// The sink whose target has applied it.
    sink: String,
}

/// Confirm that a target applied an event.
///
/// A delivered event is not yet applied: it may still wait in the target's own queue. Confirming again has no further
/// effect.
#[utoipa::path(
    post, path = "/events/{id}/applied", tag = "events", operation_id = "confirm_applied",
    params(Id),
    request_body(content = Option<Confirmation>, example = json!({"sink": "ehr"})),
    responses(
        (status = 200, description = "The confirmation is kept.", body = Confirmed),
        BadRequest, NotFound, Conflict, TooLarge, StoreFailed,
    ),
)]
pub(super) async fn confirm(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Confirmed>, Error> {
    let Confirmation { sink: named } = read(body)?;
    let sink = match (caller.sink, named) {
        (Some(own), Some(named)) if named != own => {
            return Err(Error::Forbidden {
                name: caller.name,
                role: caller.role.as_str(),
                needs: format!("operator, or an applier of the sink {named}"),
            });
        }
        (Some(own), _) => own,
        (None, Some(named)) => named,
        (None, None) => {
            return Err(Error::BadRequest(
                "sink: name the sink whose target has applied the event".to_owned(),
            ));
        }
    };
    known_sinks(std::slice::from_ref(&sink), &state.event_sinks)
        .map_err(|why| Error::BadRequest(format!("sink: {why}")))?;
    let at = state.clock.now();
    match state.records().applied(id, sink.clone(), at).await? {
        Applied::Noted => Ok(Json(Confirmed {
            id: id.to_string(),
            result: "applied",
            sink,
        })),
        Applied::NotFound => Err(Error::no_event()),
        Applied::NotDelivered => Err(Error::Conflict(format!(
            "the sink '{sink}' does not have this event, or is about to get it again; confirm it when it is delivered"
        ))),
    }
}
