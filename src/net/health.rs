//! `/livez`, `/readyz`, `/healthz`: open to load balancers and orchestrators.

use axum::Router;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get};
use serde::Serialize;
use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, ToSchema};

use super::answer::method_not_allowed;
use crate::lifecycle::{Readiness, Report};

/// Whether the process runs.
#[derive(Debug, Serialize, ToSchema)]
struct Liveness {
    /// Always `live`.
    status: &'static str,
}

/// Whether a notification can be accepted, with the problems that prevent it and those that do not.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// The reasons why no notification can be accepted.
    pub failing: Vec<String>,
    /// Problems that do not prevent accepting notifications.
    pub notes: Vec<String>,
    /// `ready`, `degraded` (it can take a notification, but see the notes) or `unavailable`.
    #[schema(pattern = "^(ready|degraded|unavailable)$")]
    pub status: &'static str,
}

impl From<Report> for Health {
    fn from(report: Report) -> Self {
        Self {
            status: report.word(),
            failing: report.failing,
            notes: report.notes,
        }
    }
}

/// The three paths, for any listener.
pub fn routes(readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", only_get(live))
        .route("/readyz", only_get(ready))
        .route("/healthz", only_get(healthy))
        .with_state(readiness)
}

/// The OpenAPI description of the three paths.
pub fn description() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(paths(live, ready, healthy))]
    struct Paths;
    Paths::openapi()
}

/// Whether the process runs.
#[utoipa::path(
    get, path = "/livez", tag = "health", operation_id = "show_liveness",
    responses((status = 200, description = "It runs.", body = Liveness)),
)]
async fn live() -> Response {
    Json(Liveness { status: "live" }).into_response()
}

/// Whether a notification can be accepted.
///
/// Unavailable from the first moment of a drain.
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "show_readiness",
    responses(
        (status = 200, description = "It can; the notes name parts that are not healthy.", body = Health),
        (status = 503, description = "It cannot; the failing parts are named.", body = Health),
    ),
)]
async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Health::from(report))).into_response()
}

/// The same as `/readyz`.
#[utoipa::path(
    get, path = "/healthz", tag = "health", operation_id = "show_health",
    responses(
        (status = 200, description = "It can; the notes name parts that are not healthy.", body = Health),
        (status = 503, description = "It cannot; the failing parts are named.", body = Health),
    ),
)]
async fn healthy(readiness: State<Readiness>) -> Response {
    ready(readiness).await
}

/// Wraps a handler for `GET`, and answers other methods in the error shape.
fn only_get<H, T>(handler: H) -> MethodRouter<Readiness>
where
    H: Handler<T, Readiness>,
    T: 'static,
{
    get(handler).fallback(|| async { method_not_allowed("GET, HEAD") })
}
