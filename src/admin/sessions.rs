//! `/api/v1/sessions`: the partner's software says which sessions it has begun and ended, so that none is without an end.

use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::auth::audit;
use super::error::Error;
use super::path::Session;
use super::registration::{self, Said};
use super::{Caller, State, filter, view};
use crate::domain::{Expected, Origin, Registration};
use crate::journal::{Filter, NewExpected, Registered};

/// How often a wait for a session's end looks.
const LOOK: Duration = Duration::from_millis(200);
/// Sessions registered by one write.
const BATCH: usize = 500;
const NDJSON: &str = "application/x-ndjson";

/// `POST /sessions`: registers one session, a list of them, or one a line.
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
        Said::One(one) => {
            let new = one
                .and_then(|said| said.expected(&state.reconcile, state.clock.now()))
                .map_err(Error::BadRequest)?;
            let registered = keep(&state, vec![new]).await?;
            let registered = registered.first().ok_or_else(Error::no_session)?;
            let status = status(registered.is_new);
            Ok((status, Json(view::registered(registered))).into_response())
        }
        Said::Many(many) => {
            let read: Vec<Result<NewExpected, String>> = many
                .into_iter()
                .map(|one| one.and_then(|said| said.expected(&state.reconcile, state.clock.now())))
                .collect();
            let new = read.iter().flatten().cloned().collect();
            let mut registered = keep(&state, new).await?.into_iter();
            let (mut is_any_new, mut is_any_kept) = (false, false);
            let answers: Vec<Value> = read
                .iter()
                .map(|read| match read {
                    Ok(_) => registered.next().map_or(Value::Null, |registered| {
                        is_any_new |= registered.is_new;
                        is_any_kept = true;
                        view::registered(&registered)
                    }),
                    Err(why) => json!({"error": {"code": 400, "message": why}}),
                })
                .collect();
            let status = if is_any_kept || answers.is_empty() {
                status(is_any_new)
            } else {
                StatusCode::BAD_REQUEST
            };
            Ok(if is_lines {
                let lines: String = answers.iter().map(|answer| format!("{answer}\n")).collect();
                (status, [(header::CONTENT_TYPE, NDJSON)], lines).into_response()
            } else {
                (status, Json(answers)).into_response()
            })
        }
    }
}

