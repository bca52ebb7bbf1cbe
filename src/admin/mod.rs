//! The listener for operators: metrics, health, and the journal seen from the side.
//!
//! Reads and replays; never on the way of a notification. One file for each resource; handlers see [`State`] only.

mod applied;
mod audit;
mod auth;
mod causes;
pub(crate) mod content;
mod error;
mod events;
pub mod filter;
pub mod jobs_view;
mod me;
mod metrics;
mod path;
pub mod registration;
pub mod replay;
pub(crate) mod replays;
pub mod requeue;
pub(crate) mod sessions;
pub(crate) mod sinks;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod timeline;
pub mod view;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, patch, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::Reconcile;
use crate::domain::Clock;
use crate::journal::Journal;
use crate::lifecycle::{Alerts, Readiness};
use crate::metrics::Metrics;
use crate::net;
use crate::net::health_routes;

use auth::Needs;
pub(crate) use auth::audit;
pub use auth::{Caller, DenialLimit, Tokens};
pub(crate) use error::Error;
pub(crate) use path::{Id, Number, Place, Session as SessionPath};
pub(crate) use replay::Wish;
pub use stream::Watchers;
pub(crate) use stream::open as open_stream;

/// Largest body of a request: a replay's filter and sinks, with plenty of room.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the admin's handlers may reach. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// The events.
    pub journal: Journal,
    /// Counters, rendered for `/metrics`.
    pub metrics: Metrics,
    /// What `/readyz` reports.
    pub readiness: Readiness,
    /// The time.
    pub clock: Clock,
    /// Who may call; swapped on reload.
    pub tokens: Arc<ArcSwap<Tokens>>,
    /// Names of the configured sinks.
    pub sinks: Arc<[String]>,
    /// How often a refused call is said.
    pub refusals: DenialLimit,
    /// Whether, and how, sessions are expected.
    pub reconcile: Reconcile,
    /// Whether the vendor's API can be asked for them.
    pub can_poll: bool,
    /// What an operator should know at once.
    pub alerts: Alerts,
    /// Who watches the stream.
    pub watchers: Watchers,
}

/// The routes of the admin listener, with the console's. Layers cover what stands above them, so those for every answer
/// come last.
pub fn router(state: State, console: Router) -> Router {
    let health = health_routes(state.readiness.clone());
    Router::new()
        .route("/metrics", get(metrics::show))
        .nest("/api/v1", api(&state))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(|| async { net::not_found() })
        .with_state(state)
        .merge(health)
        .merge(console)
        .layer(from_fn(error::log_cause))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

/// Everything that needs a token, what is not there included.
fn api(state: &State) -> Router<State> {
    let needs = |needs: Needs| from_fn_with_state((state.clone(), needs), auth::require_role);
    Router::new()
        .route("/me", get(me::show))
        .merge(viewing().route_layer(needs(Needs::VIEWER)))
        .merge(operating().route_layer(needs(Needs::OPERATOR)))
        .merge(registering().route_layer(needs(Needs::REGISTRAR)))
        .merge(applying().route_layer(needs(Needs::APPLIER)))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(|| async { net::not_found() })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), auth::require_token))
        .layer(always(header::CACHE_CONTROL, "no-store"))
}

/// For who sees: nothing clinical, nothing that changes anything.
fn viewing() -> Router<State> {
    Router::new()
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::show))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::show))
        .route("/stats", get(stats::show))
        .route("/stats/history", get(stats::history))
        .route("/stream", get(stream::show))
        .route("/causes", get(causes::list))
        .route("/replays", get(replays::list))
        .route("/replays/{id}", get(replays::show))
}

/// For the partner's software, which says what it has begun and sees nothing.
fn registering() -> Router<State> {
    Router::new()
        .route("/sessions", post(sessions::register))
        .route("/sessions/{id}", patch(sessions::change))
        .layer(DefaultBodyLimit::max(registration::MAX_BODY_BYTES))
}

/// For a sink's target, which confirms and sees nothing.
fn applying() -> Router<State> {
    Router::new().route("/events/{id}/applied", post(applied::confirm))
}

/// For operators.
fn operating() -> Router<State> {
    Router::new()
        .route("/events/{id}", delete(content::purge))
        .route("/events/{id}/payload", get(content::payload))
        .route("/events/{id}/resources/{n}", get(content::resource))
        .route("/events/{id}/replay", post(replay::one))
        .route("/events/{id}/requeue", post(requeue::one))
        .route("/replay", post(replays::begin))
        .route("/replays/{id}/cancel", post(replays::cancel))
        .route("/sessions/{id}", delete(sessions::withdraw))
        .route("/sessions/{id}/poll", post(sessions::poll))
        .route("/sessions/{id}/refresh", post(sessions::refresh))
        .route("/sinks/{name}/drop", post(sinks::drop_deliveries))
        .route("/sinks/{name}/readdress", post(sinks::readdress))
        .route("/audit", get(audit::list))
}

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// The router knows which methods there are, and adds them as `Allow`.
async fn method_not_allowed() -> axum::response::Response {
    net::error_response(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method; see the header Allow",
    )
}
