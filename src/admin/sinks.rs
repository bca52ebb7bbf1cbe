//! `/sinks/{name}/drop` and `/readdress`: what becomes of deliveries that a sink does not have, such as those to one that
//! was removed or renamed.

use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State as Shared};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::audit;
use super::error::Error;
use super::replay::{known_sinks, read};
use super::{Caller, State};

/// Deliveries of one transaction, so that no notification waits for long.
const BATCH: usize = 200;

/// What `POST /sinks/{name}/readdress` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Readdress {
    to: Option<String>,
}

/// `POST /sinks/{name}/drop`: gives up what the sink does not have. What was dropped until a failure stays so.
pub(crate) async fn drop_deliveries(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Path(sink): Path<String>,
) -> Result<Json<Value>, Error> {
    let action = format!("drop what '{sink}' does not have");
    audit(&state, &caller, action, None).await?;
    let mut dropped = 0;
    loop {
        let (sink, actor) = (sink.clone(), caller.name.clone());
        match state.journal.drop_deliveries(sink, BATCH, actor).await? {
            0 => return Ok(Json(json!({"dropped": dropped}))),
            more => dropped += more,
        }
    }
}

/// `POST /sinks/{name}/readdress` `{"to": "…"}`: gives what the sink does not have to a configured one.
pub(crate) async fn readdress(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Path(from): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Error> {
    let wish: Readdress = read(body)?;
    let to = wish
        .to
        .ok_or_else(|| Error::BadRequest("to: name the sink that is to get it".to_owned()))?;
    known_sinks(std::slice::from_ref(&to), &state.sinks)
        .map_err(|why| Error::BadRequest(format!("to: {why}")))?;
    if to == from {
        return Err(Error::BadRequest("to: name another sink".to_owned()));
    }
    let action = format!("give to '{to}' what '{from}' does not have");
    audit(&state, &caller, action, None).await?;
    let mut readdressed = 0;
    loop {
        let (from, to, actor) = (from.clone(), to.clone(), caller.name.clone());
        match state.journal.readdress(from, to, BATCH, actor).await? {
            0 => return Ok(Json(json!({"readdressed": readdressed}))),
            more => readdressed += more,
        }
    }
}
