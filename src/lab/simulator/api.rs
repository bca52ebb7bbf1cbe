//! The vendor's API: login, the endpoints of both kinds of session, and the vendor's error shape.
//!
//! Shapes and texts are in `answers`; this file decides who may read what. The vendor does not specify the answer for
//! content of a session that is not completed (docs/VENDOR.md, "Answers"); here it is a 404.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::{MatchedPath, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::jwk::JwkSet;
use serde_json::{Value, json};

use super::answers::{self, error};
use super::misbehave::misbehave;
use super::{Endpoint, Fault, Sdp, Session, control, tokens};
use crate::domain::SessionKind;

/// The header with the token.
pub(super) const TOKEN_HEADER: &str = "sdp_suki_token";

/// The header that names the provider in single-auth-token mode.
const PROVIDER_HEADER: &str = "sdp_provider_id";

/// The vendor's endpoints, and those that control the simulator.
pub(super) fn router(sdp: &Sdp) -> Router {
    let reads = Endpoint::ALL
        .into_iter()
        .filter(|endpoint| !matches!(endpoint, Endpoint::Login | Endpoint::Jwks))
        .fold(Router::new(), |router, endpoint| {
            let read = async move |State(sdp): State<Sdp>,
                                   Path(id): Path<String>,
                                   Query(query): Query<HashMap<String, String>>,
                                   headers: HeaderMap| {
                let caller = sdp.authorize(&headers)?;
                let cumulative = query.get("cumulative").is_some_and(|value| value == "true");
                sdp.read(endpoint, &id, cumulative, &caller).map(Json)
            };
            router.route(endpoint.path(), get(read))
        });
    Router::new()
        .route(Endpoint::Login.path(), post(login))
        .route(Endpoint::Jwks.path(), get(jwks))
        .merge(reads)
        .fallback(async || Refusal::not_found("no such endpoint"))
        .method_not_allowed_fallback(async || {
            Refusal(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed".to_owned(),
            )
        })
        .layer(middleware::from_fn_with_state(sdp.clone(), observe))
        .merge(control::router())
        .with_state(sdp.clone())
}

impl Sdp {
    fn authorize(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let Some(user) = self.user(headers) else {
            return Err(Refusal(
                StatusCode::UNAUTHORIZED,
                "invalid_sdp_token".to_owned(),
            ));
        };
        let named = provider(headers).map(str::to_owned);
        if self.0.single_auth && named.is_none() {
            let message = "missing_sdp_provider_id_header".to_owned();
            return Err(Refusal(StatusCode::BAD_REQUEST, message));
        }
        let named = named.filter(|_| self.0.single_auth);
        Ok(Caller(named.into_iter().chain([user]).collect()))
    }

    /// The user of the call's token, if the token is valid.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<String> {
        let token = headers.get(TOKEN_HEADER)?.to_str().ok()?;
        self.0.tokens.user_of(token)
    }

    fn read(
        &self,
        endpoint: Endpoint,
        id: &str,
        cumulative: bool,
        caller: &Caller,
    ) -> Result<Value, Refusal> {
        caller.must_read(&self.asked_for(endpoint, id))?;
        self.answer(endpoint, id, cumulative)
    }

    /// The sessions that a call of an endpoint is about.
    fn asked_for(&self, endpoint: Endpoint, id: &str) -> Vec<Session> {
        match endpoint {
            Endpoint::EncounterContent | Endpoint::EncounterStructuredData => {
                self.0.sessions.of_encounter(id)
            }
            _ => {
                let session = self.0.sessions.find(SessionKind::Unknown, id);
                session.into_iter().collect()
            }
        }
    }

    fn answer(&self, endpoint: Endpoint, id: &str, cumulative: bool) -> Result<Value, Refusal> {
        Ok(match endpoint {
            Endpoint::Status => answers::status(&self.state(SessionKind::Ambient, id)?),
            Endpoint::FormStatus => answers::status(&self.state(SessionKind::FormFilling, id)?),
            Endpoint::Content => {
                let session = self.completed(SessionKind::Ambient, id)?;
                match &session.encounter_id {
                    Some(encounter) if cumulative => answers::content(&self.encounter(encounter)?),
                    _ => answers::content(&[session]),
                }
            }
            Endpoint::StructuredData => {
                answers::structured_data(&[self.completed(SessionKind::Ambient, id)?])
            }
            Endpoint::Transcript => answers::transcript(&self.completed(SessionKind::Ambient, id)?),
            Endpoint::Recording => answers::recording(&self.completed(SessionKind::Unknown, id)?),
            Endpoint::EncounterContent => answers::content(&self.encounter(id)?),
            Endpoint::EncounterStructuredData => answers::structured_data(&self.encounter(id)?),
            Endpoint::FormStructuredData => {
                answers::form_structured_data(&self.completed(SessionKind::FormFilling, id)?)
            }
            Endpoint::Login | Endpoint::Jwks => return Err(Refusal::not_found("no such endpoint")),
        })
    }

    /// The body of an answer without faults; `None` if the answer would be an error.
    pub(super) fn body(&self, endpoint: Endpoint, id: &str) -> Option<Bytes> {
        let body = self.answer(endpoint, id, false).ok()?;
        Some(Bytes::from(body.to_string()))
    }

    fn state(&self, kind: SessionKind, id: &str) -> Result<String, Refusal> {
        let state = self.0.sessions.ask(kind, id);
        state.ok_or_else(|| Refusal::not_found("no such session"))
    }

    fn session(&self, kind: SessionKind, id: &str) -> Result<Session, Refusal> {
        let session = self.0.sessions.find(kind, id);
        session.ok_or_else(|| Refusal::not_found("no such session"))
    }

    fn completed(&self, kind: SessionKind, id: &str) -> Result<Session, Refusal> {
        let session = self.session(kind, id)?;
        let completed = session.is_completed().then_some(session);
        completed.ok_or_else(|| Refusal::not_found("the session is not completed"))
    }

    /// The completed sessions of an encounter, or an error if it has none.
    fn encounter(&self, id: &str) -> Result<Vec<Session>, Refusal> {
        let mut sessions = self.0.sessions.of_encounter(id);
        sessions.retain(Session::is_completed);
        if sessions.is_empty() {
            return Err(Refusal::not_found("no such encounter"));
        }
        Ok(sessions)
    }
}

