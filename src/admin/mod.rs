//! The listener for operators: metrics, health, and access to the journal.
//!
//! It is not involved in accepting notifications. There is one file for each resource; handlers reach only [`State`].

mod applied;
mod audit;
mod auth;
pub(crate) mod causes;
pub(crate) mod content;
mod docs_page;
mod error;
mod events;
pub mod filter;
pub mod jobs_view;
mod me;
mod metrics;
mod openapi;
mod parameters;
mod path;
pub mod pauses;
pub mod registration;
pub mod replay;
pub(crate) mod replays;
pub mod requeue;
pub(crate) mod session_actions;
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
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Reconcile;
use crate::domain::{Clock, EventId};
use crate::journal::{EventDetail, Journal, Records};
use crate::lifecycle::{Alerts, Readiness};
use crate::metrics::Metrics;
use crate::net;
use crate::net::health_routes;

use auth::Needs;
pub use auth::{Caller, DenialLimit, Tokens};
pub(crate) use auth::{LONGEST_REASON, audit};
pub(crate) use docs_page::page as docs;
pub(crate) use error::Error;
use parameters::Queried;
pub(crate) use path::{CauseWord, Id, Number, Place, Session as SessionPath, SinkName};
pub(crate) use replay::ReplayRequest;
pub use stream::Watchers;
pub(crate) use stream::open as open_stream;

/// The largest body of a request, which has ample room for a replay's filter and sinks.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The state that the admin API's handlers can reach. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// The journal of events.
    pub journal: Journal,
    /// The metrics, rendered for `/metrics`.
    pub metrics: Metrics,
    /// The readiness that `/readyz` reports.
    pub readiness: Readiness,
    /// The clock.
    pub clock: Clock,
    /// The valid tokens, swapped on reload.
    pub tokens: Arc<ArcSwap<Tokens>>,
    /// The names of the configured sinks.
    pub sinks: Arc<[String]>,
    /// Those of them that take events.
    pub event_sinks: Arc<[String]>,
    /// Limits how often refused calls are logged.
    pub refusals: DenialLimit,
    /// The settings of expected sessions.
    pub reconcile: Reconcile,
    /// Whether there are credentials to poll the vendor's API.
    pub can_poll: bool,
    /// The active alerts.
    pub alerts: Alerts,
    /// The clients of the stream.
    pub watchers: Watchers,
}

impl State {
    /// The records of the store.
    pub(crate) fn records(&self) -> &dyn Records {
        self.journal.records()
    }

    /// The event with this id, or the error that it does not exist.
    async fn event(&self, id: EventId) -> Result<EventDetail, Error> {
        let found = self.records().event(id).await?;
        found.ok_or_else(Error::no_event)
    }
}

/// The routes of the admin listener, including the console's. A layer covers only the routes added before it, so the
/// layers for all answers come last.
pub fn router(state: State, console: Router) -> Router {
    let health = health_routes(state.readiness.clone());
    Router::from(open())
        .merge(described(&state))
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

/// The routes under `/api/v1`. All of them need a token, and so do paths that do not exist.
fn api(state: &State) -> Router<State> {
    let routes = groups().into_iter().map(|(routes, needs)| {
        let (routes, description) = routes.split_for_parts();
        let queried = Queried::of(&description);
        let needs = from_fn_with_state((state.clone(), needs), auth::require_role);
        routes
            .route_layer(from_fn_with_state(queried, parameters::refuse_unused))
            .route_layer(needs)
    });
    routes
        .fold(Router::new(), Router::merge)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(|| async { net::not_found() })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), auth::require_token))
        .layer(always(header::CACHE_CONTROL, "no-store"))
}

/// The API's description with its page and schemas, which also need a token.
fn described(state: &State) -> Router<State> {
    let needs = (state.clone(), Needs::VIEWER);
    Router::from(describing())
        .route_layer(from_fn_with_state(needs, auth::require_role))
        .route_layer(from_fn_with_state(state.clone(), auth::require_token))
        .route_layer(always(header::CACHE_CONTROL, "no-store"))
}

/// The routes under `/api/v1`, by the roles that may call them. The router and the description are both made from
/// these.
fn groups() -> [(OpenApiRouter<State>, Needs); 5] {
    [
        (identifying(), Needs::ANY),
        (viewing(), Needs::VIEWER),
        (operating(), Needs::OPERATOR),
        (registering(), Needs::REGISTRAR),
        (applying(), Needs::APPLIER),
    ]
}

/// Routes for whoever can reach the listener.
fn open() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(metrics::show))
        .routes(routes!(docs_page::stylesheet))
}

/// Routes that describe the API.
fn describing() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(openapi::show))
        .routes(routes!(docs_page::show))
        .routes(routes!(openapi::schemas::cloudevent))
        .routes(routes!(openapi::schemas::alert))
}

/// Routes for every token.
fn identifying() -> OpenApiRouter<State> {
    OpenApiRouter::default().routes(routes!(me::show))
}

/// Routes for viewers: no clinical content, and no changes.
fn viewing() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(events::list))
        .routes(routes!(events::show))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::show))
        .routes(routes!(stats::show))
        .routes(routes!(stats::history))
        .routes(routes!(stream::show))
        .routes(routes!(causes::list))
        .routes(routes!(pauses::list))
        .routes(routes!(replays::list))
        .routes(routes!(replays::show))
}

/// Routes for registrars: the partner's software registers sessions and reads nothing.
fn registering() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(sessions::register))
        .routes(routes!(sessions::change))
        .layer(DefaultBodyLimit::max(registration::MAX_BODY_BYTES))
}

/// Routes for appliers: a sink's target confirms events and reads nothing.
fn applying() -> OpenApiRouter<State> {
    OpenApiRouter::default().routes(routes!(applied::confirm))
}

/// Routes for operators.
fn operating() -> OpenApiRouter<State> {
    OpenApiRouter::default()
        .routes(routes!(content::purge))
        .routes(routes!(content::payload))
        .routes(routes!(content::resource))
        .routes(routes!(replay::one))
        .routes(routes!(requeue::one))
        .routes(routes!(replays::begin))
        .routes(routes!(replays::cancel))
        .routes(routes!(session_actions::withdraw))
        .routes(routes!(session_actions::poll))
        .routes(routes!(session_actions::refresh))
        .routes(routes!(causes::note))
        .routes(routes!(pauses::pause))
        .routes(routes!(pauses::resume))
        .routes(routes!(sinks::drop_deliveries))
        .routes(routes!(sinks::readdress))
        .routes(routes!(audit::list))
}

fn always(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
}

/// The answer for a wrong method. The router adds the allowed methods in the header `Allow`.
async fn method_not_allowed() -> axum::response::Response {
    net::error_response(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method; see the header Allow",
    )
}
