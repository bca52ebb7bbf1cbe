//! `/api/v1/events`: the list and one event, without clinical content.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};

use super::error::Error;
use super::path::Id;
use super::{State, filter, view};
use crate::journal::Filter;

/// `GET /events`: newest first.
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<view::Page>, Error> {
    let query = filter::events(query.as_deref()).map_err(Error::BadRequest)?;
    let count = match query.count {
        true => Some(count(&state, query.filter.clone()).await?),
        false => None,
    };
    let page = state
        .journal
        .list(query.filter, query.limit, query.cursor)
        .await?;
    Ok(Json(view::Page::of(&page, count)))
}

/// Most events that are counted for a list.
const MOST_COUNTED: u32 = 10_000;

/// How many events a filter finds, as far as they are counted.
pub(super) async fn count(state: &State, filter: Filter) -> Result<view::Count, Error> {
    let events = state.journal.count(filter, MOST_COUNTED).await?;
    Ok(view::Count {
        events,
        is_capped: events >= u64::from(MOST_COUNTED),
    })
}

/// `GET /events/{id}`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    Id(id): Id,
) -> Result<Json<view::Detail>, Error> {
    let detail = state.journal.event(id).await?.ok_or_else(Error::no_event)?;
    Ok(Json(view::Detail::from(&detail)))
}
