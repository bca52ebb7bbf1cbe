//! `/livez`, `/readyz`, `/healthz`: open to load balancers and orchestrators.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

use super::only_get;
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
    let (status, word) = if !report.is_ready {
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
    } else if report.notes.is_empty() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::OK, "degraded")
    };
    (
        status,
        Json(json!({"status": word, "failing": report.failing, "notes": report.notes})),
    )
        .into_response()
}
