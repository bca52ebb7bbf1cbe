//! `/api/v1/sessions/{id}/…`: what an operator or the partner's software has done about one expected session: poll it now,
//! fetch its content again, stop expecting it.

use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::auth::audit;
use super::error::Error;
use super::openapi::answers::{BadRequest, Conflict, NotFound, StoreFailed};
use super::path::Session;
use super::replay::Scheduled;
use super::sessions::{is_enabled, shown};
use super::{Caller, State, view};
use crate::journal::Filter;

/// Poll a session's status now.
#[utoipa::path(
    post, path = "/sessions/{id}/poll", tag = "sessions", operation_id = "poll_session",
    params(Session),
    responses(
        (status = 202, description = "The poll is scheduled.", body = view::Session),
        BadRequest, NotFound, Conflict, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn poll(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Session(id): Session,
) -> Result<(StatusCode, Json<view::Session>), Error> {
    is_enabled(&state)?;
    if !state.can_poll {
        return Err(Error::Conflict(
            "there are no credentials for the SDP API (sdp.auth), so nothing can be asked for"
                .to_owned(),
        ));
    }
    let known = state.records().expected(id.clone()).await?;
    known.ok_or_else(Error::no_session)?;
    audit(&state, &caller, format!("poll session {id}"), None).await?;
    let now = state.clock.monotonic();
    let asked = state.records().poll_now(id, now).await?;
    Ok((StatusCode::ACCEPTED, shown(&state, asked)?))
}

/// Fetch a session's content again.
///
/// Fetches the content with which the session's last event was delivered. Changed content is delivered as an amendment.
#[utoipa::path(
    post, path = "/sessions/{id}/refresh", tag = "sessions", operation_id = "refresh_session",
    params(Session),
    responses(
        (status = 202, description = "The fetch is scheduled.", body = Scheduled),
        BadRequest, NotFound, Conflict, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn refresh(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Session(id): Session,
) -> Result<(StatusCode, Json<Scheduled>), Error> {
    if !state.can_poll {
        return Err(Error::Conflict(
            "there are no credentials for the SDP API (sdp.auth), so nothing can be fetched"
                .to_owned(),
        ));
    }
    let filter = Filter::of_session(id.as_str());
    let page = state.records().list(filter, 1, None).await?;
    let event = page.events.first().map(|event| event.id);
    let Some(event) = event else {
        return Err(Error::NotFound("there is no event of this session yet"));
    };
    audit(&state, &caller, "refresh".to_owned(), Some(event)).await?;
    if !state
        .records()
        .refetch(event, state.clock.monotonic())
        .await?
    {
        return Err(Error::Conflict(
            "its event is not retrieved yet, or its content is purged".to_owned(),
        ));
    }
    state.journal.wake();
    Ok(Scheduled::of(event))
}

/// Stop expecting a session.
///
/// A notification of the session is still accepted.
#[utoipa::path(
    delete, path = "/sessions/{id}", tag = "sessions", operation_id = "withdraw_session",
    params(Session),
    responses(
        (status = 200, description = "The session with its state.", body = view::Session),
        BadRequest, NotFound, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn withdraw(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Session(id): Session,
) -> Result<Json<view::Session>, Error> {
    let known = state.records().expected(id.clone()).await?;
    known.ok_or_else(Error::no_session)?;
    audit(&state, &caller, format!("withdraw session {id}"), None).await?;
    let withdrawn = state.records().withdraw(id).await?;
    shown(&state, withdrawn)
}
