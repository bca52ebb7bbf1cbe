//! The public listener's routes: the webhook and the health checks. Depends on the journal and on no later stage.

mod arrival;
mod body;
mod budget;
mod handler;
mod intake;
mod rejected_requests;
mod rejection;
mod state;
mod trace;
mod unfinished;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use tower_http::catch_panic::CatchPanicLayer;

use crate::net::{self, health_routes};

pub use rejected_requests::RejectedKeeper;
pub use state::{Parts, Settings, State};

/// The routes of the public listener. When `path` is empty there is no webhook, only the health checks.
pub fn router(path: &str, state: State) -> Router {
    if path.is_empty() {
        return health_routes(state.readiness.clone()).fallback(|| async { net::not_found() });
    }
    let elsewhere = health_routes(state.readiness.clone())
        .fallback(|| async { net::not_found() })
        .layer(from_fn_with_state(state.clone(), handler::elsewhere));
    Router::new()
        .route(
            path,
            post(handler::notification).fallback(handler::other_method),
        )
        .with_state(state)
        .fallback_service(elsewhere)
        .layer(CatchPanicLayer::custom(rejection::panicked))
}
