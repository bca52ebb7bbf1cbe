//! A page as it is sent: HTML with the security headers.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::asset;

/// The content security policy: a page may load from, and send to, only this listener.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// An HTML page.
pub(super) struct Page(pub(super) Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, "no-store"),
            // Not `no-referrer`, with which browsers send no origin along with a form.
            (header::REFERRER_POLICY, "same-origin"),
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
        (headers, self.0.into_string()).into_response()
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

/// A page without the frame.
pub(super) fn bare(title: &str, theme: &str, content: &Markup) -> Page {
    Page(html! {
        (DOCTYPE)
        html lang="en" data-theme=(theme) {
            head { (head(title)) }
            body.bare { main #main { (content) } }
        }
    })
}
