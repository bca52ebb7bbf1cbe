//! An event's history in the order of time, put together from what the journal knows. Says nothing of the content.

use jiff::Timestamp;
use serde::Serialize;

use crate::domain::LinkState;
use crate::journal::{EventDetail, Link};

/// One thing that happened to an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When.
    pub at: String,
    /// What, in a few words.
    pub what: String,
    /// How it ended, or who did it.
    pub detail: String,
}

/// What happened, oldest first.
pub(super) fn of(detail: &EventDetail) -> Vec<Moment> {
    let event = &detail.event;
    let stale = if event.stale { ", stale" } else { "" };
    let received = (
        event.received_at,
        "received".to_owned(),
        format!("by {}{stale}", event.source),
    );
    let fetched = detail.links.iter().filter_map(fetched);
    let delivered = detail.deliveries.iter().filter_map(|delivery| {
        let attempts = format!("attempt {}", delivery.attempts);
        Some((
            delivery.delivered_at?,
            format!("deliver to {}", delivery.sink),
            format!("delivered, {attempts}"),
        ))
    });
    let others = detail
        .attempts
        .iter()
        .map(|attempt| (attempt.at, attempt.what.clone(), attempt.detail.clone()));

    let mut moments: Vec<(Timestamp, String, String)> = std::iter::once(received)
        .chain(fetched)
        .chain(delivered)
        .chain(others)
        .collect();
    moments.sort_by_key(|(at, _, _)| *at);
    moments
        .into_iter()
        .map(|(at, what, detail)| Moment {
            at: at.to_string(),
            what,
            detail,
        })
        .collect()
}

fn fetched(link: &Link) -> Option<(Timestamp, String, String)> {
    let at = link.fetched_at?;
    let status = link
        .http_status
        .map_or_else(String::new, |status| format!(", HTTP {status}"));
    let end = match (link.state, &link.reason) {
        (LinkState::Fetched, _) => format!(", {} bytes", link.bytes.unwrap_or_default()),
        (_, Some(reason)) => format!(", {reason}"),
        (_, None) => String::new(),
    };
    Some((
        at,
        format!("fetch {}", link.group),
        format!("{}{status}{end}", link.state),
    ))
}
