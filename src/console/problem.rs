//! Error pages: the reason, and where to go from there.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::frame;
use super::page::{Page, bare};
use super::visitor::Visitor;
use crate::admin::Error;

/// The reason why a page cannot be shown.
pub(super) struct Problem {
    status: StatusCode,
    title: &'static str,
    message: String,
    visitor: Option<Box<Visitor>>,
}

impl Problem {
    /// The visitor's role does not permit the action.
    pub(super) fn forbidden(visitor: &Visitor) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            title: "Not allowed",
            message: format!(
                "This needs the role operator; you are signed in as '{}' with the role {}.",
                visitor.caller.name,
                visitor.caller.role.as_str()
            ),
            visitor: Some(Box::new(visitor.clone())),
        }
    }

    /// Another site made the browser send the request.
    pub(super) fn cross_site() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            title: "Not allowed",
            message: "Another site made your browser send this request. Nothing was done."
                .to_owned(),
            visitor: None,
        }
    }

    /// The request was for an unknown host name.
    pub(super) fn misdirected() -> Self {
        Self {
            status: StatusCode::MISDIRECTED_REQUEST,
            title: "Unknown host name",
            message: "The console does not answer to the host name in your browser's address. Use an IP address or \
                      localhost; or, if the host name is right, add it to admin.console.hosts in the configuration and \
                      restart."
                .to_owned(),
            visitor: None,
        }
    }

    /// Clinical content would be sent without encryption.
    pub(super) fn unencrypted(visitor: &Visitor) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            title: "Not shown",
            message: "This connection is not encrypted, so clinical content could be read on the way. Nothing was shown. Set \
                      [admin.tls], connect over loopback, or, if a proxy in front of the service terminates TLS, set \
                      admin.console.insecure_reveal = true."
                .to_owned(),
            visitor: Some(Box::new(visitor.clone())),
        }
    }

    /// The page does not exist.
    pub(super) fn not_found(visitor: &Visitor, message: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: "Not found",
            message: message.to_owned(),
            visitor: Some(Box::new(visitor.clone())),
        }
    }

    /// The input is invalid.
    pub(super) fn bad_request(visitor: &Visitor, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            title: "Invalid request",
            message: message.into(),
            visitor: Some(Box::new(visitor.clone())),
        }
    }

    /// The page for an error of the API.
    pub(super) fn of(visitor: &Visitor, error: &Error) -> Self {
        let status = error.status();
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::BAD_REQUEST => "Invalid request",
            StatusCode::CONFLICT => "Not possible now",
            StatusCode::GATEWAY_TIMEOUT => "This took too long",
            _ => "The store cannot be read",
        };
        tracing::debug!(
            status = status.as_u16(),
            "a page of the console cannot be shown"
        );
        Self {
            status,
            title,
            message: sentence(&error.to_string()),
            visitor: Some(Box::new(visitor.clone())),
        }
    }
}

/// A message as a sentence, with a capital at its beginning and a full stop at its end.
fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let text: String = first.chain(letters).collect();
    if text.ends_with('.') {
        text
    } else {
        text + "."
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content = html! {
            h1 { (self.title) }
            p.lead { (self.message) }
            p { a.button href="/" { "Open the overview" } }
        };
        let page = match &self.visitor {
            Some(visitor) => Page(frame::plain(visitor, self.title, &content)),
            None => bare(self.title, "auto", &content),
        };
        (self.status, page).into_response()
    }
}
