//! Schemas of the query parameters that [`filter`](super::super::filter) parses, for the description. A test compares
//! the names.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::words;

/// A filter of events, the same in a query and in the body of a replay job. Events must match every given field.
#[derive(Deserialize, IntoParams, ToSchema)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(as = Filter, min_properties = 1)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct FilterFields {
    /// In one of these states: one or several, separated by commas.
    #[param(value_type = Option<words::EventStates>)]
    #[schema(value_type = Option<words::EventStates>)]
    state: Option<String>,
    /// How the session ended.
    #[param(value_type = Option<words::Outcome>)]
    #[schema(value_type = Option<words::Outcome>)]
    outcome: Option<String>,
    /// How the event came in.
    #[param(value_type = Option<words::Source>)]
    #[schema(value_type = Option<words::Source>)]
    source: Option<String>,
    /// The kind of session.
    #[param(value_type = Option<words::Kind>)]
    #[schema(value_type = Option<words::Kind>)]
    kind: Option<String>,
    /// Why the event, or one of its deliveries, failed.
    #[param(value_type = Option<words::Cause>)]
    #[schema(value_type = Option<words::Cause>)]
    cause: Option<String>,
    /// A sink to which the event is being delivered, was delivered, or failed to be delivered.
    #[param(min_length = 1, example = "ehr")]
    #[schema(min_length = 1, example = "ehr")]
    sink: Option<String>,
    /// The state of its delivery to that sink, or to any sink if none is named.
    #[param(value_type = Option<words::DeliveryState>)]
    #[schema(value_type = Option<words::DeliveryState>)]
    delivery: Option<String>,
    /// Whether the notification was stale: it came too long after it was signed.
    #[schema(value_type = Option<words::YesOrNo>)]
    stale: Option<bool>,
    /// The error code that Suki gave for a failed session.
    #[param(min_length = 1)]
    #[schema(min_length = 1)]
    error_code: Option<String>,
    /// The id of the session.
    #[param(min_length = 1)]
    #[schema(min_length = 1)]
    session_id: Option<String>,
    /// The id of the session's encounter.
    #[param(min_length = 1)]
    #[schema(min_length = 1)]
    encounter_id: Option<String>,
    /// Received at this time or later.
    #[param(value_type = Option<words::Moment>)]
    #[schema(value_type = Option<words::Moment>)]
    since: Option<String>,
    /// Received before this time.
    #[param(value_type = Option<words::Moment>)]
    #[schema(value_type = Option<words::Moment>)]
    until: Option<String>,
}

/// The order and the count of a list of events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct EventListing {
    /// Which come first: the newest (`desc`, the default) or the oldest (`asc`).
    #[param(value_type = Option<words::Order>)]
    order: Option<String>,
    /// Whether to also count the events that match the filter, up to 10,000.
    count: Option<bool>,
}

/// A filter of the audit log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct AuditFields {
    /// The name of the token that called.
    actor: Option<String>,
    /// The event that the entry is about.
    #[param(format = "uuid")]
    event: Option<String>,
    /// At this time or later.
    #[param(value_type = Option<words::Moment>)]
    since: Option<String>,
    /// Before this time.
    #[param(value_type = Option<words::Moment>)]
    until: Option<String>,
}

/// A filter of sessions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct SessionFields {
    /// The state of the session.
    #[param(value_type = Option<words::SessionState>)]
    state: Option<String>,
    /// The provider of the session.
    #[param(min_length = 1)]
    provider: Option<String>,
    /// Only those whose notification is overdue.
    overdue: Option<bool>,
}

/// A page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct Paging {
    /// The limit of entries in the page; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The unchanged `next_cursor` of the previous page.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// The limit of a list that has no pages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct Limit {
    /// The limit of entries; 50 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}
