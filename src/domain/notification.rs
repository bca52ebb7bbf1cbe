//! Parses the notifications that the vendor sends. Unknown content is never a reason to refuse one.
//!
//! Only a body that is not JSON, not an object, or has no usable `session_id` is malformed. Unknown statuses, fields
//! and link groups are kept: the vendor sends only once, so a refusal would lose the note. Only the few fields that are
//! needed are read, so no other field can make a notification unreadable.

use std::borrow::Cow;
use std::fmt;

use bytes::{Buf, Bytes};

use super::json;
use super::tree::Tree;
use super::{Cause, DedupeKey, EncounterId, Link, LinkGroup, Outcome, SessionId, SessionKind};

/// A notification, or the substitute for one in a recovered event. Its `Debug` output has no clinical content.
#[derive(Clone)]
pub struct Notification {
    /// The session.
    pub session_id: SessionId,
    /// The encounter that the session belongs to.
    pub encounter_id: Option<EncounterId>,
    /// The deduplication key: equal when the same notification is sent again.
    pub dedupe: DedupeKey,
    /// The bytes as received, without a leading byte order mark. Empty for an event that was recovered by polling.
    pub body: Bytes,
    report: Report,
}

/// What is reported of the session.
#[derive(Clone)]
enum Report {
    /// The vendor's `success`: there is content to fetch.
    Success {
        sessions: Vec<SessionId>,
        links: Vec<Link>,
    },
    /// The vendor's `failure`: there is no content, but perhaps an error code.
    Failure { error_code: Option<String> },
    /// Another status or none, or one of these two with fields of the other. The vendor may add to its notifications,
    /// so all fields are kept.
    Unrecognised {
        status: Option<String>,
        error_code: Option<String>,
        sessions: Vec<SessionId>,
        links: Vec<Link>,
    },
    /// Recovered by polling: the vendor has sent nothing.
    Recovered { outcome: Outcome, kind: SessionKind },
}

impl Report {
    /// Classifies what the vendor has sent.
    fn sent(
        status: Option<String>,
        error_code: Option<String>,
        sessions: Vec<SessionId>,
        links: Vec<Link>,
    ) -> Self {
        match status.as_deref() {
            Some(SUCCESS) if error_code.is_none() => Self::Success { sessions, links },
            Some(FAILURE) if sessions.is_empty() && links.is_empty() => {
                Self::Failure { error_code }
            }
            _ => Self::Unrecognised {
                status,
                error_code,
                sessions,
                links,
            },
        }
    }
}

/// The statuses of the vendor's documentation (docs/VENDOR.md, "Statuses").
const SUCCESS: &str = "success";
const FAILURE: &str = "failure";

/// The most ids of a notification's `sessions` that are read.
const MOST_SIBLINGS: usize = 100;

/// Why a body is not a notification. Safe to show to the sender: it quotes nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// An object without a non-empty string `session_id`.
    #[error("the body has no usable session_id (a non-empty string of at most 512 bytes)")]
    NoSessionId,
}

impl Malformed {
    /// The cause under which it is recorded.
    pub fn cause(self) -> Cause {
        match self {
            Self::NotJson | Self::NotAnObject => Cause::ParseNotJson,
            Self::NoSessionId => Cause::ParseNoSession,
        }
    }
}

impl Notification {
    /// Parses a body.
    ///
    /// # Errors
    /// [`Malformed`] if the body is not a usable notification.
    pub fn parse(mut body: Bytes) -> Result<Self, Malformed> {
        body.advance(body.len() - json::without_bom(&body).len());
        // Invalid UTF-8 is replaced only for reading; the body keeps its bytes.
        let (readable, is_repaired) = json::readable(&body);
        let tree = Tree::of(&readable).map_err(|_| Malformed::NotJson)?;
        if tree.fields().is_none() {
            return Err(Malformed::NotAnObject);
        }
        let text = |name| tree.get(name)?.text();
        let session_id = text("session_id")
            .and_then(SessionId::new)
            .ok_or(Malformed::NoSessionId)?;
        let status = text("status").map(Cow::into_owned);
        let links = tree.get("_links").map(links).unwrap_or_default();
        let dedupe = if is_repaired {
            DedupeKey::of_raw(&body)
        } else {
            DedupeKey::of(session_id.as_str(), status.as_deref(), &body, &tree)
        };
        let encounter_id = text("encounter_id").and_then(EncounterId::new);
        let error_code = tree.get("error_code").and_then(error_code);
        let siblings = tree
            .get("sessions")
            .map(|list| siblings(list, &session_id))
            .unwrap_or_default();
        drop(tree);
        drop(readable);
        let report = Report::sent(status, error_code, siblings, links);
        Ok(Self {
            session_id,
            encounter_id,
            dedupe,
            body,
            report,
        })
    }

    /// The substitute for a notification, for a session that was recovered by polling.
    pub fn recovered(
        session_id: SessionId,
        encounter_id: Option<EncounterId>,
        outcome: Outcome,
        kind: SessionKind,
    ) -> Self {
        let key = format!("recovered\0{session_id}\0{outcome}");
        Self {
            dedupe: DedupeKey::of_raw(key.as_bytes()),
            session_id,
            encounter_id,
            body: Bytes::new(),
            report: Report::Recovered { outcome, kind },
        }
    }

