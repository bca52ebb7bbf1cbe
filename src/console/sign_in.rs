//! Signing in with an admin token, and signing out.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{RawQuery, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use maud::{Markup, html};
use url::form_urlencoded;

use super::State;
use super::page::{self, Page};
use super::ui;
use super::visitor::{Theme, Visitor};
use crate::config::Role;

/// The limit of wrong tokens in a row, and then per minute.
const TRIES: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// Limits failed sign-ins. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Attempts(Arc<DefaultDirectRateLimiter>);

impl Default for Attempts {
    fn default() -> Self {
        Self(Arc::new(RateLimiter::direct(Quota::per_minute(TRIES))))
    }
}

/// `GET /sign-in?back=`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Page {
    let back = field(query.unwrap_or_default().as_bytes(), "back");
    form(&state, &headers, &back.unwrap_or_default(), None)
}

/// `POST /sign-in`.
pub(super) async fn enter(
    Shared(state): Shared<State>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = field(&body, "token").unwrap_or_default();
    let back = field(&body, "back").unwrap_or_default();
    let tokens = state.admin.tokens.load_full();
    let now = state.admin.clock.now();
    let refused = |result, status, why| {
        state.admin.metrics.console_sign_in(result);
        (status, form(&state, &headers, &back, Some(why))).into_response()
    };
    let Some(caller) = tokens.find(token.trim()) else {
        return match state.attempts.0.check() {
            Ok(()) => {
                tracing::warn!("a sign-in to the console was denied: unknown token");
                refused(
                    "denied",
                    StatusCode::UNAUTHORIZED,
                    "This token is not valid.",
                )
            }
            Err(_) => refused(
                "limited",
                StatusCode::TOO_MANY_REQUESTS,
                "Too many attempts with wrong tokens. Wait a minute.",
            ),
        };
    };
    if !matches!(caller.role, Role::Viewer | Role::Operator) {
        let why = "This token is for a program and cannot sign in. Use one with the role viewer or operator.";
        return refused("denied", StatusCode::FORBIDDEN, why);
    }
    let session = state.sessions.begin(&caller.name, now);
    state.admin.metrics.console_sign_in("ok");
    tracing::info!(caller = caller.name, "signed in to the console");
    let cookie = state.sessions.header(&session, &tokens);
    let mut response = Redirect::to(local(&back)).into_response();
    response
        .headers_mut()
        .extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

/// `POST /sign-out`.
pub(super) async fn leave(Shared(state): Shared<State>, visitor: Visitor) -> Response {
    let cookie = state.sessions.end(&visitor.session);
    let mut response = Redirect::to("/sign-in").into_response();
    response
        .headers_mut()
        .extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

fn form(state: &State, headers: &HeaderMap, back: &str, wrong: Option<&str>) -> Page {
    let content: Markup = html! {
        div.sign-in {
            div.brand { (ui::logo()) span { "suki-receiver" } }
            @if !state.about.label.is_empty() { p.label { (state.about.label) } }
            h1 { "Sign in" }
            form method="post" action="/sign-in" {
                input type="hidden" name="back" value=(local(back));
                label for="token" { "Admin token" }
                input #token type="password" name="token" autocomplete="current-password" required autofocus
                    aria-describedby="token-help" aria-invalid=[wrong.map(|_| "true")];
                @if let Some(wrong) = wrong { p.wrong role="alert" { (ui::icon("alert")) (wrong) } }
                p #token-help .hint {
                    "One of " code { "admin.tokens" } ". If none is configured, use the one that the service created "
                    "at its start, in the file " code { "admin-token" } " beside its store."
                }
                button.primary type="submit" { "Sign in" }
            }
        }
    };
    page::bare("Sign in", Theme::of(headers).as_str(), &content)
}

/// The value of a form's field.
pub(super) fn field(form: &[u8], name: &str) -> Option<String> {
    let mut fields = form_urlencoded::parse(form);
    fields
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

/// The page to go to after signing in, which must be a page of this console.
pub(super) fn local(back: &str) -> &str {
    let is_local =
        back.starts_with('/') && !back.starts_with("//") && !back.contains(['\\', '\r', '\n']);
    if is_local { back } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_a_page_of_the_console_and_nowhere_else() {
        for (back, to) in [
            ("/events?state=dead", "/events?state=dead"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
        ] {
            assert_eq!(local(back), to, "{back}");
        }
    }
}
