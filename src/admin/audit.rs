//! `GET /api/v1/audit`: who read or changed what, and why, newest first.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};

use super::error::Error;
use super::openapi::answers::{BadRequest, StoreFailed};
use super::openapi::query::{AuditFields, Paging};
use super::{State, filter, view};

/// List the audit log.
///
/// Who read or changed what, and why; the newest entries first.
#[utoipa::path(
    get, path = "/audit", tag = "operations", operation_id = "list_audit",
    params(AuditFields, Paging),
    responses((status = 200, description = "A page of entries.", body = view::AuditPage), BadRequest, StoreFailed),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<view::AuditPage>, Error> {
    let query = filter::audit(query.as_deref()).map_err(Error::BadRequest)?;
    let page = state
        .records()
        .audit_log(query.filter, query.limit, query.cursor)
        .await?;
    Ok(Json(view::AuditPage::from(&page)))
}
