//! The envelope that every sink gets: CloudEvents 1.0 in structured mode. Received JSON is passed on as received, with
//! its key order and numbers. If that is impossible, rendering fails; nothing is substituted.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use super::texts::{datacontenttype, one_of, one_of_texts, specversion};
use crate::config::Include;
use crate::domain::{Document, Expectation, Missing, Outcome, Source, json};
use crate::traces::SpanContext;

/// A session as a sink gets it: a CloudEvents 1.0 object. `id` is the idempotency key.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope<'a> {
    /// The version of CloudEvents.
    #[schema(schema_with = specversion)]
    specversion: &'static str,
    /// The event's id; the same for every delivery of this event.
    #[schema(format = "uuid")]
    id: String,
    /// `suki-receiver/` and the name of the instance.
    #[schema(pattern = "^suki-receiver/")]
    source: String,
    /// `ai.suki.session.` and the session's outcome.
    #[schema(schema_with = session_types)]
    r#type: String,
    /// The session's id.
    subject: &'a str,
    /// When the notification was received.
    #[schema(format = DateTime)]
    time: String,
    /// The media type of `data`.
    #[schema(schema_with = datacontenttype)]
    datacontenttype: &'static str,
    /// The span in which the event was received (CloudEvents' Distributed Tracing extension), if traces are exported.
    #[schema(pattern = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")]
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    data: Data<'a>,
}

/// What was received, and what was fetched for it.
#[derive(Serialize, ToSchema)]
struct Data<'a> {
    /// The notification as received; null if none came and the session was recovered by polling.
    #[schema(value_type = Option<Object>, required)]
    notification: Box<RawValue>,
    /// Present when the notification was not valid UTF-8: the invalid bytes were replaced.
    #[serde(skip_serializing_if = "is_false")]
    repaired: bool,
    /// The session's status in Suki's word, if the status endpoint was called.
    #[schema(required)]
    session_status: Option<&'a str>,
    /// Whether the notification was stale: it was sent too long before it was received.
    stale: bool,
    /// What was fetched, by the group of its link.
    #[schema(value_type = BTreeMap<String, Vec<Resource<'static>>>)]
    resources: BTreeMap<&'a str, Vec<Resource<'a>>>,
    /// The links that could not be fetched.
    missing: Vec<MissingLink<'a>>,
    /// How the event entered the service.
    #[schema(schema_with = sources)]
    source: &'static str,
    /// 1, and one more with each amendment of the same session.
    #[schema(minimum = 1)]
    revision: u32,
    /// The id of the event that this one amends.
    #[schema(format = "uuid", required)]
    replaces: Option<String>,
    #[schema(required)]
    sequence: Option<SequenceNumbers>,
    #[schema(required)]
    expected: Option<ExpectedSession<'a>>,
    /// What the partner said of the patient, the encounter and the provider.
    #[schema(value_type = Option<Object>, required)]
    context: Option<Box<RawValue>>,
}

/// Increasing numbers by which deliveries can be put in order.
#[derive(Serialize, ToSchema)]
struct SequenceNumbers {
    /// Within the session.
    session: u64,
    /// Within the encounter, if it is known.
    #[schema(required)]
    encounter: Option<u64>,
}

/// What the partner said of the session at its registration.
#[derive(Serialize, ToSchema)]
struct ExpectedSession<'a> {
    #[schema(format = DateTime)]
    registered_at: String,
    #[schema(format = DateTime, required)]
    ended_at: Option<String>,
    #[schema(required)]
    provider: Option<&'a str>,
}

/// The answer that was fetched from one link.
#[derive(Serialize, ToSchema)]
struct Resource<'a> {
    href: &'a str,
    http_status: u16,
    #[schema(format = DateTime)]
    fetched_at: String,
    /// The answer of Suki's API.
    #[schema(value_type = serde_json::Value)]
    body: Box<RawValue>,
    /// Present when the answer was not valid UTF-8: the invalid bytes were replaced.
    #[serde(skip_serializing_if = "is_false")]
    repaired: bool,
}

