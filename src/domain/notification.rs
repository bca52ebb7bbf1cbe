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

/// A notification, read from its body. The body itself stays as received. Prints no clinical content.
#[derive(Clone)]
pub struct Notification {
    /// The session it is about.
    pub session_id: SessionId,
    /// The encounter that the session belongs to.
    pub encounter_id: Option<EncounterId>,
    /// `status` as sent, where it is a string.
    pub status: Option<String>,
    /// What `status` means.
    pub outcome: Outcome,
    /// `error_code` as sent: a word or a number of the vendor's list.
    pub error_code: Option<String>,
    /// Every link of every group, known groups first.
    pub links: Vec<Link>,
    /// The kind of session, as far as the links tell.
    pub kind: SessionKind,
    /// The encounter's other sessions, as far as it names them: at most 100.
    pub siblings: Vec<SessionId>,
    /// Equal for the same notification sent again.
    pub dedupe: DedupeKey,
    /// The bytes as received, without a byte order mark in front. Empty where none were: the session's end was found by
    /// asking.
    pub body: Bytes,
}

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
        let read = Self {
            encounter_id: text("encounter_id").and_then(EncounterId::new),
            outcome: Outcome::of_notification(status.as_deref()),
            error_code: tree.get("error_code").and_then(error_code),
            kind: kind(&links),
            links,
            siblings: tree
                .get("sessions")
                .map(|list| siblings(list, &session_id))
                .unwrap_or_default(),
            dedupe,
            session_id,
            status,
            body: Bytes::new(),
        };
        drop(tree);
        drop(readable);
        Ok(Self { body, ..read })
    }

    /// What stands in a notification's place where a session's end was found by asking: nothing is made up, so it has no
    /// status and no bytes.
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
            status: None,
            outcome,
            error_code: None,
            links: Vec::new(),
            kind,
            siblings: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// Whether the vendor's API has to be asked before this can be delivered: there are links to follow, the outcome
    /// has to be settled, or a completed session names no links and gets the standard ones.
    pub fn needs_sdp(&self) -> bool {
        !self.links.is_empty() || matches!(self.outcome, Outcome::Completed | Outcome::Unknown)
    }
}

