//! The public listener's routes: the webhook and the health paths. Knows the journal and nothing behind it.

mod handler;
mod health;
mod reject;
mod state;

use axum::Router;
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;

pub use health::routes as health_routes;
pub use state::{Settings, State};

/// The routes of the public listener.
pub fn router(path: &str, state: State) -> Router {
    let health = health::routes(state.readiness.clone());
    Router::new()
        .route(
            path,
            post(handler::notification).fallback(reject::method_not_allowed),
        )
        .with_state(state)
        .merge(health)
        .fallback(reject::not_found)
        .layer(CatchPanicLayer::custom(reject::panicked))
}

/// Wraps a handler for `GET`, and answers other methods in the vendor's error shape.
fn only_get<H, T, S>(handler: H) -> axum::routing::MethodRouter<S>
where
    H: axum::handler::Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    get(handler).fallback(reject::get_only)
}
