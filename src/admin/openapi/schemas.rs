//! `/schemas/…`: JSON Schemas of the messages that sinks get, for developers of the receiving program.

use axum::http::header;
use axum::response::IntoResponse;

use crate::sinks::schema;

const JSON_SCHEMA: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "application/schema+json")];

/// The schema of an event that sinks get.
///
/// A CloudEvents 1.0 object with the notification and the content that was fetched for it; JSON Schema 2020-12.
#[utoipa::path(
    get, path = "/schemas/cloudevent.json", tag = "operations", operation_id = "show_cloudevent_schema",
    responses((
        status = 200, description = "A JSON Schema.",
        body = serde_json::Value, content_type = "application/schema+json",
    )),
)]
pub(in crate::admin) async fn cloudevent() -> impl IntoResponse {
    (JSON_SCHEMA, format!("{:#}\n", schema::cloudevent()))
}

/// The schema of an alert that sinks get.
///
/// The same envelope without patient data: alerts, and messages that the synthetic notification was answered; JSON
/// Schema 2020-12.
#[utoipa::path(
    get, path = "/schemas/alert.json", tag = "operations", operation_id = "show_alert_schema",
    responses((
        status = 200, description = "A JSON Schema.",
        body = serde_json::Value, content_type = "application/schema+json",
    )),
)]
pub(in crate::admin) async fn alert() -> impl IntoResponse {
    (JSON_SCHEMA, format!("{:#}\n", schema::alert()))
}
