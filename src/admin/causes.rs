//! `GET /api/v1/causes`: what needs attention, grouped by what it did not succeed for.

use axum::Json;
use axum::extract::State as Shared;
use serde_json::{Value, json};

use super::State;
use super::error::Error;
use super::jobs_view::Cause;

/// `GET /causes`: the largest group first. An event that failed at two sinks is in two groups.
pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Value>, Error> {
    let groups = state.journal.causes().await?;
    let groups: Vec<_> = groups.iter().map(Cause::from).collect();
    Ok(Json(json!({"causes": groups})))
}
