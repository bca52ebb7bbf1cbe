//! The console: pages for operators, rendered on the server, at the root of the admin listener.
//!
//! It reads and acts with the same functions as the API. Every page works without the script, whose main purpose is to
//! refresh pages. Clinical content is shown only after an operator has requested it and given a reason.

mod actions;
mod asset;
mod attention;
mod audit;
mod chart;
mod dependencies;
mod event;
mod events;
mod expected;
mod forms;
mod frame;
mod guard;
mod host;
mod overview;
mod page;
mod preferences;
mod problem;
mod replays;
mod reveal;
mod search;
mod session;
mod sign_in;
mod system;
mod time;
mod ui;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;

use crate::admin;
use crate::config::Console;

use problem::Problem;
use session::Sessions;
use sign_in::Attempts;
use visitor::Visitor;

/// The largest form.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The data about the service that the console shows in addition to the journal's.
#[derive(Debug, Clone)]
pub struct About {
    /// The label in the header.
    pub label: String,
    /// The name of this instance.
    pub instance: String,
    /// The host of the vendor's API.
    pub sdp: String,
    /// The configured sinks.
    pub sinks: Vec<SinkInfo>,
    /// The kind of store.
    pub store: &'static str,
    /// The path of the webhook.
    pub webhook_path: String,
    /// The address at which an event's trace is shown, with the placeholder [`TRACE_ID`](crate::config::TRACE_ID);
    /// empty for no link.
    pub trace_url: String,
    /// When the service was started.
    pub since: Timestamp,
    /// The effective configuration with every secret masked, as `check` prints it.
    pub configuration: String,
}

/// A configured sink.
#[derive(Debug, Clone)]
pub struct SinkInfo {
    /// The name.
    pub name: String,
    /// `http` or `files`.
    pub kind: &'static str,
    /// The host or the folder to which the sink delivers.
    pub target: String,
    /// Whether the sink gets clinical content.
    pub has_content: bool,
    /// Whether deliveries are signed.
    pub is_signed: bool,
    /// The outcomes that the sink gets.
    pub outcomes: Vec<&'static str>,
}

/// The state that the console's handlers can reach. Cheap to clone.
#[derive(Clone)]
struct State {
    admin: admin::State,
    about: Arc<About>,
    sessions: Sessions,
    attempts: Attempts,
    door: Door,
}

/// The kinds of connections on which clinical content may be shown.
#[derive(Debug, Clone, Copy)]
struct Door {
    /// Whether the listener speaks HTTPS.
    is_secure: bool,
    /// Whether a proxy in front speaks HTTPS.
    is_secured: bool,
}

/// The console's routes. `is_secure`: the listener speaks HTTPS.
pub fn router(admin: admin::State, about: About, settings: Console, is_secure: bool) -> Router {
    let hosts: Arc<[String]> = Arc::from(settings.hosts.as_slice());
    let state = State {
        admin,
        about: Arc::new(about),
        door: Door {
            is_secure,
            is_secured: settings.insecure_reveal,
        },
        sessions: Sessions::new(settings, is_secure),
        attempts: Attempts::default(),
    };
    let operator = acting().route_layer(from_fn_with_state(state.clone(), guard::require_operator));
    let inside = looking()
        .merge(operator)
        .layer(from_fn_with_state(state.clone(), guard::require_session));
    Router::new()
        .merge(inside)
        .route("/sign-in", get(sign_in::show).post(sign_in::enter))
        .route("/assets/{file}", get(asset::show))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(guard::same_origin))
        .layer(from_fn_with_state(hosts, host::must_be_own))
        .with_state(state)
}

/// Routes for every visitor who may sign in.
fn looking() -> Router<State> {
    Router::new()
        .route("/", get(overview::show))
        .route("/attention", get(attention::show))
        .route("/events", get(events::show))
        .route("/events/{id}", get(event::show))
        .route("/replays", get(replays::list))
        .route("/replays/{id}", get(replays::show))
        .route("/dependencies", get(dependencies::show))
        .route("/expected", get(expected::show))
        .route("/system", get(system::show))
        .route("/go", get(search::go))
        .route("/stream", get(stream))
        // The page with the API's description, for signed-in visitors.
        .route("/reference", get(async || admin::docs()))
        .route("/preferences", post(preferences::set))
        .route("/sign-out", post(sign_in::leave))
}

/// Routes for operators.
fn acting() -> Router<State> {
    Router::new()
        .route("/audit", get(audit::show))
        .route("/events/{id}/replay", post(actions::replay))
        .route("/events/{id}/requeue", post(actions::requeue))
        .route("/events/{id}/purge", post(actions::purge))
        .route("/events/{id}/reveal", post(reveal::show))
        .route("/replays/new", get(replays::plan))
        .route("/replays/start", post(replays::start))
        .route("/replays/{id}/cancel", post(replays::cancel))
        .route("/causes/{cause}/note", post(attention::note))
        .route("/sinks/{name}/pause", post(dependencies::pause))
        .route("/sinks/{name}/resume", post(dependencies::resume))
        .route("/sinks/{name}/drop", post(dependencies::drop_deliveries))
        .route("/sinks/{name}/readdress", post(dependencies::readdress))
        .route("/expected/add", post(expected::add))
        .route("/expected/{id}/poll", post(expected::poll))
        .route("/expected/{id}/refresh", post(expected::refresh))
        .route("/expected/{id}/withdraw", post(expected::withdraw))
}

/// `GET /stream`: the API's stream, for signed-in visitors.
async fn stream(
    Shared(state): Shared<State>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = headers
        .get("last-event-id")
        .and_then(|after| after.to_str().ok());
    admin::open_stream(&state.admin, after)
        .map(IntoResponse::into_response)
        .map_err(|error| Problem::of(&visitor, &error))
}

/// The path and query of a page, for links that lead back to it.
fn path_of(uri: &Uri) -> String {
    uri.path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned()
}
