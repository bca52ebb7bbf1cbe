//! `/api/v1/events`: the list and one event, without clinical content.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};

use super::error::Error;
use super::filter::EventQuery;
use super::openapi::answers::{BadRequest, NotFound, StoreFailed};
use super::openapi::query::{EventListing, FilterFields, Paging};
use super::path::Id;
use super::{State, filter, view};
use crate::journal::Filter;

/// List events.
///
/// The newest first, without clinical content. An event must match every given field of the filter.
#[utoipa::path(
    get, path = "/events", tag = "events", operation_id = "list_events",
    params(FilterFields, EventListing, Paging),
    responses(
        (
            status = 200, description = "A page of events.", body = view::Page,
            links(
                ("ShowEvent" = (
                    operation_id = "show_event", parameters(("id" = "$response.body#/events/0/id")),
                    description = "The first event of the page.",
                )),
                ("NextPage" = (
                    operation_id = "list_events", parameters(("cursor" = "$response.body#/next_cursor")),
                    description = "The next page, with the same filter.",
                )),
            ),
        ),
        BadRequest, StoreFailed,
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<view::Page>, Error> {
    let query = filter::events(query.as_deref()).map_err(Error::BadRequest)?;
    let EventQuery {
        filter,
        count: is_counted,
    } = query.filter;
    let count = match is_counted {
        true => Some(count(&state, filter.clone()).await?),
        false => None,
    };
    let page = state
        .records()
        .list(filter, query.limit, query.cursor)
        .await?;
    Ok(Json(view::Page::of(&page, count)))
}

/// The limit up to which a list's events are counted.
const MOST_COUNTED: u32 = 10_000;

/// How many events match a filter, up to [`MOST_COUNTED`].
pub(super) async fn count(state: &State, filter: Filter) -> Result<view::Count, Error> {
    let events = state.records().count(filter, MOST_COUNTED).await?;
    Ok(view::Count {
        events,
        is_capped: events >= u64::from(MOST_COUNTED),
    })
}

/// Show one event.
///
/// With its links, its deliveries and its history; without clinical content.
#[utoipa::path(
    get, path = "/events/{id}", tag = "events", operation_id = "show_event",
    params(Id),
    responses(
        (
            status = 200, description = "The event.", body = view::Detail,
            links(("ReplayEvent" = (
                operation_id = "replay_event", parameters(("id" = "$response.body#/id")),
                description = "Replay the event.",
            ))),
        ),
        BadRequest, NotFound, StoreFailed,
    ),
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    Id(id): Id,
) -> Result<Json<view::Detail>, Error> {
    let detail = state.event(id).await?;
    Ok(Json(view::Detail::from(&detail)))
}
