//! A page as it is sent: HTML with the headers that keep it to itself, and what is said where there is none.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::Visitor;
use super::{asset, frame};
use crate::admin::Error;

/// What a page may load and where it may send: nothing but what this listener serves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// HTML that is shown.
pub(super) struct Page(pub(super) Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let mut response = self.0.into_string().into_response();
        response.headers_mut().extend(headers);
        response
    }
}

/// The head of every page.
pub(super) fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) " · suki-receiver" }
        link rel="icon" href=(asset::ICON.path());
        link rel="stylesheet" href=(asset::STYLE.path());
        script type="module" src=(asset::SCRIPT.path()) {}
    }
}

/// A page without a frame around it.
pub(super) fn bare(title: &str, theme: &str, content: &Markup) -> Page {
    Page(html! {
        (DOCTYPE)
        html lang="en" data-theme=(theme) {
            head { (head(title)) }
            body.bare { main #main { (content) } }
        }
    })
}

/// Why there is no page.
pub(super) struct Problem {
    status: StatusCode,
    title: &'static str,
    message: String,
    visitor: Option<Visitor>,
}

impl Problem {
    /// The role is not enough.
    pub(super) fn forbidden(visitor: &Visitor) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            title: "Not allowed",
            message: format!(
                "This needs the role operator; you are signed in as '{}' with the role {}.",
                visitor.caller.name,
                visitor.caller.role.as_str()
            ),
            visitor: Some(visitor.clone()),
        }
    }

    /// Another site has sent it.
    pub(super) fn cross_site() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            title: "Not allowed",
            message: "Another site had your browser send this. Nothing was done.".to_owned(),
            visitor: None,
        }
    }

    /// There is nothing here.
    pub(super) fn not_found(visitor: &Visitor, message: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: "Not found",
            message: message.to_owned(),
            visitor: Some(visitor.clone()),
        }
    }

    /// What was filled in cannot be.
    pub(super) fn bad_request(visitor: &Visitor, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            title: "This cannot be",
            message: message.into(),
            visitor: Some(visitor.clone()),
        }
    }

    /// The API would have refused it.
    pub(super) fn of(visitor: &Visitor, error: &Error) -> Self {
        let status = error.status();
        let title = match status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::BAD_REQUEST => "This cannot be",
            StatusCode::CONFLICT => "Not now",
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
            visitor: Some(visitor.clone()),
        }
    }
}

/// A message with a capital at its beginning and a stop at its end.
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
            p { a.button href="/" { "To the overview" } }
        };
        let page = match &self.visitor {
            Some(visitor) => Page(frame::plain(visitor, self.title, &content)),
            None => bare(self.title, "auto", &content),
        };
        (self.status, page).into_response()
    }
}
