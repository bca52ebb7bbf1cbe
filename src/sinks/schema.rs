//! JSON Schemas of the events that sinks get, derived from the serialized types. They do not describe what a template
//! makes of an event.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::envelope::Envelope;
use super::notice::Notice;

/// The schema of an event.
pub fn cloudevent() -> Value {
    document::<Envelope<'static>>("What a sink gets for a session of Suki")
}

/// The schema of an alert, and of a canary report.
pub fn alert() -> Value {
    document::<Notice<'static>>("An event for a sink that concerns no patient")
}

/// The schema of a type as a self-contained document: referenced schemas are included.
fn document<T: ToSchema>(title: &str) -> Value {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts: Map<String, Value> = parts
        .into_iter()
        .map(|(name, part)| (name, json!(part)))
        .collect();
    let mut whole = json!(T::schema());
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    whole["title"] = title.into();
    if !parts.is_empty() {
        whole["$defs"] = parts.into();
    }
    refer_inside(&mut whole);
    whole
}

/// Changes references so that they point into the document.
fn refer_inside(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(to)) => {
                        *to = to.replace("#/components/schemas/", "#/$defs/")
                    }
                    (_, value) => refer_inside(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(refer_inside),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::config::Include;
    use crate::domain::{
        Context, Document, EventId, Expectation, LinkGroup, Missing, Outcome, Resource, Sequence,
        SessionId, Source,
    };
    use crate::lifecycle::{Alert, AlertChange, AlertStatus};
    use crate::sinks::CloudEvent;
    use crate::traces::SpanContext;

    /// The violations of a schema. Supports only the keywords that these schemas use; any other keyword is a failure,
    /// so that none is ignored.
    fn problems(value: &Value, schema: &Value, whole: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let fields = schema.as_object().expect("a schema");
        for (keyword, said) in fields {
            let is_right = match (keyword.as_str(), value) {
                ("$ref", _) => {
                    let place = said.as_str().expect("a place").trim_start_matches('#');
                    let part = whole.pointer(place).expect("what is referred to is there");
                    found.extend(problems(value, part, whole));
                    true
                }
                ("type", _) => {
                    let kinds = said.as_array().cloned();
                    let kinds = kinds.unwrap_or_else(|| vec![said.clone()]);
                    kinds.iter().any(|kind| is_a(value, kind))
                }
                ("enum", _) => said.as_array().expect("values").contains(value),
                ("oneOf", _) => {
                    let parts = said.as_array().expect("parts").iter();
                    let fitting = parts.filter(|part| problems(value, part, whole).is_empty());
                    fitting.count() == 1
                }
                ("required", Value::Object(fields)) => {
                    let names = said.as_array().expect("names").iter();
                    names
                        .map(|name| name.as_str().expect("a name"))
                        .all(|name| fields.contains_key(name))
                }
                ("properties", Value::Object(fields)) => {
                    let known = said.as_object().expect("properties");
                    for (name, value) in fields {
                        match known.get(name) {
                            Some(schema) => found.extend(problems(value, schema, whole)),
                            None => found.push(format!("{name} is not in the schema")),
                        }
                    }
                    true
                }
                ("additionalProperties", Value::Object(fields)) => {
                    for value in fields.values() {
                        found.extend(problems(value, said, whole));
                    }
                    true
                }
                ("items", Value::Array(values)) => {
                    for value in values {
                        found.extend(problems(value, said, whole));
                    }
                    true
                }
                ("pattern", Value::String(text)) => {
                    is_matched(text, said.as_str().expect("a pattern"))
                }
                ("format", Value::String(text)) => match said.as_str() {
                    Some("uuid") => text.parse::<EventId>().is_ok(),
                    Some("date-time") => text.parse::<Timestamp>().is_ok(),
                    Some("int32" | "int64") => true,
                    other => panic!("the format {other:?} is not known to this test"),
                },
                ("minimum", Value::Number(number)) => number.as_f64() >= said.as_f64(),
                (
                    "required"
                    | "properties"
                    | "additionalProperties"
                    | "items"
                    | "pattern"
                    | "minimum"
                    | "format"
                    | "propertyNames",
                    _,
                ) => true,
                ("title" | "description" | "$schema" | "$defs", _) => true,
                (other, _) => panic!("the keyword {other} is not known to this test"),
            };
            if !is_right {
                found.push(format!("{value} does not fit {keyword}: {said}"));
            }
        }
        found
    }

    /// Whether a text matches a pattern. Supports only what these schemas use: `^`, `$`, plain characters, and classes
    /// with a number of repetitions, such as `[0-9a-f]{32}`.
    fn is_matched(text: &str, pattern: &str) -> bool {
        let pattern = pattern.strip_prefix('^').expect("a beginning");
        let (pattern, is_whole) = match pattern.strip_suffix('$') {
            Some(pattern) => (pattern, true),
            None => (pattern, false),
        };
        let (mut text, mut pattern) = (text.chars(), pattern);
        while let Some(first) = pattern.chars().next() {
            let is_fitting = if let Some(class) = pattern.strip_prefix('[') {
                let (class, rest) = class.split_once("]{").expect("a class and its number");
                let (count, rest) = rest.split_once('}').expect("the number's end");
                pattern = rest;
                let count: usize = count.parse().expect("a number");
                let found: Vec<char> = text.by_ref().take(count).collect();
                found.len() == count && found.iter().all(|found| is_in_class(*found, class))
            } else {
                let is_plain = first.is_ascii_alphanumeric() || "-/".contains(first);
                assert!(is_plain, "'{first}' is not known to this test");
                pattern = &pattern[1..];
                text.next() == Some(first)
            };
            if !is_fitting {
                return false;
            }
        }
        !is_whole || text.next().is_none()
    }

    /// Whether a class of ranges, such as `0-9a-f`, has this character.
    fn is_in_class(found: char, class: &str) -> bool {
        let ends: Vec<char> = class.chars().collect();
        ends.chunks(3).any(|range| {
            let [from, '-', to] = *range else {
                panic!("the class {class} is not known to this test")
            };
            (from..=to).contains(&found)
        })
    }

    fn is_a(value: &Value, kind: &Value) -> bool {
        match kind.as_str().expect("a type") {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("the type {other} is not known to this test"),
        }
    }

    fn document(outcome: Outcome) -> Document {
        Document {
            id: EventId::generate(),
            received_at: Timestamp::UNIX_EPOCH,
            session_id: SessionId::new("s").expect("an id"),
            encounter_id: None,
            status: None,
            outcome,
            error_code: None,
            session_status: None,
            source: Source::Reconcile,
            revision: 1,
            replaces: None,
            stale: false,
            notification: None,
            expected: None,
            sequence: None,
            resources: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn full() -> Document {
        Document {
            session_status: Some("completed".to_owned()),
            source: Source::Webhook,
            revision: 2,
            replaces: Some(EventId::generate()),
            notification: Some(Bytes::from_static(b"{\"session_id\":\"s\",\"x\":\"\xFF\"}")),
            expected: Some(Expectation {
                registered_at: Timestamp::UNIX_EPOCH,
                ended_at: Some(Timestamp::UNIX_EPOCH),
                provider: Some("dr-a".to_owned()),
                context: Some(Context(Bytes::from_static(b"{\"patient\":{\"id\":\"1\"}}"))),
            }),
            sequence: Some(Sequence {
                session: 1,
                encounter: None,
            }),
            resources: vec![Resource {
                group: LinkGroup::new("contents"),
                href: "/note".to_owned(),
                http_status: 200,
                fetched_at: Timestamp::UNIX_EPOCH,
                body: Bytes::from_static(b"[1.10, \"\xFF\"]"),
            }],
            missing: vec![Missing {
                group: LinkGroup::new("transcripts"),
                href: "/transcript".to_owned(),
                reason: "HTTP 404".to_owned(),
            }],
            ..document(Outcome::Completed)
        }
    }

    fn span() -> Option<SpanContext> {
        SpanContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    }

    fn sent(event: &CloudEvent) -> Value {
        serde_json::from_slice(&event.envelope).expect("JSON")
    }

    #[test]
    fn every_envelope_fits_its_schema() {
        let schema = cloudevent();
        let plain = Outcome::ALL.iter().map(|outcome| document(*outcome));
        let documents = plain.chain([full()]);
        for document in documents {
            for include in [Include::Everything, Include::NotificationOnly] {
                for origin in [None, span()] {
                    let event = CloudEvent::of(&document, include, ("here", origin));
                    let sent = sent(&event.expect("rendered"));
                    assert_eq!(sent.get("traceparent").is_some(), origin.is_some());
                    assert_eq!(problems(&sent, &schema, &schema), [""; 0], "{sent:#}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_envelope_does_not_fit() {
        let schema = cloudevent();
        let event = CloudEvent::of(&full(), Include::Everything, ("here", span()));
        let event = event.expect("rendered");
        assert_eq!(problems(&sent(&event), &schema, &schema), [""; 0]);
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for (place, wrong) in [
            ("/id", json!("x")),
            ("/type", json!("ai.suki.session.lost")),
            ("/source", json!("elsewhere")),
            ("/traceparent", json!("00-")),
            (
                "/traceparent",
                json!(format!("00-{trace}-00f067aa0ba902b-01")),
            ),
            (
                "/traceparent",
                json!(format!("00-{trace}-00F067AA0BA902B7-01")),
            ),
            (
                "/traceparent",
                json!(format!("00-{trace}-00f067aa0ba902b7-011")),
            ),
            ("/data/revision", json!(0)),
            ("/data/missing/0", json!({"group": "contents"})),
            ("/data/resources/contents/0/http_status", json!("200")),
            ("/data/sequence", json!(7)),
        ] {
            let mut sent = sent(&event);
            *sent.pointer_mut(place).expect(place) = wrong;
            assert_ne!(problems(&sent, &schema, &schema), [""; 0], "{place}");
        }
    }

    #[test]
    fn every_notice_fits_its_schema() {
        let schema = alert();
        let changes = Alert::ALL.iter().flat_map(|alert| {
            [("", AlertStatus::Raised), ("ehr", AlertStatus::Resolved)].map(|(about, status)| {
                AlertChange {
                    alert: *alert,
                    about: about.to_owned(),
                    status,
                    message: "The sink is down.".to_owned(),
                    since: Timestamp::UNIX_EPOCH,
                }
            })
        });
        let notices = changes.map(|change| CloudEvent::of_alert(&change, "here"));
        for event in notices.chain([CloudEvent::of_canary(7, "here")]) {
            let sent = sent(&event);
            assert_eq!(problems(&sent, &schema, &schema), [""; 0], "{sent:#}");
        }
    }
}
