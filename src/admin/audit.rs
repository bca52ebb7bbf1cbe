//! `GET /api/v1/audit`: who read or changed what, and why, newest first.

use axum::Json;
use axum::extract::{RawQuery, State as Shared};

use super::error::Error;
use super::{State, filter, view};

/// `GET /audit?actor=&event=&since=&until=&limit=&cursor=`.
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<view::AuditPage>, Error> {
    let query = filter::audit(query.as_deref()).map_err(Error::BadRequest)?;
    let page = state
        .journal
        .audit_log(query.filter, query.limit, query.cursor)
        .await?;
    Ok(Json(view::AuditPage::from(&page)))
}
