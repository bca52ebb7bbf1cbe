//! The stored form of what was fetched for an event: one row, with the links' states as JSON and the answers' bodies
//! concatenated in the order of the links.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, LinkRecord, Linked};
use crate::domain::{LinkCause, LinkGroup, LinkState};

/// A link in its stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    n: u32,
    group: String,
    href: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    /// The size of the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    fetched_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    /// The instance that fetched the link. Also absent from rows of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Also absent from rows of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

/// Encodes the links and their answers.
pub(super) fn encode(links: &[Linked]) -> (String, Vec<u8>) {
    let size = links.iter().filter_map(|linked| linked.body.as_ref());
    let mut bodies = Vec::with_capacity(size.map(Bytes::len).sum());
    let stored: Vec<Stored> = links
        .iter()
        .map(|Linked { link, body }| {
            bodies.extend_from_slice(body.as_deref().unwrap_or_default());
            Stored {
                n: link.n,
                group: link.group.as_str().to_owned(),
                href: link.href.clone(),
                state: link.state.as_str().to_owned(),
                http_status: link.http_status,
                bytes: body
                    .as_ref()
                    .and_then(|body| u64::try_from(body.len()).ok()),
                fetched_at: link.fetched_at.map(|at| at.as_millisecond()),
                took_ms: link.took.map(millis),
                instance: link.instance.clone(),
                reason: link.reason.clone(),
                cause: link.cause.map(|cause| cause.as_str().to_owned()),
            }
        })
        .collect();
    // Serializing numbers, text and lists of them cannot fail.
    (serde_json::to_string(&stored).unwrap_or_default(), bodies)
}

/// Decodes the links without their answers.
pub(super) fn links(stored: &str) -> Result<Vec<LinkRecord>, Error> {
    let corrupt = || Error::Corrupt { what: "link" };
    let stored: Vec<Stored> = serde_json::from_str(stored).map_err(|_| corrupt())?;
    stored
        .into_iter()
        .map(|stored| {
            let fetched_at = stored.fetched_at.map(Timestamp::from_millisecond);
            let cause = match stored.cause {
                Some(word) => Some(word.parse().map_err(|_| corrupt())?),
                None => cause_by_texts(&stored.group, &stored.href, stored.reason.as_deref()),
            };
            Ok(LinkRecord {
                n: stored.n,
                group: LinkGroup::new(stored.group),
                href: stored.href,
                state: stored.state.parse::<LinkState>().map_err(|_| corrupt())?,
                http_status: stored.http_status,
                bytes: stored.bytes,
                fetched_at: fetched_at.transpose().map_err(|_| corrupt())?,
                took: stored.took_ms.map(Duration::from_millis),
                instance: stored.instance,
                reason: stored.reason,
                cause,
            })
        })
        .collect()
}

/// A duration in its stored form.
pub(super) fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// Derives the cause of a missing link from the text that earlier versions stored, which had no field for it.
pub(super) fn cause_by_texts(group: &str, href: &str, reason: Option<&str>) -> Option<LinkCause> {
    let reason = reason.unwrap_or_default();
    match (href.is_empty(), group) {
        (true, "status") if !reason.starts_with("required") => Some(LinkCause::Unknowable),
        (true, _) => Some(LinkCause::NotLinked),
        (false, _) if reason.starts_with("not followed") => Some(LinkCause::NotFollowed),
        (false, _) => (reason == "empty").then_some(LinkCause::Empty),
    }
}

/// Decodes the links with their answers. `bodies` is `None` when they are purged or were not read.
pub(super) fn linked(stored: &str, bodies: Option<Bytes>) -> Result<Vec<Linked>, Error> {
    let mut rest = bodies;
    links(stored)?
        .into_iter()
        .map(|link| {
            let body = match (&mut rest, link.bytes) {
                (Some(rest), Some(bytes)) => {
                    let size = usize::try_from(bytes).unwrap_or(usize::MAX);
                    if size > rest.len() {
                        return Err(Error::Corrupt { what: "answer" });
                    }
                    Some(rest.split_to(size))
                }
                _ => None,
            };
            Ok(Linked { link, body })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked_to(n: u32, body: Option<&'static [u8]>) -> Linked {
        let (group, href) = (LinkGroup::new("contents"), format!("/{n} \u{0} \""));
        let state = body.map_or(LinkState::Pending, |_| LinkState::Fetched);
        let link = LinkRecord {
            instance: body.map(|_| "one".to_owned()),
            http_status: body.map(|_| 200),
            bytes: body.map(|body| body.len() as u64),
            fetched_at: body.map(|_| Timestamp::UNIX_EPOCH),
            reason: body.is_none().then(|| "HTTP 503".to_owned()),
            ..LinkRecord::new(n, group, href, state)
        };
        let body = body.map(Bytes::from_static);
        Linked { link, body }
    }

    #[test]
    fn what_an_earlier_version_wrote_has_the_cause_that_its_text_tells() {
        for (group, href, reason, cause) in [
            (
                "videos",
                "/v",
                "not followed: an unknown link group",
                Some(LinkCause::NotFollowed),
            ),
            (
                "contents",
                "",
                "required, but neither linked",
                Some(LinkCause::NotLinked),
            ),
            (
                "status",
                "",
                "how the session ended cannot be found out: HTTP 404",
                Some(LinkCause::Unknowable),
            ),
            ("contents", "/c", "empty", Some(LinkCause::Empty)),
            ("contents", "/c", "HTTP 404", None),
        ] {
            let stored = format!(
                r#"[{{"n":0,"group":"{group}","href":"{href}","state":"missing","reason":"{reason}"}}]"#
            );
            assert_eq!(links(&stored).expect("links")[0].cause, cause, "{reason}");
        }
    }

    #[test]
    fn what_is_stored_is_read_as_it_was() {
        let mut links = [
            linked_to(0, Some(b"first \xff")),
            linked_to(1, None),
            linked_to(2, Some(b"")),
            linked_to(3, Some(b"last")),
        ];
        links[3].link.cause = Some(LinkCause::Empty);
        let (stored, bodies) = encode(&links);
        assert_eq!(bodies, b"first \xfflast");
        let bodies = Bytes::from(bodies);
        let read = linked(&stored, Some(bodies.clone())).expect("links");
        assert_eq!(read, links);
        let purged = linked(&stored, None).expect("links");
        assert!(purged.iter().all(|linked| linked.body.is_none()));
        assert!(linked(&stored, Some(bodies.slice(..8))).is_err());
        assert!(linked("", None).is_err());
    }
}
