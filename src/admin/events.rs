//! `/api/v1/events`: the list and one event, without clinical content.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};

use super::error::Error;
use super::path::Id;
use super::{State, filter, view};

/// `GET /events`: newest first.
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<view::Page>, Error> {
    let query = filter::events(query.as_deref()).map_err(Error::BadRequest)?;
    let page = state
        .journal
        .list(query.filter, query.limit, query.cursor)
        .await?;
    Ok(Json(view::Page::from(&page)))
}

/// `GET /events/{id}`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    Id(id): Id,
) -> Result<Json<view::Detail>, Error> {
    let detail = state.journal.event(id).await?.ok_or_else(Error::no_event)?;
    Ok(Json(view::Detail::from(&detail)))
}
