//! `/api/v1/sessions`: the partner's software registers the sessions that it begins and ends, so that each reaches a
//! recorded end.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::error::Error;
use super::openapi::answers::{BadRequest, Conflict, NotFound, StoreFailed, TooLarge};
use super::openapi::bodies::{NewSession, NewSessions, SessionChange};
use super::openapi::query::{Paging, SessionFields};
use super::path::Session;
use super::registration::{self, Registrations};
use super::{State, filter, view};
use crate::domain::Expected;
use crate::journal::{NewExpected, Registered};
use crate::net::ErrorBody;

/// The interval at which a wait for a session's end checks the session.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// The limit of sessions that one write registers.
const BATCH: usize = 500;
const NDJSON: &str = "application/x-ndjson";

/// The answer for one of many sessions, at its place in the list.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = RegisteredOrRefused)]
pub(super) enum OneOfMany {
    /// The session is expected.
    Registered(view::Registered),
    /// The session was not registered.
    Refused {
        /// What is wrong with the registration.
        error: ErrorBody,
    },
}

/// The answer to a registration.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described")]
enum RegisteredOneOrMany {
    One(view::Registered),
    Many(Vec<OneOfMany>),
}

/// The error answer to a registration.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described")]
enum RefusedOneOrMany {
    One(ErrorBody),
    Many(Vec<OneOfMany>),
}

/// Register sessions.
///
/// One session, a list of them, or one on each line as `application/x-ndjson`. If no notification of a session comes,
/// the service polls its status, and fetches and delivers it as if a notification had come. The error of one of many
/// sessions is at its place in the answer. Registering a session again is allowed.
#[utoipa::path(
    post, path = "/sessions", tag = "sessions", operation_id = "register_sessions",
    request_body(content(
        (NewSessions = "application/json", example = json!({
            "session_id": "123dfg-456dfg-789dfg-012dfg", "kind": "ambient", "deadline": "2026-11-25T18:00:00Z",
        })),
        (NewSession = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "All sessions were already known.", content(
            (RegisteredOneOrMany = "application/json"), (String = "application/x-ndjson"),
        )),
        (
            status = 201, description = "At least one session is new.",
            content((RegisteredOneOrMany = "application/json"), (String = "application/x-ndjson")),
            links(("ShowSession" = (
                operation_id = "show_session", parameters(("id" = "$response.body#/session_id")),
                description = "The session with its state.",
            ))),
        ),
        (status = 400, description = "The body cannot be read, or none of the sessions can be.", content(
            (RefusedOneOrMany = "application/json"), (String = "application/x-ndjson"),
        )),
        Conflict, TooLarge, StoreFailed,
    ),
)]
pub(crate) async fn register(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    is_enabled(&state)?;
    let body = body.map_err(|_| Error::TooLarge(registration::MAX_BODY_BYTES))?;
    let is_lines = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.trim().starts_with(NDJSON));
    let said = registration::read(&body, is_lines).map_err(Error::BadRequest)?;
    match said {
        Registrations::One(one) => {
            let new = one
                .and_then(|said| said.expected(&state.reconcile, state.clock.now()))
                .map_err(Error::BadRequest)?;
            let registered = keep(&state, vec![new]).await?;
            let registered = registered.first().ok_or_else(Error::no_session)?;
            let status = status(registered.is_new);
            Ok((status, Json(view::Registered::from(registered))).into_response())
        }
        Registrations::Many(many) => {
            let read: Vec<Result<NewExpected, String>> = many
                .into_iter()
                .map(|one| one.and_then(|said| said.expected(&state.reconcile, state.clock.now())))
                .collect();
            let new = read.iter().flatten().cloned().collect();
            let mut registered = keep(&state, new).await?.into_iter();
            let (mut is_any_new, mut is_any_kept) = (false, false);
            let answers: Vec<OneOfMany> = read
                .into_iter()
                .filter_map(|read| match read {
                    Ok(_) => registered.next().map(|registered| {
                        is_any_new |= registered.is_new;
                        is_any_kept = true;
                        OneOfMany::Registered(view::Registered::from(&registered))
                    }),
                    Err(why) => Some(OneOfMany::Refused {
                        error: ErrorBody::new(StatusCode::BAD_REQUEST, why),
                    }),
                })
                .collect();
            let status = if is_any_kept || answers.is_empty() {
                status(is_any_new)
            } else {
                StatusCode::BAD_REQUEST
            };
            Ok(if is_lines {
                (status, [(header::CONTENT_TYPE, NDJSON)], lines(&answers)).into_response()
            } else {
                (status, Json(answers)).into_response()
            })
        }
    }
}

/// The answers as JSON, one on each line.
fn lines(answers: &[OneOfMany]) -> String {
    let mut lines = String::new();
    for answer in answers {
        lines += &serde_json::to_string(answer).expect("an answer of strings is JSON");
        lines.push('\n');
    }
    lines
}

