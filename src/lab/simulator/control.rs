//! Controls a simulator over HTTP, for tests in any language: faults, sessions, and the recorded calls.
//!
//! These routes are not part of the vendor's API: they need no token, are not recorded, and are not affected by faults.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use super::answers::error;
use super::{BadFault, Call, Faults, Sdp, Session};

/// The routes under `/simulator`.
pub(super) fn router() -> Router<Sdp> {
    Router::new()
        .route("/simulator/faults", get(faults).post(set_faults))
        .route("/simulator/calls", get(calls).delete(reset))
        .route("/simulator/sessions", post(add_sessions))
}

async fn faults(State(sdp): State<Sdp>) -> String {
    sdp.faults().to_string()
}

/// Sets the faults. The body is the text form of [`Faults`]; an empty one clears them.
async fn set_faults(State(sdp): State<Sdp>, text: String) -> Response {
    match text.parse::<Faults>() {
        Ok(faults) => {
            sdp.set_faults(faults);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(bad) => bad_request(&BadFault::to_string(&bad)),
    }
}

async fn calls(State(sdp): State<Sdp>) -> Json<Vec<Value>> {
    Json(sdp.calls().iter().map(Call::to_json).collect())
}

async fn reset(State(sdp): State<Sdp>) -> StatusCode {
    sdp.reset();
    StatusCode::NO_CONTENT
}

/// Adds sessions. The body is one session or an array of them.
async fn add_sessions(State(sdp): State<Sdp>, Json(body): Json<Value>) -> Response {
    let sessions = match &body {
        Value::Array(sessions) => sessions.iter().map(Session::from_json).collect(),
        one => Session::from_json(one).map(|session| vec![session]),
    };
    match sessions {
        Ok(sessions) => {
            sessions.into_iter().for_each(|one| sdp.add_session(one));
            StatusCode::NO_CONTENT.into_response()
        }
        Err(why) => bad_request(&why),
    }
}

fn bad_request(why: &str) -> Response {
    error(StatusCode::BAD_REQUEST, &format!("invalid_request: {why}"))
}
