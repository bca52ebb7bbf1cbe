//! The public listener's routes: the webhook and the health paths. Knows the journal and nothing behind it.

mod handler;
mod refusals;
mod reject;
mod room;
mod state;

use axum::Router;
use axum::routing::post;
use tower_http::catch_panic::CatchPanicLayer;

use crate::net;
use crate::net::health_routes;

pub use refusals::RefusalKeeper;
pub use state::{Parts, Settings, State};

/// The routes of the public listener.
pub fn router(path: &str, state: State) -> Router {
    let health = health_routes(state.readiness.clone());
    Router::new()
        .route(
            path,
            post(handler::notification).fallback(|| async { net::method_not_allowed("POST") }),
        )
        .with_state(state)
        .merge(health)
        .fallback(|| async { net::not_found() })
        .layer(CatchPanicLayer::custom(reject::panicked))
}
