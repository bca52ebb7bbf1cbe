//! Reads and purges clinical content. Each read and purge is written to the audit log first, and is not performed if
//! that fails.

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::auth::audit;
use super::error::Error;
use super::openapi::answers::{BadRequest, NotFound, StoreFailed};
use super::path::{Id, Place};
use super::{Caller, State};
use crate::domain::EventState;

/// Read a notification as received.
///
/// The bytes as they came. A quarantined body may be anything, so it is sent as `application/octet-stream`.
#[utoipa::path(
    get, path = "/events/{id}/payload", tag = "events", operation_id = "read_payload",
    params(Id),
    responses(
        (status = 200, description = "The notification. Clinical content.", content(
            (serde_json::Value = "application/json"),
            (Vec<u8> = "application/octet-stream"),
        )),
        BadRequest, NotFound, StoreFailed,
    ),
    extensions(("x-audited" = json!(true)), ("x-clinical-content" = json!(true))),
)]
pub(crate) async fn payload(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Error> {
    let detail = state.event(id).await?;
    let body = state
        .records()
        .payload(id)
        .await?
        .ok_or(Error::NotFound("the content of this event is purged"))?;
    audit(&state, &caller, "read payload".to_owned(), Some(id)).await?;
    // A quarantined body may be anything.
    Ok(if detail.event.state == EventState::Quarantined {
        send("application/octet-stream", body)
    } else {
        send("application/json", body)
    })
}

/// Read the content that was fetched for a link.
#[utoipa::path(
    get, path = "/events/{id}/resources/{n}", tag = "events", operation_id = "read_resource",
    params(Id, Place),
    responses(
        (status = 200, description = "What Suki's API answered. Clinical content.", body = serde_json::Value),
        BadRequest, NotFound, StoreFailed,
    ),
    extensions(("x-audited" = json!(true)), ("x-clinical-content" = json!(true))),
)]
pub(crate) async fn resource(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Place(n): Place,
) -> Result<Response, Error> {
    let body = state
        .records().resource(id, n)
        .await?
        .ok_or(Error::NotFound(
            "nothing is kept for this link: there is no such event or link, it is not fetched, or it is purged",
        ))?;
    audit(&state, &caller, format!("read resource {n}"), Some(id)).await?;
    Ok(send("application/json", body))
}

/// Purge an event's content.
///
/// Removes the notification and the fetched content; keeps the receipt. This cannot be undone.
#[utoipa::path(
    delete, path = "/events/{id}", tag = "events", operation_id = "purge_event",
    params(Id),
    responses((status = 204, description = "The content is removed."), BadRequest, NotFound, StoreFailed),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn purge(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<StatusCode, Error> {
    state.event(id).await?;
    audit(&state, &caller, "purge".to_owned(), Some(id)).await?;
    if state.records().purge(id, caller.name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::no_event())
    }
}

fn send(content_type: &'static str, body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
