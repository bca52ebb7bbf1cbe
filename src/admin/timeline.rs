//! An event's history in chronological order, made from the journal's records. It contains nothing of the content.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::words;
use crate::domain::{Cause, LinkState};
use crate::journal::{Attempt, Delivery, Event, EventDetail, LinkRecord};

/// One entry of an event's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
pub struct Moment {
    /// When it happened.
    #[schema(format = DateTime)]
    pub at: String,
    /// What happened, in a few words.
    pub what: String,
    /// The result, or who did it.
    pub detail: String,
    /// The cause, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Cause>)]
    pub cause: Option<&'static str>,
    /// The HTTP status of the answer, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The instance that did it, if it is an attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// The history of an event, oldest entry first.
pub(super) fn of(detail: &EventDetail) -> Vec<Moment> {
    let mut moments = vec![received(&detail.event)];
    moments.extend(detail.links.iter().filter_map(fetched));
    moments.extend(detail.deliveries.iter().filter_map(delivered));
    moments.extend(detail.attempts.iter().map(failed_or_done_by_somebody));
    moments.sort_by_key(|(at, _)| *at);
    moments.into_iter().map(|(_, moment)| moment).collect()
}

/// An entry with only these fields.
fn moment(at: Timestamp, what: String, detail: String) -> (Timestamp, Moment) {
    let moment = Moment {
        at: at.to_string(),
        what,
        detail,
        cause: None,
        http_status: None,
        took_ms: None,
        instance: None,
    };
    (at, moment)
}

/// A duration in milliseconds.
pub(super) fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn received(event: &Event) -> (Timestamp, Moment) {
    let stale = if event.stale { ", stale" } else { "" };
    let detail = format!("by {}{stale}", event.source);
    moment(event.received_at, "received".to_owned(), detail)
}

fn delivered(delivery: &Delivery) -> Option<(Timestamp, Moment)> {
    let what = format!("deliver to {}", delivery.sink);
    let detail = format!("delivered, attempt {}", delivery.attempts);
    let (at, moment) = moment(delivery.delivered_at?, what, detail);
    let moment = Moment {
        took_ms: delivery.took.map(millis),
        instance: delivery.instance.clone(),
        ..moment
    };
    Some((at, moment))
}

fn failed_or_done_by_somebody(attempt: &Attempt) -> (Timestamp, Moment) {
    let (at, moment) = moment(attempt.at, attempt.what.clone(), attempt.detail.clone());
    let moment = Moment {
        cause: attempt.cause.map(Cause::as_str),
        http_status: attempt.http_status,
        took_ms: attempt.took.map(millis),
        instance: attempt.instance.clone(),
        ..moment
    };
    (at, moment)
}

fn fetched(link: &LinkRecord) -> Option<(Timestamp, Moment)> {
    let status = link
        .http_status
        .map_or_else(String::new, |status| format!(", HTTP {status}"));
    let end = match (link.state, &link.reason) {
        (LinkState::Fetched, _) => format!(", {} bytes", link.bytes.unwrap_or_default()),
        (_, Some(reason)) => format!(", {reason}"),
        (_, None) => String::new(),
    };
    let detail = format!("{}{status}{end}", link.state);
    let (at, moment) = moment(link.fetched_at?, format!("fetch {}", link.group), detail);
    let moment = Moment {
        took_ms: link.took.map(millis),
        instance: link.instance.clone(),
        ..moment
    };
    Some((at, moment))
}
