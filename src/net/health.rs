//! `/livez`, `/readyz`, `/healthz`: open to load balancers and orchestrators.

use axum::Router;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use serde_json::json;

use super::answer::method_not_allowed;
use crate::lifecycle::Readiness;

/// The three paths, for any listener.
pub fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", only_get(live))
        .route("/readyz", only_get(ready))
        .route("/healthz", only_get(ready))
        .with_state(readiness)
}

async fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({"status": report.word(), "failing": report.failing, "notes": report.notes});
    (status, Json(body)).into_response()
}

/// Wraps a handler for `GET`, and answers other methods in the error shape.
fn only_get<H, T>(handler: H) -> MethodRouter<Readiness>
where
    H: Handler<T, Readiness>,
    T: 'static,
{
    get(handler).fallback(|| async { method_not_allowed("GET, HEAD") })
}
