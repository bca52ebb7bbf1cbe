//! Clinical content: reading and purging it. Each is written to the audit log before it happens, or does not happen.

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::auth::audit;
use super::error::Error;
use super::path::{Id, Place};
use super::{Caller, State};
use crate::domain::EventState;

/// `GET /events/{id}/payload`: the notification as received.
pub(crate) async fn payload(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<Response, Error> {
    let detail = state.journal.event(id).await?.ok_or_else(Error::no_event)?;
    let body = state
        .journal
        .payload(id)
        .await?
        .ok_or(Error::NotFound("the content of this event is purged"))?;
    audit(&state, &caller, "read payload".to_owned(), Some(id)).await?;
    // What is in the quarantine may be anything.
    Ok(if detail.event.state == EventState::Quarantined {
        send("application/octet-stream", body)
    } else {
        send("application/json", body)
    })
}

/// `GET /events/{id}/resources/{n}`: what was fetched for a link.
pub(crate) async fn resource(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Place(n): Place,
) -> Result<Response, Error> {
    let body = state
        .journal
        .resource(id, n)
        .await?
        .ok_or(Error::NotFound(
            "nothing is kept for this link: there is no such event or link, it is not fetched, or it is purged",
        ))?;
    audit(&state, &caller, format!("read resource {n}"), Some(id)).await?;
    Ok(send("application/json", body))
}

/// `DELETE /events/{id}`: removes the content, keeps the receipt.
pub(crate) async fn purge(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<StatusCode, Error> {
    state.journal.event(id).await?.ok_or_else(Error::no_event)?;
    audit(&state, &caller, "purge".to_owned(), Some(id)).await?;
    if state.journal.purge(id, caller.name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::no_event())
    }
}

fn send(content_type: &'static str, body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
