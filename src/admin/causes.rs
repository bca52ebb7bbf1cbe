//! `GET /api/v1/causes`: what needs attention, grouped by what it did not succeed for.

use axum::Json;
use axum::extract::State as Shared;

use super::State;
use super::error::Error;
use super::jobs_view::{Cause, Causes};
use super::openapi::answers::StoreFailed;

/// List what needs attention, by cause.
///
/// Dead and quarantined events and rejected requests, the largest group first, each with what it is and what to do about
/// it. An event that failed at two sinks is in two groups. The events of a group: `GET /api/v1/events` with its `state`,
/// `cause` and `sink`.
#[utoipa::path(
    get, path = "/causes", tag = "events", operation_id = "list_causes",
    responses((status = 200, description = "The groups.", body = Causes), StoreFailed),
)]
pub(super) async fn list(Shared(state): Shared<State>) -> Result<Json<Causes>, Error> {
    let groups = state.journal.causes().await?;
    Ok(Json(Causes {
        causes: groups.iter().map(Cause::from).collect(),
    }))
}
