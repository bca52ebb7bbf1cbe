//! `/sinks/{name}/drop` and `/readdress`: give up a sink's outstanding deliveries or assign them to another sink, for
//! instance when the sink was removed or renamed.

use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::audit;
use super::error::Error;
use super::openapi::answers::{BadRequest, StoreFailed, TooLarge};
use super::path::SinkName;
use super::replay::{known_sinks, read};
use super::{Caller, State};

/// The limit of deliveries in one transaction, so that no notification waits long for it.
const BATCH: usize = 200;

/// The body of `POST /sinks/{name}/readdress`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Readdress {
    /// The configured sink that gets the deliveries.
    #[schema(value_type = String, example = "ehr")]
    to: Option<String>,
}

/// How many deliveries were given up.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Dropped {
    dropped: usize,
}

/// How many deliveries were assigned to another sink.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readdressed {
    readdressed: usize,
}

/// Give up a sink's outstanding deliveries.
///
/// For a sink that was removed or renamed, whose deliveries would wait for ever. If this fails midway, deliveries that
/// were already dropped stay dropped.
#[utoipa::path(
    post, path = "/sinks/{name}/drop", tag = "sinks", operation_id = "drop_deliveries",
    params(SinkName),
    responses((status = 200, description = "How many were given up.", body = Dropped), BadRequest, StoreFailed),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn drop_deliveries(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    SinkName(sink): SinkName,
) -> Result<Json<Dropped>, Error> {
    let action = format!("drop what '{sink}' has not received");
    audit(&state, &caller, action, None).await?;
    let mut dropped = 0;
    loop {
        let (sink, actor) = (sink.clone(), caller.name.clone());
        match state.records().drop_deliveries(sink, BATCH, actor).await? {
            0 => return Ok(Json(Dropped { dropped })),
            more => dropped += more,
        }
    }
}

/// Assign a sink's outstanding deliveries to another sink.
///
/// For a sink that was removed or renamed. The other sink must be configured.
#[utoipa::path(
    post, path = "/sinks/{name}/readdress", tag = "sinks", operation_id = "readdress_deliveries",
    params(SinkName),
    request_body(content = Readdress, example = json!({"to": "ehr"})),
    responses(
        (status = 200, description = "How many deliveries were assigned to the other sink.", body = Readdressed),
        BadRequest, TooLarge, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn readdress(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    SinkName(from): SinkName,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Readdressed>, Error> {
    let request: Readdress = read(body)?;
    let to = request
        .to
        .ok_or_else(|| Error::BadRequest("to: name the sink that is to get it".to_owned()))?;
    known_sinks(std::slice::from_ref(&to), &state.event_sinks)
        .map_err(|why| Error::BadRequest(format!("to: {why}")))?;
    if to == from {
        return Err(Error::BadRequest("to: name another sink".to_owned()));
    }
    let action = format!("assign to '{to}' what '{from}' has not received");
    audit(&state, &caller, action, None).await?;
    let mut readdressed = 0;
    loop {
        let (from, to, actor) = (from.clone(), to.clone(), caller.name.clone());
        match state.records().readdress(from, to, BATCH, actor).await? {
            0 => return Ok(Json(Readdressed { readdressed })),
            more => readdressed += more,
        }
    }
}