/// `PATCH /sessions/{id}`: says what has become known of a session, in any order and as often as one likes.
pub(super) async fn change(
    Shared(state): Shared<State>,
    Session(id): Session,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Error> {
    is_enabled(&state)?;
    let body = body.map_err(|_| Error::TooLarge(registration::MAX_BODY_BYTES))?;
    let change = registration::change(&body).map_err(Error::BadRequest)?;
    let Some(mut known) = state.journal.expected(id.clone()).await? else {
        // Its registration is on its way: its end may be told by somebody else, and overtake it.
        let registration = Registration {
            ended_at: change.ended_at,
            provider: change.provider,
            deadline: change.deadline,
            ..Registration::of(id, Origin::Registered)
        };
        let new = NewExpected::of(registration, &state.reconcile.schedule, state.clock.now());
        let registered = state.journal.expect(vec![new]).await?.pop();
        return shown(&state, registered.map(|registered| registered.expected));
    };
    let said = &mut known.registration;
    said.ended_at = change.ended_at.or(said.ended_at);
    said.deadline = change.deadline.or(said.deadline);
    // Only what says when it ends changes when it is asked for.
    let is_rescheduled = change.ended_at.is_some() || change.deadline.is_some();
    let poll = is_rescheduled.then(|| {
        let schedule = &state.reconcile.schedule;
        schedule.first(&known.registration, known.registered_at)
    });
    let changed = state.journal.change_expected(id, change, poll).await?;
    shown(&state, changed)
}

/// `GET /sessions`: the newest first.
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Error> {
    let query = filter::sessions(query.as_deref(), state.clock.now()).map_err(Error::BadRequest)?;
    let page = state
        .journal
        .list_expected(query.filter, query.limit, query.cursor)
        .await?;
    let now = state.clock.now();
    let sessions: Vec<view::Session> = page
        .sessions
        .iter()
        .map(|expected| view::Session::of(expected, now))
        .collect();
    let next = page.next.map(|next| next.to_string());
    Ok(Json(json!({"sessions": sessions, "next_cursor": next})))
}

/// `GET /sessions/{id}`, with `wait=30s` once it has an end, or the time is over, or the service stops.
pub(super) async fn show(
    Shared(state): Shared<State>,
    Session(id): Session,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Error> {
    let wait = filter::wait(query.as_deref()).map_err(Error::BadRequest)?;
    let end = Instant::now() + wait;
    loop {
        let known = state.journal.expected(id.clone()).await?;
        let is_awaited = known
            .as_ref()
            .is_some_and(|expected| expected.state.is_awaited());
        if !is_awaited || Instant::now() >= end || state.readiness.is_draining() {
            return shown(&state, known);
        }
        tokio::time::sleep_until(end.min(Instant::now() + LOOK)).await;
    }
}

/// `POST /sessions/{id}/poll`: asks for its status now.
pub(crate) async fn poll(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Session(id): Session,
) -> Result<(StatusCode, Json<Value>), Error> {
    is_enabled(&state)?;
    if !state.can_poll {
        return Err(Error::Conflict(
            "there are no credentials for the SDP API (sdp.auth), so nothing can be asked for"
                .to_owned(),
        ));
    }
    let known = state.journal.expected(id.clone()).await?;
    known.ok_or_else(Error::no_session)?;
    audit(&state, &caller, format!("poll session {id}"), None).await?;
    let now = state.clock.monotonic();
    let asked = state.journal.poll_now(id, now).await?;
    Ok((StatusCode::ACCEPTED, shown(&state, asked)?))
}

/// `POST /sessions/{id}/refresh`: fetches again what its last event was delivered with, and delivers what has changed.
pub(crate) async fn refresh(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Session(id): Session,
) -> Result<(StatusCode, Json<Value>), Error> {
    if !state.can_poll {
        return Err(Error::Conflict(
            "there are no credentials for the SDP API (sdp.auth), so nothing can be fetched"
                .to_owned(),
        ));
    }
    let filter = Filter::of_session(id.as_str());
    let page = state.journal.list(filter, 1, None).await?;
    let event = page.events.first().map(|event| event.id);
    let Some(event) = event else {
        return Err(Error::NotFound("there is no event of this session yet"));
    };
    audit(&state, &caller, "refresh".to_owned(), Some(event)).await?;
    if !state
        .journal
        .refetch(event, state.clock.monotonic())
        .await?
    {
        return Err(Error::Conflict(
            "its event is not retrieved yet, or its content is purged".to_owned(),
        ));
    }
    state.journal.wake();
    let answer = json!({"result": "scheduled", "id": event.to_string()});
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `DELETE /sessions/{id}`: it is not expected any more. A notification of it is taken all the same.
pub(crate) async fn withdraw(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Session(id): Session,
) -> Result<Json<Value>, Error> {
    let known = state.journal.expected(id.clone()).await?;
    known.ok_or_else(Error::no_session)?;
    audit(&state, &caller, format!("withdraw session {id}"), None).await?;
    let withdrawn = state.journal.withdraw(id).await?;
    shown(&state, withdrawn)
}

async fn keep(state: &State, mut new: Vec<NewExpected>) -> Result<Vec<Registered>, Error> {
    let mut registered = Vec::with_capacity(new.len());
    while !new.is_empty() {
        let rest = new.split_off(new.len().min(BATCH));
        registered.extend(state.journal.expect(new).await?);
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

fn shown(state: &State, expected: Option<Expected>) -> Result<Json<Value>, Error> {
    let expected = expected.ok_or_else(Error::no_session)?;
    let view = view::Session::of(&expected, state.clock.now());
    Ok(Json(json!(view)))
}

fn is_enabled(state: &State) -> Result<(), Error> {
    if state.reconcile.enabled {
        return Ok(());
    }
    Err(Error::Conflict(
        "no session is expected here: reconcile.enabled is false".to_owned(),
    ))
}
