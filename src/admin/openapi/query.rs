//! The parameters of queries, as the description shows them. They are read in [`filter`](super::super::filter); a test
//! compares the names.

use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::words;

/// Which events: the same in a query and in the body of a replay job. All that is given must fit.
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
    /// Why it, or one of its deliveries, did not succeed.
    #[param(value_type = Option<words::Cause>)]
    #[schema(value_type = Option<words::Cause>)]
    cause: Option<String>,
    /// The sink that it is, was or failed to be delivered to.
    #[param(min_length = 1, example = "ehr")]
    #[schema(min_length = 1, example = "ehr")]
    sink: Option<String>,
    /// Where its delivery to that sink stands, or to any where no sink is named.
    #[param(value_type = Option<words::DeliveryState>)]
    #[schema(value_type = Option<words::DeliveryState>)]
    delivery: Option<String>,
    /// Whether it was sent too long before it came.
    #[schema(value_type = Option<words::YesOrNo>)]
    stale: Option<bool>,
    /// The error code that Suki gave for a failed session.
    #[param(min_length = 1)]
    #[schema(min_length = 1)]
    error_code: Option<String>,
    /// The session.
    #[param(min_length = 1)]
    #[schema(min_length = 1)]
    session_id: Option<String>,
    /// The session's encounter.
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

/// How the list of events is shown.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct EventListing {
    /// Which come first: the newest (`desc`, where nothing is said) or the oldest (`asc`).
    #[param(value_type = Option<words::Order>)]
    order: Option<String>,
    /// Whether to count as well how many events the filter finds, up to 10,000.
    count: Option<bool>,
}

/// Which entries of the audit log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct AuditFields {
    /// The name of the token that called.
    actor: Option<String>,
    /// The event that it was about.
    #[param(format = "uuid")]
    event: Option<String>,
    /// At this time or later.
    #[param(value_type = Option<words::Moment>)]
    since: Option<String>,
    /// Before this time.
    #[param(value_type = Option<words::Moment>)]
    until: Option<String>,
}

/// Which sessions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct SessionFields {
    /// Where the session stands.
    #[param(value_type = Option<words::SessionState>)]
    state: Option<String>,
    /// Whose session it is.
    #[param(min_length = 1)]
    provider: Option<String>,
    /// Only those whose notification is overdue.
    overdue: Option<bool>,
}

/// Which part of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct Paging {
    /// Most entries of the page; 50 where nothing is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before, as it is.
    #[param(pattern = "^[0-9]{1,18}$")]
    cursor: Option<String>,
}

/// How many of a list that has no further pages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct Limit {
    /// Most entries; 50 where nothing is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}
