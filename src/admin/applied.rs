//! `POST /events/{id}/applied`: a sink's target confirms that it has applied an event. Delivered is not applied: what was
//! taken may still wait in the target's own queue.

use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Error;
use super::path::Id;
use super::replay::{known_sinks, read};
use super::{Caller, State};
use crate::journal::Applied;

/// What it takes; an applier's token names its sink already.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    sink: Option<String>,
}

/// `POST /events/{id}/applied`.
pub(super) async fn confirm(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Error> {
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
    known_sinks(std::slice::from_ref(&sink), &state.sinks)
        .map_err(|why| Error::BadRequest(format!("sink: {why}")))?;
    let at = state.clock.now();
    match state.journal.applied(id, sink.clone(), at).await? {
        Applied::Noted => Ok(Json(
            json!({"result": "applied", "id": id.to_string(), "sink": sink}),
        )),
        Applied::NotFound => Err(Error::no_event()),
        Applied::NotDelivered => Err(Error::Conflict(format!(
            "the sink '{sink}' does not have this event"
        ))),
    }
}
