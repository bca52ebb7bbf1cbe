//! Connections that are refused before a handler has seen a request. They are counted by reason, and logged with the
//! peer's address at most once a minute for each reason. Nothing that the peer sent is quoted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::metrics::Metrics;

/// The interval at which each reason is logged at most.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// The beginnings of both versions of the PROXY protocol (its specification, sections 2.1 and 2.2).
const PROXY_V1: &[u8] = b"PROXY ";
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reason {
    /// The head of a request is too large: 431 or 414.
    HeadTooLarge,
    /// The bytes are not HTTP, or their framing is wrong.
    Malformed,
    /// The client used TLS on a port without TLS.
    TlsToPlainPort,
    /// The client used plain HTTP on a port with TLS.
    PlainToTlsPort,
    /// The client used the PROXY protocol, which this service does not support.
    ProxyProtocol,
    /// The TLS handshake failed or took too long.
    TlsHandshake,
    /// The head of a request did not come in time.
    HeadTooSlow,
    /// The peer closed the connection within the head of a request.
    Incomplete,
}

impl Reason {
    const ALL: [Self; 8] = [
        Self::HeadTooLarge,
        Self::Malformed,
        Self::TlsToPlainPort,
        Self::PlainToTlsPort,
        Self::ProxyProtocol,
        Self::TlsHandshake,
        Self::HeadTooSlow,
        Self::Incomplete,
    ];

    /// The label's value.
    fn as_str(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "head_too_large",
            Self::Malformed => "malformed",
            Self::TlsToPlainPort => "tls_to_plain_port",
            Self::PlainToTlsPort => "plain_to_tls_port",
            Self::ProxyProtocol => "proxy_protocol",
            Self::TlsHandshake => "tls_handshake",
            Self::HeadTooSlow => "head_too_slow",
            Self::Incomplete => "incomplete",
        }
    }

    /// What the reason means, and what to do about it.
    fn explanation(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "the request line or the headers are too large",
            Self::Malformed => "what came is not a well-formed HTTP request",
            Self::TlsToPlainPort => {
                "TLS is spoken, but this listener has none: set [server.tls], or let the load balancer send plain HTTP"
            }
            Self::PlainToTlsPort => {
                "plain HTTP is spoken, but this listener expects TLS: let the load balancer send HTTPS, or remove [server.tls]"
            }
            Self::ProxyProtocol => {
                "the PROXY protocol is spoken, which this service does not read: turn it off at the load balancer"
            }
            Self::TlsHandshake => "the TLS handshake failed",
            Self::HeadTooSlow => {
                "the head of the request did not come within server.header_timeout"
            }
            Self::Incomplete => "the peer closed the connection before its request was complete",
        }
    }

    /// Why HTTP failed on a connection that began with `first_bytes`. `None` if the connection just ended and no peer
    /// was refused.
    pub(super) fn of_http(
        error: &(dyn std::error::Error + 'static),
        first_bytes: &[u8],
    ) -> Option<Self> {
        if let Some(reason) = of_other_protocol(first_bytes) {
            return Some(reason);
        }
        if let Some(error) = find::<h2::Error>(error) {
            // An error of the network, or one that the peer sent, ends the connection but refuses nobody.
            let is_ours = error.is_library() && !error.is_io();
            return is_ours.then_some(Self::Malformed);
        }
        let error = find::<hyper::Error>(error)?;
        if error.is_parse_too_large() {
            Some(Self::HeadTooLarge)
        } else if error.is_parse() {
            Some(Self::Malformed)
        } else if error.is_incomplete_message() {
            Some(Self::Incomplete)
        } else {
            None
        }
    }

    /// Why a TLS handshake that began with `first_bytes` failed. `None` if no bytes had come: a client that only probes
    /// whether the port is open is not refused.
    pub(super) fn of_handshake(first_bytes: &[u8]) -> Option<Self> {
        match first_bytes {
            [] => None,
            [0x16, ..] => Some(Self::TlsHandshake),
            bytes if is_proxy_protocol(bytes) => Some(Self::ProxyProtocol),
            [first, ..] if first.is_ascii_uppercase() => Some(Self::PlainToTlsPort),
            _ => Some(Self::TlsHandshake),
        }
    }
}