impl fmt::Debug for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notification")
            .field("session_id", &self.session_id)
            .field("outcome", &self.outcome)
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
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Notification, Malformed> {
        Notification::parse(Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn what_is_unknown_is_kept_and_what_is_unusable_is_named() {
        let odd = parse(r#"{"session_id":"s","status":"paused?","new":{"a":[1]},"_links":{"videos":[{"href":"/v"}]}}"#)
            .expect("unknown is not wrong");
        assert_eq!(odd.outcome, Outcome::Unknown);
        assert_eq!(odd.links[0].group.as_str(), "videos");
        for (body, error) in [
            ("", Malformed::NotJson),
            ("{", Malformed::NotJson),
            ("[]", Malformed::NotAnObject),
            ("{}", Malformed::NoSessionId),
            (r#"{"session_id":7}"#, Malformed::NoSessionId),
            (r#"{"session_id":"  "}"#, Malformed::NoSessionId),
        ] {
            assert_eq!(parse(body).expect_err(body), error);
        }
    }

    #[test]
    fn null_and_odd_links_are_no_links() {
        for links in [
            "null",
            "{}",
            "[]",
            r#"{"contents":null}"#,
            r#"{"contents":[{"name":"x"},7,null]}"#,
        ] {
            let body = format!(r#"{{"session_id":"s","status":"success","_links":{links}}}"#);
            assert!(parse(&body).expect(links).links.is_empty());
        }
    }

    #[test]
    fn a_group_may_be_a_list_one_link_or_one_address() {
        for group in [
            r#"[{"href":"/c","method":"GET"}]"#,
            r#"{"href":"/c"}"#,
            r#""/c""#,
            r#"["/c"]"#,
            r#"{"href":"\u002fc","method":null,"\ud800":{}}"#,
            r#"{"href":"/c","method":""}"#,
            r#"{"href":"/c","method":" get "}"#,
        ] {
            let body = format!(r#"{{"session_id":"s","_links":{{"contents":{group}}}}}"#);
            let links = parse(&body).expect("parses").links;
            let hrefs: Vec<_> = links.iter().map(|link| link.href.as_str()).collect();
            assert_eq!(hrefs, ["/c"], "{group}");
            assert!(links[0].is_get, "{group}");
        }
    }

    #[test]
    fn what_is_json_by_its_grammar_is_kept_whatever_stands_in_it() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        for beside in [
            &br#""\ud800""#[..],
            br#"{"\udc00":1}"#,
            br#"{"$serde_json::private::Number":"x"}"#,
            b"\"caf\xE9\"",
            b"1e99999",
            deep.as_bytes(),
        ] {
            let body = [
                &b"\xEF\xBB\xBF{\"x\":"[..],
                beside,
                br#","session_id":"s"}"#,
            ]
            .concat();
            let read = Notification::parse(Bytes::from(body.clone())).expect("kept");
            assert_eq!(read.session_id.as_str(), "s");
            assert_eq!(&read.body[..], &body[3..], "passed on as it came");
            let again = Notification::parse(Bytes::from(body[3..].to_vec())).expect("kept");
            assert_eq!(read.dedupe, again.dedupe, "the mark makes no difference");
        }
        for other in [
            &b"\xEF\xBB\xBF"[..],
            b"{\"session_id\":\"s\"}{}",
            b"\xFE\xFF\0{\0}",
        ] {
            let read = Notification::parse(Bytes::from_static(other));
            assert_eq!(read.expect_err("no JSON"), Malformed::NotJson);
        }
    }

    #[test]
    fn known_groups_come_first_in_the_vendors_order() {
        let body = r#"{"session_id":"s","_links":{"a":[{"href":"/1"}],"status":[{"href":"/2"}],"contents":[{"href":"/3"}]}}"#;
        let links = parse(body).expect("parses").links;
        let groups: Vec<_> = links.iter().map(|link| link.group.as_str()).collect();
        assert_eq!(groups, ["contents", "status", "a"]);
    }

    #[test]
    fn the_key_ignores_order_and_white_space_and_nothing_else() {
        let key = |body: &str| parse(body).expect(body).dedupe;
        let one = key(r#"{"session_id":"s","status":"success","n":1.10,"o":{"a":1,"b":2}}"#);
        assert_eq!(
            one,
            key(
                "{ \"o\" : {\"b\":2, \"a\":1},\n \"n\":1.10,\"status\":\"success\",\"session_id\":\"s\"}\n"
            )
        );
        assert_eq!(
            one,
            key(r#"{"session_id":"s","status":"\u0073uccess","n":1.10,"o":{"a":1,"b":2}}"#)
        );
        assert_ne!(
            one,
            key(
                r#"{"session_id":"s","status":"success","n":1.100000000000000000001,"o":{"a":1,"b":2}}"#
            )
        );
        assert_ne!(
            one,
            key(r#"{"session_id":"s","status":"success","n":1.10,"o":{"a":1,"b":3}}"#)
        );
        assert_ne!(
            one,
            key(r#"{"session_id":"t","status":"success","n":1.10,"o":{"a":1,"b":2}}"#)
        );
    }

    #[test]
    fn an_error_code_is_a_code_and_never_free_text() {
        let code = |value: &str| {
            parse(&format!(r#"{{"session_id":"s","error_code":{value}}}"#))
                .expect(value)
                .error_code
        };
        assert_eq!(
            code(r#""ERROR_CODE_TRANSCRIPTION""#).as_deref(),
            Some("ERROR_CODE_TRANSCRIPTION")
        );
        assert_eq!(code("7").as_deref(), Some("7"));
        assert_eq!(code(r#""Mrs Smith could not be heard""#), None);
        assert_eq!(code("{}"), None);
    }

    #[test]
    fn debug_shows_nothing_of_the_body() {
        let shown = format!(
            "{:?}",
            parse(r#"{"session_id":"s","error_detail":"secret words"}"#).expect("parses")
        );
        assert!(!shown.contains("secret words"), "{shown}");
    }
}
