//! Shows clinical content to an operator who has given a reason, after the access is written to the audit log ("break
//! the glass").
//!
//! The content is only in the answer to this one request: not in an address, a cache or a log.

use axum::Extension;
use axum::body::to_bytes;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use maud::{Markup, html};

use super::actions::caller;
use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use super::{Door, State, time, ui};
use crate::admin::{Error, Id, Place, content};
use crate::net::Peer;

/// The minimum number of characters of a reason.
const SHORTEST_REASON: usize = 10;
/// The limit in bytes of content on a page.
const MOST_SHOWN: usize = 4 << 20;

/// `POST /events/{id}/reveal`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    body: Bytes,
) -> Result<Page, Problem> {
    if !state.door.lets_out(peer.map(|Extension(peer)| peer)) {
        return Err(Problem::unencrypted(&visitor));
    }
    let (caller, id) = caller(&visitor, &id, &body)?;
    let is_told = caller
        .reason
        .as_ref()
        .is_some_and(|reason| reason.chars().count() >= SHORTEST_REASON);
    if !is_told {
        let why = "Say in at least ten characters why you need to read this. Nothing was shown.";
        return Err(Problem::bad_request(&visitor, why));
    }
    let reason = caller.reason.clone().unwrap_or_default();
    let part = field(&body, "part").unwrap_or_default();
    let (admin, extension) = (Shared(state.admin.clone()), Extension(caller));
    let (name, read) = match part.parse() {
        Ok(n) => (
            format!("link {n}"),
            content::resource(admin, extension, Id(id), Place(n)).await,
        ),
        Err(_) => (
            "notification".to_owned(),
            content::payload(admin, extension, Id(id)).await,
        ),
    };
    let text = text(read)
        .await
        .map_err(|error| Problem::of(&visitor, &error))?;
    state.admin.metrics.content_revealed();
    let content = page(&state, &visitor, (&id.to_string(), &name, &reason), &text);
    let frame = Frame {
        is_live: false,
        ..Frame::live(&state, &visitor, "/events", "Clinical content")
    };
    Ok(frame.page(&content).await)
}

impl Door {
    /// Whether content that is sent to this peer cannot be read on the way.
    fn lets_out(self, peer: Option<Peer>) -> bool {
        let is_here = peer.is_some_and(|Peer(address)| address.ip().to_canonical().is_loopback());
        self.is_secure || self.is_secured || is_here
    }
}

/// The content as text.
async fn text(read: Result<Response, Error>) -> Result<String, Error> {
    let body = to_bytes(read?.into_body(), usize::MAX)
        .await
        .unwrap_or_default();
    let shown = &body[..body.len().min(MOST_SHOWN)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < body.len() {
        text.push_str("\n… (the rest is too long for a page; read it through the API)");
    }
    Ok(text)
}

fn page(
    state: &State,
    visitor: &Visitor,
    (id, part, reason): (&str, &str, &str),
    text: &str,
) -> Markup {
    let now = state.admin.clock.now();
    html! {
        p.path { a href="/events" { "Events" } " / " a href={ "/events/" (id) } { code { (ui::shortened(id)) } } }
        h1 { "Clinical content: " (part) }
        p.mark { (visitor.caller.name) " · " (time::exact(now, &visitor.zone)) " · " (reason) }
        p.hint { "The content is hidden after five minutes, and when you leave this tab." }
        div #revealed {
            pre.content tabindex="0" role="region" aria-label="Content" { (text) }
        }
        p #hidden .hint hidden { "The content is hidden again. " a href={ "/events/" (id) } { "Back to the event" } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_goes_in_the_clear_to_nobody_but_this_machine() {
        let door = |is_secure, is_secured| Door {
            is_secure,
            is_secured,
        };
        for (peer, is_here) in [
            (Some("127.0.0.1:9"), true),
            (Some("[::1]:9"), true),
            (Some("[::ffff:127.0.0.1]:9"), true),
            (Some("192.0.2.1:9"), false),
            (Some("[::ffff:192.0.2.1]:9"), false),
            (None, false),
        ] {
            let peer = peer.map(|address| Peer(address.parse().expect("an address")));
            assert_eq!(door(false, false).lets_out(peer), is_here, "{peer:?}");
            assert!(door(true, false).lets_out(peer) && door(false, true).lets_out(peer));
        }
    }
}