fn of_other_protocol(first_bytes: &[u8]) -> Option<Reason> {
    // A TLS record of a handshake, and the major version of TLS (RFC 8446, section 5.1).
    if first_bytes.starts_with(&[0x16, 0x03]) {
        Some(Reason::TlsToPlainPort)
    } else if is_proxy_protocol(first_bytes) {
        Some(Reason::ProxyProtocol)
    } else {
        None
    }
}

fn is_proxy_protocol(bytes: &[u8]) -> bool {
    bytes.starts_with(PROXY_V1) || bytes.starts_with(PROXY_V2)
}

/// The first error of a kind in a chain of causes.
fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<E>())
}

/// Counts and logs the connections that one listener refuses.
pub(super) struct Refused {
    listener: &'static str,
    metrics: Option<Metrics>,
    logged: Mutex<HashMap<Reason, LastLogged>>,
}

/// When a reason was last logged, and how often it has occurred since.
#[derive(Default)]
struct LastLogged {
    last: Option<Instant>,
    since: u64,
}

impl Refused {
    pub(super) fn new(listener: &'static str, metrics: Option<Metrics>) -> Self {
        if let Some(metrics) = &metrics {
            for reason in Reason::ALL {
                metrics.connections_refused(reason.as_str(), 0);
            }
        }
        Self {
            listener,
            metrics,
            logged: Mutex::default(),
        }
    }

    /// Notes that a connection of `peer` was refused.
    pub(super) fn note(&self, reason: Reason, peer: SocketAddr) {
        if let Some(metrics) = &self.metrics {
            metrics.connections_refused(reason.as_str(), 1);
        }
        if let Some(count) = self.count_to_log(reason, Instant::now()) {
            tracing::warn!(
                listener = self.listener,
                reason = reason.as_str(),
                peer = %peer,
                count,
                "connection refused: {}; further ones of this kind are not logged for a minute, see connections_refused_total",
                reason.explanation()
            );
        }
    }

    /// How often the reason has occurred since it was last logged, if it is to be logged now.
    fn count_to_log(&self, reason: Reason, now: Instant) -> Option<u64> {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let logged = logged.entry(reason).or_default();
        logged.since += 1;
        if logged
            .last
            .is_some_and(|last| now.duration_since(last) < LOG_EVERY)
        {
            return None;
        }
        logged.last = Some(now);
        Some(std::mem::take(&mut logged.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_a_minute_with_the_count_since() {
        let refused = Refused::new("test", None);
        let start = Instant::now();
        let say =
            |reason, seconds| refused.count_to_log(reason, start + Duration::from_secs(seconds));
        assert_eq!(say(Reason::Malformed, 0), Some(1));
        assert_eq!(say(Reason::Malformed, 1), None);
        assert_eq!(say(Reason::TlsHandshake, 1), Some(1));
        assert_eq!(say(Reason::Malformed, 59), None);
        assert_eq!(say(Reason::Malformed, 60), Some(3));
    }

    #[test]
    fn a_handshake_is_told_apart_by_how_it_began() {
        for (bytes, reason) in [
            (&b""[..], None),
            (b"\x16\x03\x01\x02\x00", Some(Reason::TlsHandshake)),
            (b"POST /webhooks/n", Some(Reason::PlainToTlsPort)),
            (b"PROXY TCP4 192.0", Some(Reason::ProxyProtocol)),
            (b"\r\n\r\n\0\r\nQUIT\n!!!!", Some(Reason::ProxyProtocol)),
            (b"\x80\x2e\x01", Some(Reason::TlsHandshake)),
        ] {
            assert_eq!(Reason::of_handshake(bytes), reason, "{bytes:?}");
        }
    }
}