/// A link without content, and why.
#[derive(Serialize, ToSchema)]
struct MissingLink<'a> {
    group: &'a str,
    href: &'a str,
    reason: &'a str,
}

fn session_types() -> Schema {
    let types = Outcome::ALL.iter().map(|outcome| session_type(*outcome));
    one_of_texts(types.collect())
}

fn sources() -> Schema {
    one_of(Source::ALL.iter().map(|source| source.as_str()))
}

/// The event type of a session with this outcome.
fn session_type(outcome: Outcome) -> String {
    format!("ai.suki.session.{outcome}")
}

/// Why a document cannot be rendered. Says nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrenderable {
    /// The stored notification is not JSON.
    #[error("the stored notification is not JSON, so it cannot be rendered")]
    Notification,
    /// A stored resource is not JSON.
    #[error("the stored resource of group '{0}' is not JSON, so it cannot be rendered")]
    Resource(String),
    /// The stored context is not JSON.
    #[error("the stored context is not JSON, so it cannot be rendered")]
    Context,
    /// The envelope cannot be serialized.
    #[error("the envelope cannot be written")]
    Envelope,
}

/// Renders the envelope of a document for this instance; `origin` is the span in which the event was received.
/// Resources are left out if the sink wants only the notification.
///
/// # Errors
/// [`Unrenderable`] if stored data is not JSON. Such data is never left out or replaced.
pub fn envelope(
    document: &Document,
    include: Include,
    (instance, origin): (&str, Option<SpanContext>),
) -> Result<Bytes, Unrenderable> {
    let mut resources: BTreeMap<&str, Vec<Resource<'_>>> = BTreeMap::new();
    if include == Include::Everything {
        for resource in &document.resources {
            let group = resource.group.as_str();
            let (body, repaired) =
                raw(&resource.body).ok_or_else(|| Unrenderable::Resource(group.to_owned()))?;
            resources.entry(group).or_default().push(Resource {
                href: &resource.href,
                http_status: resource.http_status,
                fetched_at: rfc3339(resource.fetched_at),
                body,
                repaired,
            });
        }
    }
    let (notification, repaired) = match &document.notification {
        Some(body) => raw(body).ok_or(Unrenderable::Notification)?,
        None => (RawValue::NULL.to_owned(), false),
    };
    let envelope = Envelope {
        specversion: "1.0",
        id: document.id.to_string(),
        source: format!("suki-receiver/{instance}"),
        r#type: session_type(document.outcome),
        subject: document.session_id.as_str(),
        time: rfc3339(document.received_at),
        datacontenttype: "application/json",
        traceparent: origin.map(|origin| origin.traceparent()),
        data: Data {
            notification,
            repaired,
            session_status: document.session_status.as_deref(),
            stale: document.stale,
            resources,
            missing: document.missing.iter().map(MissingLink::of).collect(),
            source: document.source.as_str(),
            revision: document.revision,
            replaces: document.replaces.map(|id| id.to_string()),
            sequence: document.sequence.map(|sequence| SequenceNumbers {
                session: sequence.session,
                encounter: sequence.encounter,
            }),
            expected: document.expected.as_ref().map(ExpectedSession::of),
            context: context(document, include)?,
        },
    };
    serde_json::to_vec(&envelope)
        .map(Bytes::from)
        .map_err(|_| Unrenderable::Envelope)
}

impl<'a> ExpectedSession<'a> {
    fn of(expected: &'a Expectation) -> Self {
        Self {
            registered_at: rfc3339(expected.registered_at),
            ended_at: expected.ended_at.map(rfc3339),
            provider: expected.provider.as_deref(),
        }
    }
}

/// What the partner said of the patient, the encounter and the provider. This is clinical content, so it is included
/// only if the sink wants all content.
fn context(document: &Document, include: Include) -> Result<Option<Box<RawValue>>, Unrenderable> {
    let said = document
        .expected
        .as_ref()
        .and_then(|it| it.context.as_ref());
    let Some(said) = said.filter(|_| include == Include::Everything) else {
        return Ok(None);
    };
    let (context, _) = raw(&said.0).ok_or(Unrenderable::Context)?;
    Ok(Some(context))
}

