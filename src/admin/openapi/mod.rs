//! The admin API's description of itself: OpenAPI 3.1, made from the routes and the types of their answers.
//!
//! This folder does not affect the answers. The description of an operation is at its handler, and the roles that may
//! call it come from the group of its route.

pub(super) mod answers;
pub(super) mod bodies;
pub(super) mod query;
pub(super) mod schemas;
pub(super) mod words;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};
use utoipa::{IntoResponses, OpenApi as _};

use super::auth::Needs;
use crate::net;
use answers::{BadRequest, Forbidden, Unauthorized};

/// The name of the only security scheme.
const BEARER: &str = "bearer";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "suki-receiver: the admin API",
        description = "Events that were received, what became of them, and what an operator can do about it. Every call \
                       under `/api/v1` needs a token with a role. `x-role` names the roles that may call, `x-audited` \
                       marks calls that are in the audit log, `x-clinical-content` answers with the content of a \
                       visit. A reason given in the header `X-Audit-Reason` is kept in the audit log.",
    ),
    tags(
        (name = "events", description = "Notifications and what became of them."),
        (name = "replays", description = "Events made due again, one or many."),
        (name = "sessions", description = "Sessions whose notification is expected."),
        (name = "sinks", description = "Sinks, with pauses and with changes to their waiting deliveries."),
        (name = "operations", description = "The state of the service, the audit log, and this description."),
        (name = "health", description = "For load balancers, orchestrators and Prometheus. Open to whoever reaches the listener."),
    ),
    components(schemas(net::ErrorBody, words::Order)),
)]
struct Base;

/// The OpenAPI document of the admin listener.
pub(super) fn value() -> &'static Value {
    // The conversion to a `Value` sorts the keys, so the document is the same each time.
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| json!(describe()));
    &DOCUMENT
}

/// A text of the document, or an empty one if there is none.
pub(super) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The entries of an object of the document; none if there is no object.
pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.as_str(), value))
}

/// The description of the API.
///
/// OpenAPI 3.1, as JSON. The file `docs/openapi.json` of the release is the same.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", operation_id = "show_openapi",
    responses((status = 200, description = "An OpenAPI document.", body = serde_json::Value)),
)]
pub(super) async fn show() -> impl IntoResponse {
    let text = format!("{:#}\n", value());
    ([(header::CONTENT_TYPE, "application/json")], text)
}

fn describe() -> OpenApi {
    let mut routes = OpenApi::default();
    for (group, needs) in super::groups() {
        routes.merge(guarded(group.into_openapi(), needs));
    }
    for operation in routes.paths.paths.values_mut().flat_map(operations) {
        // A query is refused where an operation takes none.
        let answers = &mut operation.responses.responses;
        for (status, answer) in BadRequest::responses() {
            answers.entry(status).or_insert(answer);
        }
    }
    // Nested only once: of two routers that are nested at the same path, the second hides the operations of the first.
    let mut api = Base::openapi().nest("/api/v1", routes);
    api.merge(guarded(super::describing().into_openapi(), Needs::VIEWER));
    api.merge(super::open().into_openapi());
    api.merge(net::health_description());
    let components = api.components.get_or_insert_with(Components::new);
    answers::add_to(components);
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme(BEARER, scheme);
    api
}

/// Adds to each operation the roles that may call it, and the answers to others.
fn guarded(mut api: OpenApi, needs: Needs) -> OpenApi {
    let roles: Vec<&str> = needs.words().collect();
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        operation.security = Some(vec![SecurityRequirement::new(BEARER, [] as [&str; 0])]);
        operation
            .extensions
            .get_or_insert_default()
            .merge(Extensions::from_iter([("x-role", json!(roles))]));
        let answers = &mut operation.responses.responses;
        answers.extend(Unauthorized::responses());
        if needs.excludes_some() {
            answers.extend(Forbidden::responses());
        }
    }
    api
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        patch,
        delete,
        ..
    } = path;
    [get, put, post, patch, delete].into_iter().flatten()
}
