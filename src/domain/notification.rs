//! The notification that the vendor sends, read without ever refusing what is merely unknown.
//!
//! Only a body that is not JSON, not an object, or has no usable `session_id` is malformed. Unknown statuses, fields
//! and link groups are kept: the vendor sends once, and a refusal would lose the note. Beyond the few fields that are
//! needed nothing is read, so nothing beside them can make a notification unreadable.

use std::borrow::Cow;
use std::fmt;

use bytes::{Buf, Bytes};

use super::json;
use super::tree::Tree;
use super::{Cause, DedupeKey, EncounterId, Link, LinkGroup, Outcome, SessionId, SessionKind};

/// A notification, or what stands in its place. Prints no clinical content.
#[derive(Clone)]
pub struct Notification {
    /// The session it is about.
    pub session_id: SessionId,
    /// The encounter that the session belongs to.
    pub encounter_id: Option<EncounterId>,
    /// Equal for the same notification sent again.
    pub dedupe: DedupeKey,
    /// The bytes as received, without a byte order mark in front. Empty where none were: the session's end was found by
    /// asking.
    pub body: Bytes,
    told: Told,
}

/// What is told of the session, and by whom.
#[derive(Clone)]
enum Told {
    /// The vendor's `success`: there is content to fetch.
    Success {
        sessions: Vec<SessionId>,
        links: Vec<Link>,
    },
    /// The vendor's `failure`: there is none, and perhaps a code that says why.
    Failure { error_code: Option<String> },
    /// Another status, or none, or one of these two with fields of the other. The vendor may add to what it sends, so
    /// nothing of it is passed over.
    Unrecognised {
        status: Option<String>,
        error_code: Option<String>,
        sessions: Vec<SessionId>,
        links: Vec<Link>,
    },
    /// The vendor has sent nothing: this was found by asking.
    Recovered { outcome: Outcome, kind: SessionKind },
}

impl Told {
    /// What the vendor has sent.
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

/// Most sessions of a notification's `sessions` that are read.
const MOST_SIBLINGS: usize = 100;

/// Why a body is no notification. Safe to show to the sender: it quotes nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not JSON.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// An object without a non-empty string `session_id`.
    #[error("the body has no usable session_id (a non-empty string of at most 512 bytes)")]
    NoSessionId,
}

impl Malformed {
    /// Of which sort it is.
    pub fn cause(self) -> Cause {
        match self {
            Self::NotJson | Self::NotAnObject => Cause::ParseNotJson,
            Self::NoSessionId => Cause::ParseNoSession,
        }
    }
}

impl Notification {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Malformed`] where there is nothing to go by.
    pub fn parse(mut body: Bytes) -> Result<Self, Malformed> {
        body.advance(body.len() - json::without_bom(&body).len());
        // Text that is not UTF-8 is repaired for reading only.
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
        let told = Told::sent(status, error_code, siblings, links);
        Ok(Self {
            session_id,
            encounter_id,
            dedupe,
            body,
            told,
        })
    }

    /// What stands in a notification's place where a session's end was found by asking.
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
            told: Told::Recovered { outcome, kind },
        }
    }

    /// `status` as sent, where it is a string.
    pub fn status(&self) -> Option<&str> {
        match &self.told {
            Told::Success { .. } => Some(SUCCESS),
            Told::Failure { .. } => Some(FAILURE),
            Told::Unrecognised { status, .. } => status.as_deref(),
            Told::Recovered { .. } => None,
        }
    }

    /// How the session ended: what `status` means, or what was found.
    pub fn outcome(&self) -> Outcome {
        match &self.told {
            Told::Success { .. } => Outcome::Completed,
            Told::Failure { .. } => Outcome::Failed,
            Told::Unrecognised { status, .. } => Outcome::of_notification(status.as_deref()),
            Told::Recovered { outcome, .. } => *outcome,
        }
    }

    /// `error_code` as sent: a word or a number of the vendor's list.
    pub fn error_code(&self) -> Option<&str> {
        match &self.told {
            Told::Failure { error_code } | Told::Unrecognised { error_code, .. } => {
                error_code.as_deref()
            }
            Told::Success { .. } | Told::Recovered { .. } => None,
        }
    }

    /// Every link of every group, known groups first.
    pub fn links(&self) -> &[Link] {
        match &self.told {
            Told::Success { links, .. } | Told::Unrecognised { links, .. } => links,
            Told::Failure { .. } | Told::Recovered { .. } => &[],
        }
    }

    /// The kind of session, as far as the links tell, or what was found.
    pub fn kind(&self) -> SessionKind {
        match &self.told {
            Told::Recovered { kind, .. } => *kind,
            Told::Success { .. } | Told::Failure { .. } | Told::Unrecognised { .. } => {
                kind(self.links())
            }
        }
    }

    /// The encounter's other sessions, as far as it names them: at most 100.
    pub fn siblings(&self) -> &[SessionId] {
        match &self.told {
            Told::Success { sessions, .. } | Told::Unrecognised { sessions, .. } => sessions,
            Told::Failure { .. } | Told::Recovered { .. } => &[],
        }
    }

    /// Whether the vendor's API has to be asked before this can be delivered: there are links to follow, the outcome
    /// has to be settled, or a completed session names no links and gets the standard ones.
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

/// An error code may be a word or a number. Anything longer than a code is not taken for one, so that no free text about
/// a patient comes in by this field.
fn error_code(value: &Tree<'_>) -> Option<String> {
    let code = match value {
        Tree::Text(text) => text.read(),
        Tree::Plain(plain) if plain.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Cow::Borrowed(*plain)
        }
        Tree::Plain(_) | Tree::List(_) | Tree::Object(_) | Tree::TooDeep => return None,
    };
    let is_code = code.len() <= 100
        && code
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    (is_code && !code.is_empty()).then(|| code.into_owned())
}

/// Every link, known groups first. A group is a list, or a single link in its place; a link is an object with an `href`,
/// or the bare address. Other shapes are left to whoever reads the body.
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

/// The other sessions that a notification names, each once.
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

/// A method that is not named is GET, by HAL.
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
