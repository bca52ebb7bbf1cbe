//! The deliveries at a sink, which the proof compares with what was sent.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Delivered events by id.
pub(super) type Deliveries = HashMap<String, Delivered>;

/// An event as it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivered {
    /// The content of the first delivery.
    pub(super) content: Content,
    /// Whether all deliveries had the same content.
    pub(super) is_always_the_same: bool,
    /// The number of deliveries.
    pub(super) times: u32,
    /// How often the endpoint accepted it but answered with an error, so that it had to be delivered again.
    pub(super) denied: u32,
    /// The times of the first and the last delivery.
    pub(super) first: Instant,
    pub(super) last: Instant,
}

/// The content of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    /// The CloudEvents type, which says how the session ended.
    pub(super) r#type: String,
    /// The session.
    pub(super) session: String,
    /// The notification as it was delivered.
    pub(super) notification: String,
    /// The session's state, if it was requested.
    pub(super) status: Option<String>,
    /// The resources, in order.
    pub(super) resources: Vec<Resource>,
    /// The entries of missing content, as JSON.
    pub(super) missing: Vec<String>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) href: String,
    pub(super) http_status: u16,
    /// A digest of the body, because the bodies of a long run would fill the memory.
    pub(super) body: [u8; 32],
}

impl Resource {
    pub(super) fn new(
        group: impl Into<String>,
        href: impl Into<String>,
        http_status: u16,
        body: &[u8],
    ) -> Self {
        Self {
            group: group.into(),
            href: href.into(),
            http_status,
            body: Sha256::digest(body).into(),
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    id: String,
    r#type: String,
    subject: String,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    notification: &'a RawValue,
    session_status: Option<String>,
    #[serde(borrow)]
    resources: HashMap<String, Vec<Enclosed<'a>>>,
    #[serde(borrow)]
    missing: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Enclosed<'a> {
    href: String,
    http_status: u16,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// Adds a delivery, and returns its event's id; `None` if the body is not an envelope.
pub(super) fn add(got: &mut Deliveries, body: &[u8], at: Instant) -> Option<String> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    let id = envelope.id.clone();
    let content = Content::of(&envelope);
    got.entry(envelope.id)
        .and_modify(|known| {
            known.times += 1;
            known.is_always_the_same &= known.content == content;
            known.last = known.last.max(at);
            known.first = known.first.min(at);
        })
        .or_insert(Delivered {
            content,
            is_always_the_same: true,
            times: 1,
            denied: 0,
            first: at,
            last: at,
        });
    Some(id)
}

impl Content {
    fn of(envelope: &Envelope<'_>) -> Self {
        let data = &envelope.data;
        let mut resources: Vec<_> = data
            .resources
            .iter()
            .flat_map(|(group, all)| all.iter().map(move |one| (group, one)))
            .map(|(group, one)| {
                Resource::new(group, &one.href, one.http_status, one.body.get().as_bytes())
            })
            .collect();
        resources.sort();
        Self {
            r#type: envelope.r#type.clone(),
            session: envelope.subject.clone(),
            notification: data.notification.get().to_owned(),
            status: data.session_status.clone(),
            resources,
            missing: data
                .missing
                .iter()
                .map(|raw| raw.get().to_owned())
                .collect(),
        }
    }
}

/// The deliveries that the files sink has written below `dir`. A file that was written again is seen only once.
pub(super) fn files(dir: &Path) -> anyhow::Result<Deliveries> {
    let (mut found, now) = (Deliveries::new(), Instant::now());
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let text = std::fs::read(&path)?;
                add(&mut found, &text, now)
                    .with_context(|| format!("{} is not a delivery", path.display()))?;
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// An envelope with this note.
    fn envelope(note: &str) -> Vec<u8> {
        format!(
            r#"{{"id":"1","type":"ai.suki.session.completed","subject":"a","data":{{
                "notification":{{"session_id":"a"}},"session_status":null,"stale":false,
                "resources":{{"contents":[{{"href":"/a","http_status":200,"fetched_at":"","body":{note}}}]}},
                "missing":[]}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn what_comes_again_is_counted_timed_and_compared() {
        let (mut got, start) = (Deliveries::new(), Instant::now());
        let later = start + Duration::from_secs(1);
        for at in [later, start] {
            assert_eq!(
                add(&mut got, &envelope(r#"{"x":1}"#), at).as_deref(),
                Some("1")
            );
        }
        let one = &got["1"];
        assert_eq!((one.times, one.first, one.last), (2, start, later));
        assert!(one.is_always_the_same);
        let note = Resource::new("contents", "/a", 200, br#"{"x":1}"#);
        assert_eq!(one.content.resources, [note]);
        add(&mut got, &envelope(r#"{"x":2}"#), later);
        assert!(!got["1"].is_always_the_same);
    }

    #[test]
    fn what_is_no_envelope_is_no_delivery() {
        assert_eq!(
            add(&mut Deliveries::new(), b"{\"id\":\"1\"}", Instant::now()),
            None
        );
    }
}
