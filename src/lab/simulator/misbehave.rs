//! Applies faults to calls: draws the fault that is due, and spoils or replaces the answer.
//!
//! It knows nothing about sessions and tokens.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::answers::{error, status};
use super::{Endpoint, Fault, Faults};

/// The pause between the first half of a body and the cut, so that the half has been sent before the connection breaks.
const BEFORE_THE_CUT: Duration = Duration::from_millis(20);

/// The faults in force. They may change at any moment.
pub(super) struct InForce(Mutex<State>);

struct State {
    faults: Faults,
    chance: StdRng,
}

impl InForce {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(State {
            faults: Faults::default(),
            chance: StdRng::seed_from_u64(seed),
        }))
    }

    pub(super) fn set(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The present faults. A rule that is used up is shown with `:0`.
    pub(super) fn get(&self) -> Faults {
        self.state().faults.clone()
    }

    /// Draws the fault that is due for a call of this endpoint, if any, and counts it.
    pub(super) fn draw(&self, endpoint: Option<Endpoint>) -> Option<Fault> {
        let State { faults, chance } = &mut *self.state();
        let rule = faults.0.iter_mut().find(|rule| {
            let fits = rule.endpoint.is_none() || rule.endpoint == endpoint;
            fits && rule.times != Some(0)
                && rule
                    .percent
                    .is_none_or(|percent| chance.random_bool(percent.clamp(0.0, 100.0) / 100.0))
        })?;
        rule.times = rule.times.map(|times| times - 1);
        Some(rule.fault.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer that a fault produces. `user` is the user of the call's token, and `answer` makes the API's own answer,
/// which not every fault needs.
pub(super) async fn misbehave(
    fault: Fault,
    user: Option<&str>,
    answer: impl Future<Output = Response>,
) -> Response {
    match fault {
        Fault::OnlyFor(provider) => match user {
            Some(user) if user != provider => {
                error(StatusCode::FORBIDDEN, &usual_message(StatusCode::FORBIDDEN))
            }
            Some(_) | None => answer.await,
        },
        Fault::Linger(state) => match answer.await {
            known if known.status().is_success() => Json(status(&state)).into_response(),
            refused => refused,
        },
        Fault::WrongKind(status) => match answer.await {
            unknown if unknown.status() == StatusCode::NOT_FOUND => {
                error(status, &usual_message(status))
            }
            known => known,
        },
        Fault::Status {
            status,
            message,
            retry_after,
        } => {
            let message = message.unwrap_or_else(|| usual_message(status));
            let mut answer = error(status, &message);
            if let Some(seconds) = retry_after {
                answer.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            answer
        }
        Fault::Slow(delay) => {
            sleep(delay).await;
            answer.await
        }
        Fault::Drip(pause) => respoil(answer.await, |body| drip(body.clone(), pause)).await,
        Fault::Cut => respoil(answer.await, cut).await,
        Fault::Huge => huge(),
        Fault::NotJson => {
            Html("<!doctype html><title>Sign in</title><h1>Please sign in</h1>").into_response()
        }
        Fault::Empty => StatusCode::OK.into_response(),
        Fault::Redirect(to) => match HeaderValue::try_from(to) {
            Ok(to) => (StatusCode::FOUND, [(LOCATION, to)]).into_response(),
            Err(_) => StatusCode::FOUND.into_response(),
        },
        Fault::Expire => answer.await,
    }
}

/// The vendor's error id for a status (docs/VENDOR.md, "Errors"), or the status' own name if there is none.
fn usual_message(status: StatusCode) -> String {
    match status.as_u16() {
        400 => "invalid_request".to_owned(),
        401 => "invalid_sdp_token".to_owned(),
        403 => "permission_denied".to_owned(),
        504 => "request_timeout".to_owned(),
        _ => status
            .canonical_reason()
            .unwrap_or("unknown error")
            .to_ascii_lowercase()
            .replace([' ', '-'], "_"),
    }
}

/// The same answer with its body sent in another way. It still announces the correct length.
async fn respoil(answer: Response, spoil: impl FnOnce(&Bytes) -> Body) -> Response {
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    head.headers.insert(CONTENT_LENGTH, body.len().into());
    Response::from_parts(head, spoil(&body))
}

fn drip(body: Bytes, pause: Duration) -> Body {
    Body::from_stream(stream::iter(0..body.len()).then(move |at| {
        let byte = body.slice(at..=at);
        async move {
            sleep(pause).await;
            Ok::<_, io::Error>(byte)
        }
    }))
}

fn cut(body: &Bytes) -> Body {
    let half = body.slice(..body.len() / 2);
    let broken = stream::once(async {
        sleep(BEFORE_THE_CUT).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(stream::iter([Ok(half)]).chain(broken))
}

/// A note that never ends.
fn huge() -> Response {
    let start = Bytes::from_static(br#"{"summary":[{"title":"HISTORY","content":""#);
    let more = Bytes::from("All work and no play. ".repeat(1000));
    let body = stream::iter([start])
        .chain(stream::repeat(more))
        .map(Ok::<_, io::Error>);
    (
        [(CONTENT_TYPE, "application/json")],
        Body::from_stream(body),
    )
        .into_response()
}