/// Report changes of a session.
///
/// Changes may come in any order, repeatedly, and before the session's registration. Give at least one field.
#[utoipa::path(
    patch, path = "/sessions/{id}", tag = "sessions", operation_id = "change_session",
    params(Session),
    request_body(content = SessionChange, example = json!({"ended_at": "2026-11-25T17:42:00Z"})),
    responses(
        (status = 200, description = "The session with its state.", body = view::Session),
        BadRequest, NotFound, Conflict, TooLarge, StoreFailed,
    ),
)]
pub(super) async fn change(
    Shared(state): Shared<State>,
    Session(id): Session,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<view::Session>, Error> {
    is_enabled(&state)?;
    let body = body.map_err(|_| Error::TooLarge(registration::MAX_BODY_BYTES))?;
    let change = registration::change(&body).map_err(Error::BadRequest)?;
    let Some(mut known) = state.records().expected(id.clone()).await? else {
        // The registration may still be on its way: another program may report the session's end, and be faster.
        let registration = registration::of_change(id, change);
        let new = NewExpected::of(registration, &state.reconcile.schedule, state.clock.now());
        let registered = state.records().expect(vec![new]).await?.pop();
        return shown(&state, registered.map(|registered| registered.expected));
    };
    let said = &mut known.registration;
    said.ended_at = change.ended_at.or(said.ended_at);
    said.deadline = change.deadline.or(said.deadline);
    // Only the end and the deadline determine when the session is polled.
    let is_rescheduled = change.ended_at.is_some() || change.deadline.is_some();
    let poll = is_rescheduled.then(|| {
        let schedule = &state.reconcile.schedule;
        schedule.first(&known.registration, known.registered_at)
    });
    let changed = state.records().change_expected(id, change, poll).await?;
    shown(&state, changed)
}

/// List expected sessions.
///
/// The newest first.
#[utoipa::path(
    get, path = "/sessions", tag = "sessions", operation_id = "list_sessions",
    params(SessionFields, Paging),
    responses(
        (
            status = 200, description = "A page of sessions.", body = view::SessionPage,
            links(("ShowSession" = (
                operation_id = "show_session", parameters(("id" = "$response.body#/sessions/0/session_id")),
                description = "The first session of the page.",
            ))),
        ),
        BadRequest, StoreFailed,
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<view::SessionPage>, Error> {
    let query = filter::sessions(query.as_deref(), state.clock.now()).map_err(Error::BadRequest)?;
    let page = state
        .records()
        .list_expected(query.filter, query.limit, query.cursor)
        .await?;
    let now = state.clock.now();
    let sessions = page.sessions.iter();
    Ok(Json(view::SessionPage {
        sessions: sessions.map(|it| view::Session::of(it, now)).collect(),
        next_cursor: page.next.map(|next| next.to_string()),
    }))
}

/// Show one session.
///
/// With `wait` the answer comes when the session has an end, the time is over, or the service stops.
#[utoipa::path(
    get, path = "/sessions/{id}", tag = "sessions", operation_id = "show_session",
    params(
        Session,
        ("wait" = Option<String>, Query, description = "How long to wait for its end: whole seconds from 0s to 60s.",
            pattern = "^([0-9]|[1-5][0-9]|60)s$", example = "30s"),
    ),
    responses(
        (status = 200, description = "The session with its state.", body = view::Session),
        BadRequest, NotFound, StoreFailed,
    ),
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    Session(id): Session,
    RawQuery(query): RawQuery,
) -> Result<Json<view::Session>, Error> {
    let wait = filter::wait(query.as_deref()).map_err(Error::BadRequest)?;
    let end = Instant::now() + wait;
    loop {
        let known = state.records().expected(id.clone()).await?;
        let is_awaited = known
            .as_ref()
            .is_some_and(|expected| expected.state.is_awaited());
        if !is_awaited || Instant::now() >= end || state.readiness.is_draining() {
            return shown(&state, known);
        }
        tokio::time::sleep_until(end.min(Instant::now() + CHECK_INTERVAL)).await;
    }
}

async fn keep(state: &State, mut new: Vec<NewExpected>) -> Result<Vec<Registered>, Error> {
    let mut registered = Vec::with_capacity(new.len());
    while !new.is_empty() {
        let rest = new.split_off(new.len().min(BATCH));
        registered.extend(state.records().expect(new).await?);
        new = rest;
    }
    state.journal.set_expects_sessions(true);
    Ok(registered)
}

fn status(is_new: bool) -> StatusCode {
    if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    }
}

pub(super) fn shown(
    state: &State,
    expected: Option<Expected>,
) -> Result<Json<view::Session>, Error> {
    let expected = expected.ok_or_else(Error::no_session)?;
    Ok(Json(view::Session::of(&expected, state.clock.now())))
}

pub(super) fn is_enabled(state: &State) -> Result<(), Error> {
    if state.reconcile.enabled {
        return Ok(());
    }
    Err(Error::Conflict(
        "sessions cannot be registered: reconcile.enabled is false".to_owned(),
    ))
}
