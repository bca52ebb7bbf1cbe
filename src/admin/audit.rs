//! `GET /api/v1/audit`: who read or changed what, newest first.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use serde_json::{Value, json};

use super::error::Error;
use super::{State, filter, view};

/// `GET /audit?limit=`.
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Error> {
    let limit = filter::only_limit(query.as_deref()).map_err(Error::BadRequest)?;
    let entries = state.journal.audit_log(limit).await?;
    let entries: Vec<_> = entries.iter().map(view::AuditEntry::from).collect();
    Ok(Json(json!({"entries": entries})))
}
