//! Access control: lets through only requests of a browser that has signed in, and only requests that the console's own
//! pages have made.

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use url::form_urlencoded;

use super::problem::Problem;
use super::{State, Visitor};
use crate::admin;

/// The header that marks requests which the script makes by itself.
const BACKGROUND: &str = "x-background";

/// Lets signed-in visitors through, and redirects everyone else to the sign-in, which leads back to the page.
pub(super) async fn require_session(
    Shared(state): Shared<State>,
    mut request: Request,
    next: Next,
) -> Response {
    let (now, tokens) = (state.admin.clock.now(), state.admin.tokens.load_full());
    let found = state.sessions.find(request.headers(), &tokens, now);
    let Some((session, caller)) = found else {
        return to_sign_in(request.method(), request.uri());
    };
    let renewed = match is_by_person(&request) {
        true => state.sessions.renewed(&session, &tokens, now),
        false => None,
    };
    let visitor = Visitor::new(caller, session, request.headers(), request.uri());
    request.extensions_mut().insert(visitor);
    let mut response = next.run(request).await;
    if let Some(cookie) = renewed {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Whether a person has requested this page. Requests that the script makes by itself do not extend a session.
fn is_by_person(request: &Request) -> bool {
    request.uri().path() != "/stream" && !request.headers().contains_key(BACKGROUND)
}

/// Lets only operators perform actions. A refused attempt to read clinical content is written to the audit log.
pub(super) async fn require_operator(
    Shared(state): Shared<State>,
    request: Request,
    next: Next,
) -> Response {
    let visitor = request.extensions().get::<Visitor>().cloned();
    match visitor {
        Some(visitor) if visitor.is_operator() => next.run(request).await,
        Some(visitor) => {
            state.admin.metrics.admin_refused("403");
            let path = request.uri().path();
            if path.ends_with("/reveal") {
                let event = path.split('/').find_map(|part| part.parse().ok());
                let action = "refused (403): reveal of clinical content".to_owned();
                let written = admin::audit(&state.admin, &visitor.caller, action, event).await;
                if written.is_err() {
                    tracing::error!("a refused reveal could not be written to the audit log");
                }
            }
            Problem::forbidden(&visitor).into_response()
        }
        None => Redirect::to("/sign-in").into_response(),
    }
}

/// Refuses requests that another site has made the browser send.
pub(super) async fn same_origin(request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_safe && !is_same_origin(request.headers()) {
        return Problem::cross_site().into_response();
    }
    next.run(request).await
}

/// Whether a request comes from this origin. Browsers say so in `Sec-Fetch-Site`; for older ones the `Origin` decides.
fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = headers.get(header::HOST).and_then(text);
    match headers.get(header::ORIGIN).and_then(text) {
        Some(origin) => {
            let of_origin = origin.split_once("://").map(|(_, host)| host);
            of_origin.is_some() && of_origin == host
        }
        // Without these headers it is not a browser, so it has no cookie that another site could abuse.
        None => true,
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn to_sign_in(method: &Method, uri: &Uri) -> Response {
    let back = match *method {
        Method::GET => uri.path_and_query().map_or("/", |path| path.as_str()),
        _ => "/",
    };
    let query: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("back", back)
        .finish();
    Redirect::to(&format!("/sign-in?{query}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            (
                name.parse().expect("a name"),
                HeaderValue::from_static(value),
            )
        });
        is_same_origin(&HeaderMap::from_iter(headers.collect::<Vec<_>>()))
    }

    #[test]
    fn only_the_consoles_own_pages_may_have_a_browser_act() {
        for (headers, is_own) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://a:1"), ("host", "a:1")], true),
            (&[("origin", "http://b:1"), ("host", "a:1")], false),
            (&[("origin", "null"), ("host", "a:1")], false),
            (&[("host", "a:1")], true),
        ] {
            assert_eq!(sent(headers), is_own, "{headers:?}");
        }
    }
}