    /// `status` as sent, if it is a string.
    pub fn status(&self) -> Option<&str> {
        match &self.report {
            Report::Success { .. } => Some(SUCCESS),
            Report::Failure { .. } => Some(FAILURE),
            Report::Unrecognised { status, .. } => status.as_deref(),
            Report::Recovered { .. } => None,
        }
    }

    /// The session's outcome: the meaning of `status`, or what polling found.
    pub fn outcome(&self) -> Outcome {
        match &self.report {
            Report::Success { .. } => Outcome::Completed,
            Report::Failure { .. } => Outcome::Failed,
            Report::Unrecognised { status, .. } => Outcome::of_notification(status.as_deref()),
            Report::Recovered { outcome, .. } => *outcome,
        }
    }

    /// `error_code` as sent: a word or a number from the vendor's list.
    pub fn error_code(&self) -> Option<&str> {
        match &self.report {
            Report::Failure { error_code } | Report::Unrecognised { error_code, .. } => {
                error_code.as_deref()
            }
            Report::Success { .. } | Report::Recovered { .. } => None,
        }
    }

    /// Every link of every group, known groups first.
    pub fn links(&self) -> &[Link] {
        match &self.report {
            Report::Success { links, .. } | Report::Unrecognised { links, .. } => links,
            Report::Failure { .. } | Report::Recovered { .. } => &[],
        }
    }

    /// The kind of session: as far as the links tell, or what polling found.
    pub fn kind(&self) -> SessionKind {
        match &self.report {
            Report::Recovered { kind, .. } => *kind,
            Report::Success { .. } | Report::Failure { .. } | Report::Unrecognised { .. } => {
                kind(self.links())
            }
        }
    }

    /// The encounter's other sessions that the notification names, at most 100.
    pub fn siblings(&self) -> &[SessionId] {
        match &self.report {
            Report::Success { sessions, .. } | Report::Unrecognised { sessions, .. } => sessions,
            Report::Failure { .. } | Report::Recovered { .. } => &[],
        }
    }

    /// Whether the vendor's API must be called before this can be delivered: there are links to follow, the outcome is
    /// unknown, or a completed session has no links and gets the standard ones.
    pub fn needs_sdp(&self) -> bool {
        !self.links().is_empty() || matches!(self.outcome(), Outcome::Completed | Outcome::Unknown)
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("session_id", &self.session_id)
            .field("outcome", &self.outcome())
            .field("body", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// An error code may be a word or a number.
fn error_code(value: &Tree<'_>) -> Option<String> {
    let code = match value {
        Tree::Text(text) => text.read(),
        Tree::Plain(plain) if plain.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Cow::Borrowed(*plain)
        }
        Tree::Plain(_) | Tree::List(_) | Tree::Object(_) | Tree::TooDeep => return None,
    };
    is_code(&code).then(|| code.into_owned())
}

/// Whether a text is a word or a number from a list. Any other text may be about a patient.
fn is_code(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    !text.is_empty() && text.len() <= 100 && text.chars().all(is_allowed)
}

/// The status of a notification as the log may show it.
pub fn loggable_status(status: Option<&str>) -> Option<&str> {
    status.map(|status| if is_code(status) { status } else { "(other)" })
}

/// Every link, known groups first. A group is a list or a single link; a link is an object with an `href`, or just the
/// address. Links of any other shape are ignored here; they are still in the body.
fn links(value: &Tree<'_>) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for (group, entries) in value.fields().unwrap_or_default() {
        for entry in entries.items() {
            let href = match entry.fields() {
                Some(_) => entry.get("href").and_then(Tree::text),
                None => entry.text(),
            };
            let Some(href) = href.filter(|href| !href.trim().is_empty()) else {
                continue;
            };
            let method = entry.get("method").and_then(Tree::text);
            links.push(Link {
                group: LinkGroup::new(group.read()),
                href: href.into_owned(),
                is_get: method.is_none_or(|method| is_get(&method)),
            });
        }
    }
    links.sort_by_key(|link| link.group.rank());
    links
}

/// The other sessions that a notification names, without duplicates.
fn siblings(value: &Tree<'_>, own: &SessionId) -> Vec<SessionId> {
    let mut siblings: Vec<SessionId> = Vec::new();
    for named in value.items() {
        if siblings.len() == MOST_SIBLINGS {
            break;
        }
        if let Some(id) = named.text().and_then(SessionId::new)
            && id != *own
            && !siblings.contains(&id)
        {
            siblings.push(id);
        }
    }
    siblings
}

/// In HAL a link without a method is a GET.
fn is_get(method: &str) -> bool {
    let method = method.trim();
    method.is_empty() || method.eq_ignore_ascii_case("GET")
}

fn kind(links: &[Link]) -> SessionKind {
    links
        .iter()
        .map(|link| SessionKind::of_href(&link.href))
        .find(|kind| *kind != SessionKind::Unknown)
        .unwrap_or(SessionKind::Unknown)
}

#[cfg(test)]
mod tests;