/// The provider for whom a call is made, according to the token and, for partners with a single token, the header.
struct Caller(Vec<String>);

impl Caller {
    /// Fails for sessions of another provider (docs/VENDOR.md, "Errors").
    fn must_read(&self, sessions: &[Session]) -> Result<(), Refusal> {
        let is_others = |session: &Session| {
            let owner = session.provider.as_ref();
            owner.is_some_and(|owner| self.0.iter().any(|provider| provider != owner))
        };
        if sessions.iter().any(is_others) {
            return Err(Refusal(
                StatusCode::FORBIDDEN,
                "permission_denied".to_owned(),
            ));
        }
        Ok(())
    }
}

/// An error answer: the status, and the vendor's error id with details after a colon.
struct Refusal(StatusCode, String);

impl Refusal {
    fn not_found(details: &str) -> Self {
        Self(StatusCode::NOT_FOUND, format!("not_found: {details}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        error(self.0, &self.1)
    }
}

impl From<jsonwebtoken::errors::Error> for Refusal {
    fn from(_: jsonwebtoken::errors::Error) -> Self {
        let message = "internal_server_error".to_owned();
        Self(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

/// Records each call and applies the fault that is due, if any.
async fn observe(State(sdp): State<Sdp>, request: Request, next: Next) -> Response {
    let user = sdp.user(request.headers());
    let call = sdp.0.calls.begin(&request, user.as_deref());
    if let Some(canned) = sdp.0.canned.find(request.uri().path()) {
        let answer = canned.into_response();
        call.answered(answer.status());
        return answer;
    }
    let matched = request.extensions().get::<MatchedPath>();
    let endpoint = matched.and_then(|path| Endpoint::of_matched(path.as_str()));
    let answer = match sdp.0.faults.draw(endpoint) {
        Some(fault) => {
            if fault == Fault::Expire {
                sdp.revoke_tokens();
            }
            misbehave(fault, user.as_deref(), next.run(request)).await
        }
        None => next.run(request).await,
    };
    call.answered(answer.status());
    answer
}

async fn login(State(sdp): State<Sdp>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let field = |name: &str| {
        let value = body.get(name).and_then(Value::as_str);
        value.filter(|text| !text.is_empty()).ok_or_else(|| {
            let message = format!("invalid_request: {name} is required");
            Refusal(StatusCode::BAD_REQUEST, message)
        })
    };
    field("partner_id")?;
    let partner_token = field("partner_token")?;
    let user = if sdp.0.single_auth {
        field("provider_id")?.to_owned()
    } else {
        tokens::user_of_partner_token(partner_token)
    };
    let token = sdp.0.tokens.issue(&user)?;
    Ok(Json(json!({ "suki_token": token })))
}

async fn jwks() -> Result<Json<JwkSet>, Refusal> {
    Ok(Json(tokens::jwks()?))
}

/// The provider that a call names in its header.
pub(super) fn provider(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(PROVIDER_HEADER)
        .and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests;
