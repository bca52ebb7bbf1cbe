//! The JSON of the journal's events, without clinical content.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::words;
use super::timeline::{self, Moment, millis};
use crate::domain::{Cause, Expected};
use crate::journal;

/// An event in a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the admin API's Event, field by field")]
pub struct Event {
    #[schema(format = "uuid")]
    pub id: String,
    #[schema(format = DateTime)]
    pub received_at: String,
    #[schema(format = DateTime)]
    pub generated_at: Option<String>,
    #[schema(value_type = words::Source)]
    pub source: &'static str,
    #[schema(value_type = words::Outcome)]
    pub outcome: &'static str,
    pub status: Option<String>,
    pub session_id: Option<String>,
    pub encounter_id: Option<String>,
    #[schema(value_type = words::Kind)]
    pub kind: &'static str,
    #[schema(value_type = words::EventState)]
    pub state: &'static str,
    pub stale: bool,
    pub attempts: u32,
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    pub last_error: Option<String>,
    #[schema(value_type = Option<words::Cause>)]
    pub cause: Option<&'static str>,
    pub error_code: Option<String>,
    #[schema(format = "uuid")]
    pub same_as: Option<String>,
}

/// An event with its links, deliveries and history.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "named after what they hold")]
#[schema(as = EventDetail)]
pub struct Detail {
    #[serde(flatten)]
    pub event: Event,
    pub links: Vec<Link>,
    pub deliveries: Vec<Delivery>,
    pub timeline: Vec<Moment>,
}

/// One link.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the admin API's link, field by field")]
pub struct Link {
    pub group: String,
    pub href: String,
    #[schema(value_type = words::LinkState)]
    pub state: &'static str,
    pub http_status: Option<u16>,
    pub bytes: Option<u64>,
    #[schema(format = DateTime)]
    pub fetched_at: Option<String>,
    pub took_ms: Option<u64>,
    pub reason: Option<String>,
}

/// The delivery to one sink.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the admin API's delivery, field by field")]
pub struct Delivery {
    pub sink: String,
    #[schema(value_type = words::DeliveryState)]
    pub state: &'static str,
    pub attempts: u32,
    #[schema(format = DateTime)]
    pub delivered_at: Option<String>,
    #[schema(format = DateTime)]
    pub next_attempt_at: Option<String>,
    #[schema(format = DateTime)]
    pub applied_at: Option<String>,
    pub http_status: Option<u16>,
    pub took_ms: Option<u64>,
    #[schema(value_type = Option<words::Cause>)]
    pub cause: Option<&'static str>,
    pub last_error: Option<String>,
}

/// A page of events, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = EventPage)]
pub struct Page {
    /// The events. A page may have fewer than were asked for, or none, and not be the last.
    pub events: Vec<Event>,
    /// The cursor of the next page, if there are more events to search.
    pub next_cursor: Option<String>,
    /// How many events match the filter, if that was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

/// The number of matching events, up to a limit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Count {
    /// How many were counted.
    pub events: u64,
    /// Whether there may be more.
    pub is_capped: bool,
}

/// One entry of the audit log.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "named after what they hold")]
pub struct AuditEntry {
    #[schema(format = DateTime)]
    pub at: String,
    pub actor: String,
    pub action: String,
    #[schema(format = "uuid")]
    pub event: Option<String>,
    pub reason: Option<String>,
}

/// A page of the audit log, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// The cursor of the next page, if there is one.
    pub next_cursor: Option<String>,
}

impl From<&journal::Event> for Event {
    fn from(event: &journal::Event) -> Self {
        Self {
            id: event.id.to_string(),
            received_at: event.received_at.to_string(),
            generated_at: text(event.generated_at),
            source: event.source.as_str(),
            outcome: event.outcome.as_str(),
            status: event.status.clone(),
            session_id: event.session_id.as_ref().map(ToString::to_string),
            encounter_id: event.encounter_id.as_ref().map(ToString::to_string),
            kind: event.kind.as_str(),
            state: event.state.as_str(),
            stale: event.stale,
            attempts: event.attempts,
            next_attempt_at: text(event.next_attempt_at),
            last_error: event.last_error.clone(),
            cause: event.cause.map(Cause::as_str),
            error_code: event.error_code.clone(),
            same_as: event.same_as.map(|id| id.to_string()),
        }
    }
}

