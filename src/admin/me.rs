//! `GET /api/v1/me`: who calls.

use axum::{Extension, Json};
use serde_json::{Value, json};

use super::Caller;

/// `GET /me`.
pub(super) async fn show(Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(json!({"name": caller.name, "role": caller.role.as_str(), "sink": caller.sink}))
}
