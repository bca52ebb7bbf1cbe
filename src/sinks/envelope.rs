//! The envelope that every sink gets: CloudEvents 1.0, structured mode (contract.md 5). What was received is passed on as
//! received: key order, numbers and all.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::config::Include;
use crate::domain::{Document, Missing};

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    notification: &'a RawValue,
    session_status: Option<&'a str>,
    stale: bool,
    resources: BTreeMap<&'a str, Vec<Resource<'a>>>,
    missing: Vec<MissingLink<'a>>,
}

#[derive(Serialize)]
struct Resource<'a> {
    href: &'a str,
    http_status: u16,
    fetched_at: String,
    body: &'a RawValue,
}

#[derive(Serialize)]
struct MissingLink<'a> {
    group: &'a str,
    href: &'a str,
    reason: &'a str,
}

/// The envelope of a document. Resources are left out where only the notification is wanted.
pub fn envelope(document: &Document, include: Include, instance: &str) -> Bytes {
    let mut resources: BTreeMap<&str, Vec<Resource<'_>>> = BTreeMap::new();
    if include == Include::Everything {
        for resource in &document.resources {
            resources
                .entry(resource.group.as_str())
                .or_default()
                .push(Resource {
                    href: &resource.href,
                    http_status: resource.http_status,
                    fetched_at: rfc3339(resource.fetched_at),
                    body: raw(&resource.body),
                });
        }
    }
    let envelope = Envelope {
        specversion: "1.0",
        id: document.id.to_string(),
        source: format!("suki-receiver/{instance}"),
        r#type: format!("ai.suki.session.{}", document.outcome),
        subject: document.session_id.as_str(),
        time: rfc3339(document.received_at),
        datacontenttype: "application/json",
        data: Data {
            notification: raw(&document.notification),
            session_status: document.session_status.as_deref(),
            stale: document.stale,
            resources,
            missing: document.missing.iter().map(MissingLink::of).collect(),
        },
    };
    Bytes::from(
        serde_json::to_vec(&envelope).expect("an envelope has string keys and no failing value"),
    )
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

/// Stored JSON as it is. It was checked when it was stored; should it be damaged since, `null` stands in its place.
fn raw(json: &[u8]) -> &RawValue {
    serde_json::from_slice(json).unwrap_or(RawValue::NULL)
}

/// RFC 3339 with milliseconds, as stored.
fn rfc3339(time: Timestamp) -> String {
    format!("{time:.3}")
}