impl From<&journal::EventDetail> for Detail {
    fn from(detail: &journal::EventDetail) -> Self {
        let link = |link: &journal::LinkRecord| Link {
            group: link.group.to_string(),
            href: link.href.clone(),
            state: link.state.as_str(),
            http_status: link.http_status,
            bytes: link.bytes,
            fetched_at: text(link.fetched_at),
            took_ms: link.took.map(millis),
            reason: link.reason.clone(),
        };
        let delivery = |delivery: &journal::Delivery| Delivery {
            sink: delivery.sink.clone(),
            state: delivery.state.as_str(),
            attempts: delivery.attempts,
            delivered_at: text(delivery.delivered_at),
            next_attempt_at: text(delivery.next_attempt_at),
            applied_at: text(delivery.applied_at),
            http_status: delivery.http_status,
            took_ms: delivery.took.map(millis),
            cause: delivery.cause.map(Cause::as_str),
            last_error: delivery.last_error.clone(),
        };
        Self {
            event: Event::from(&detail.event),
            links: detail.links.iter().map(link).collect(),
            deliveries: detail.deliveries.iter().map(delivery).collect(),
            timeline: timeline::of(detail),
        }
    }
}

impl Page {
    /// A page, with the count if there is one.
    pub fn of(page: &journal::Page, count: Option<Count>) -> Self {
        Self {
            events: page.events.iter().map(Event::from).collect(),
            next_cursor: page.next.map(|next| next.to_string()),
            count,
        }
    }
}

impl From<&journal::AuditPage> for AuditPage {
    fn from(page: &journal::AuditPage) -> Self {
        Self {
            entries: page.entries.iter().map(AuditEntry::from).collect(),
            next_cursor: page.next.map(|next| next.to_string()),
        }
    }
}

impl From<&journal::AuditEntry> for AuditEntry {
    fn from(entry: &journal::AuditEntry) -> Self {
        Self {
            at: entry.at.to_string(),
            actor: entry.actor.clone(),
            action: entry.action.clone(),
            event: entry.event.map(|id| id.to_string()),
            reason: entry.reason.clone(),
        }
    }
}

/// An expected session.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the admin API's session, field by field")]
pub struct Session {
    pub session_id: String,
    pub encounter_id: Option<String>,
    #[schema(value_type = words::Kind)]
    pub kind: &'static str,
    pub provider: Option<String>,
    #[schema(value_type = words::Origin)]
    pub origin: &'static str,
    #[schema(value_type = words::SessionState)]
    pub state: &'static str,
    #[schema(format = "uuid")]
    pub event_id: Option<String>,
    #[schema(format = DateTime)]
    pub registered_at: String,
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    #[schema(format = DateTime)]
    pub deadline: Option<String>,
    pub is_overdue: bool,
    #[schema(format = DateTime)]
    pub due_at: String,
    #[schema(format = DateTime)]
    pub next_poll_at: Option<String>,
    pub polls: u32,
    pub last_status: Option<String>,
    pub last_result: Option<String>,
    #[schema(format = DateTime)]
    pub settled_at: Option<String>,
}

impl Session {
    /// The state of a session at `now`.
    pub fn of(expected: &Expected, now: Timestamp) -> Self {
        let said = &expected.registration;
        Self {
            session_id: said.session_id.to_string(),
            encounter_id: said.encounter_id.as_ref().map(ToString::to_string),
            kind: said.kind.as_str(),
            provider: said.provider.clone(),
            origin: said.origin.as_str(),
            state: expected.state.as_str(),
            event_id: expected.event.map(|id| id.to_string()),
            registered_at: expected.registered_at.to_string(),
            started_at: text(said.started_at),
            ended_at: text(said.ended_at),
            deadline: text(said.deadline),
            is_overdue: expected.state.is_awaited() && expected.due_since < now,
            due_at: expected.due_since.to_string(),
            next_poll_at: text(expected.next_poll_at),
            polls: expected.polls,
            last_status: expected.last_status.clone(),
            last_result: expected.last_result.clone(),
            settled_at: text(expected.settled_at),
        }
    }
}

/// A page of sessions, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// The cursor of the next page, if there is one.
    pub next_cursor: Option<String>,
}

/// The answer to a registration.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Registered {
    /// The session's id, which the service has made if none was given.
    pub session_id: String,
    /// The state of the session.
    #[schema(value_type = words::SessionState)]
    pub state: &'static str,
    /// The session's event, if there is one.
    #[schema(format = "uuid")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
}

impl From<&journal::Registered> for Registered {
    fn from(registered: &journal::Registered) -> Self {
        let expected = &registered.expected;
        Self {
            session_id: expected.registration.session_id.to_string(),
            state: expected.state.as_str(),
            event_id: expected.event.map(|id| id.to_string()),
        }
    }
}

fn text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}