impl<'a> MissingLink<'a> {
    fn of(missing: &'a Missing) -> Self {
        Self {
            group: missing.group.as_str(),
            href: &missing.href,
            reason: &missing.reason,
        }
    }
}

/// Stored JSON as it is, and whether invalid UTF-8 had to be replaced. `None` if it is not JSON.
fn raw(stored: &[u8]) -> Option<(Box<RawValue>, bool)> {
    let (text, is_repaired) = json::readable(stored);
    let raw = RawValue::from_string(text.into_owned()).ok()?;
    Some((raw, is_repaired))
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// RFC 3339 with milliseconds, as stored.
fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::{EventId, LinkGroup, Outcome, SessionId};

    fn document(notification: &[u8], body: &[u8]) -> Document {
        Document {
            id: EventId::generate(),
            received_at: Timestamp::UNIX_EPOCH,
            session_id: SessionId::new("s").expect("an id"),
            encounter_id: None,
            status: None,
            outcome: Outcome::Completed,
            error_code: None,
            session_status: None,
            source: crate::domain::Source::Webhook,
            revision: 1,
            replaces: None,
            stale: false,
            notification: Some(Bytes::copy_from_slice(notification)),
            expected: None,
            sequence: None,
            resources: vec![crate::domain::Resource {
                group: LinkGroup::new("contents"),
                href: "/note".to_owned(),
                http_status: 200,
                fetched_at: Timestamp::UNIX_EPOCH,
                body: Bytes::copy_from_slice(body),
            }],
            missing: Vec::new(),
        }
    }

    #[test]
    fn what_was_fetched_stands_there_byte_for_byte_or_repaired_and_marked() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        for (stored, expected, is_repaired) in [
            (&b"{\"a\" : 1.10}"[..], "{\"a\" : 1.10}", false),
            (b"\xEF\xBB\xBF{\"a\":1}\n", "{\"a\":1}", false),
            (b"{\"a\":\"\\ud800\"}", "{\"a\":\"\\ud800\"}", false),
            (b"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}", false),
            (deep.as_bytes(), &deep, false),
            (b"{\"a\":\"caf\xE9\"}", "{\"a\":\"caf\u{FFFD}\"}", true),
            (
                b"{\"a\":\"\x93x\x94\"}",
                "{\"a\":\"\u{FFFD}x\u{FFFD}\"}",
                true,
            ),
            (b"{\"a\":\"\xE2\x82\"}", "{\"a\":\"\u{FFFD}\"}", true),
        ] {
            let envelope = envelope(&document(b"{}", stored), Include::Everything, ("i", None))
                .expect(expected);
            let text = std::str::from_utf8(&envelope).expect("text");
            assert!(text.contains(&format!("\"body\":{expected}")), "{text}");
            assert_eq!(text.contains("\"repaired\":true"), is_repaired, "{text}");
        }
    }

    #[test]
    fn a_notification_that_is_no_utf8_is_repaired_and_marked_beside_it() {
        let document = document(b"{\"session_id\":\"s\",\"x\":\"\xFF\"}", b"{}");
        let envelope =
            envelope(&document, Include::NotificationOnly, ("i", None)).expect("rendered");
        let envelope: Value = serde_json::from_slice(&envelope).expect("JSON");
        assert_eq!(envelope["data"]["notification"]["x"], "\u{FFFD}");
        assert_eq!(envelope["data"]["repaired"], true);
    }

    #[test]
    fn what_cannot_be_rendered_is_an_error_that_quotes_nothing() {
        for (notification, body, group) in [
            (&b"PHI"[..], &b"{}"[..], "notification"),
            (b"{}", b"PHI", "contents"),
            (b"{}", b"", "contents"),
        ] {
            let error = envelope(
                &document(notification, body),
                Include::Everything,
                ("i", None),
            )
            .expect_err("no JSON")
            .to_string();
            assert!(error.contains(group) && !error.contains("PHI"), "{error}");
        }
    }
}
