//! `GET /api/v1/me`: the token of the call.

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::Caller;
use super::openapi::words;

/// The token of the call.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Caller)]
pub(super) struct Me {
    /// The token's name, as in the audit log.
    name: String,
    /// The token's role.
    #[schema(value_type = words::Role)]
    role: &'static str,
    /// The sink for whose target the token confirms events.
    sink: Option<String>,
}

/// Show the token of the call.
///
/// Every valid token may call this, to check that it is valid and which role it has.
#[utoipa::path(
    get, path = "/me", tag = "operations", operation_id = "show_me",
    responses((status = 200, description = "The token's name and role.", body = Me)),
)]
pub(super) async fn show(Extension(caller): Extension<Caller>) -> Json<Me> {
    Json(Me {
        name: caller.name,
        role: caller.role.as_str(),
        sink: caller.sink,
    })
}
