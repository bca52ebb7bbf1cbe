//! `GET /api/v1/me`: who calls.

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::Caller;
use super::openapi::words;

/// Who calls.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Caller)]
pub(super) struct Me {
    /// The token's name, as it stands in the audit log.
    name: String,
    /// What it may do.
    #[schema(value_type = words::Role)]
    role: &'static str,
    /// The sink whose target it confirms for.
    sink: Option<String>,
}

/// Show who calls.
///
/// Any token may ask: a way to see whether it is valid, and what it may do.
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
