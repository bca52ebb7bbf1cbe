//! Metadata of a request without its body: for its log lines, and for counting a request whose body never arrives in
//! full.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::MatchedPath;
use axum::http::{HeaderMap, Request};

use crate::net::Peer;
use crate::traces::SpanContext;

/// Most characters of a path that are logged.
const PATH: usize = 200;

/// Where a request came from, and when. Holds no part of its body.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) start: Instant,
    pub(super) request_id: String,
    /// The address of the connection: the load balancer's, where there is one.
    pub(super) peer: Option<SocketAddr>,
    /// The last address of `X-Forwarded-For`, which the nearest load balancer has added.
    pub(super) forwarded_for: Option<IpAddr>,
    /// The request's path, when it is not the webhook's.
    pub(super) other_path: Option<String>,
    /// The matched route, when the path is the webhook's.
    pub(super) route: Option<MatchedPath>,
    /// The span of the sender, or of a load balancer, in which the request was made.
    pub(super) caller: Option<SpanContext>,
}

impl Arrival {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self {
            start: Instant::now(),
            request_id: request_id(request.headers()),
            peer: request.extensions().get().map(|Peer(address)| *address),
            forwarded_for: forwarded_for(request.headers()),
            other_path: None,
            route: request.extensions().get().cloned(),
            caller: caller(request.headers()),
        }
    }

    /// As `Self::of`, for a request on a path other than the webhook's.
    pub(super) fn elsewhere<B>(request: &Request<B>) -> Self {
        let path = request.uri().path().chars().take(PATH).collect();
        Self {
            other_path: Some(path),
            ..Self::of(request)
        }
    }
}

/// The load balancer's id for the request, where it sends a plain one, else one of our own.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        })
        .map_or_else(|| format!("{:016x}", rand::random::<u64>()), str::to_owned)
}

fn caller(headers: &HeaderMap) -> Option<SpanContext> {
    SpanContext::parse(headers.get("traceparent")?.to_str().ok()?)
}

/// Takes only an address out of the header, because a sender may write anything into it.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?.trim();
    last.parse()
        .ok()
        .or_else(|| last.parse().map(|address: SocketAddr| address.ip()).ok())
        .or_else(|| last.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_last_forwarded_address_is_taken_and_nothing_that_is_no_address() {
        for (values, expected) in [
            (&["203.0.113.7"][..], Some("203.0.113.7")),
            (&["10.0.0.1, 203.0.113.7"], Some("203.0.113.7")),
            (
                &["10.0.0.1", "192.0.2.1,203.0.113.7:4711"],
                Some("203.0.113.7"),
            ),
            (&["2001:db8::1"], Some("2001:db8::1")),
            (&["[2001:db8::1]:443"], Some("2001:db8::1")),
            (&["[2001:db8::1]"], Some("2001:db8::1")),
            (&["203.0.113.7, Jane Doe"], None),
            (&[""], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", HeaderValue::from_static(value));
            }
            let expected = expected.map(|address| address.parse().expect("an address"));
            assert_eq!(forwarded_for(&headers), expected, "{values:?}");
        }
    }
}
