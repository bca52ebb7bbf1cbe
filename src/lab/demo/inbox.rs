//! A simulated partner's endpoint: accepts the posts of the `http` sink and verifies each signature.
//!
//! It computes the signature from the specification of Standard Webhooks and shares no code with the sink, so that a
//! mistake in the sink is detected here.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The endpoint. Clones share its state.
#[derive(Clone)]
pub(super) struct Inbox(Arc<Inner>);

struct Inner {
    secret: String,
    got: Mutex<Got>,
}

/// The received deliveries.
#[derive(Debug, Clone, Default)]
pub(super) struct Got {
    /// The ids of events with a valid signature.
    pub(super) ids: HashSet<String>,
    /// The number of repeated deliveries. Delivery is at least once, so these are no fault.
    pub(super) again: u64,
    /// The number of deliveries without a valid signature.
    pub(super) forged: u64,
}

impl Inbox {
    /// Makes an endpoint with this secret.
    pub(super) fn new(secret: String) -> Self {
        Self(Arc::new(Inner {
            secret,
            got: Mutex::default(),
        }))
    }

    /// The secret with which deliveries must be signed.
    pub(super) fn secret(&self) -> &str {
        &self.0.secret
    }

    /// The deliveries received so far.
    pub(super) fn got(&self) -> Got {
        self.lock().clone()
    }

    /// Serves requests until `stop` is cancelled.
    pub(super) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let router = Router::new().route("/", post(take)).with_state(self);
        tokio::select! {
            () = stop.cancelled() => {}
            served = axum::serve(listener, router) => {
                if let Err(error) = served {
                    tracing::error!(error = %error, "the demo's endpoint ended");
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Got> {
        self.0.got.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of the signatures is `v1,base64(HMAC-SHA-256(secret, "id.timestamp.body"))`.
    fn is_signed(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(id), Some(timestamp), Some(signatures)) = (
            text("webhook-id"),
            text("webhook-timestamp"),
            text("webhook-signature"),
        ) else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.secret.as_bytes()) else {
            return false;
        };
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        signatures
            .split(' ')
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .any(|signature| mac.clone().verify_slice(&signature).is_ok())
    }
}

async fn take(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let is_signed = inbox.is_signed(&headers, &body);
    let id = headers
        .get("webhook-id")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut got = inbox.lock();
    if !is_signed {
        got.forged += 1;
        return StatusCode::UNAUTHORIZED;
    }
    if !got.ids.insert(id.to_owned()) {
        got.again += 1;
    }
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(signature: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ] {
            headers.insert(name, value.parse().expect("a header value"));
        }
        headers
    }

    // The value was computed independently: printf … | openssl dgst -sha256 -hmac secret -binary | base64
    const GOOD: &str = "v1,Vf6AeP3oV6A1acmfFlAtLM/8tDHmnVNxTo+BJXcEj2Y=";

    #[test]
    fn only_the_signature_of_these_bytes_is_taken() {
        let inbox = Inbox::new("secret".to_owned());
        assert!(inbox.is_signed(&headers(GOOD), b"{}"));
        assert!(!inbox.is_signed(&headers(GOOD), b"{ }"));
        assert!(!inbox.is_signed(&headers("v1,AAAA"), b"{}"));
        assert!(!inbox.is_signed(&HeaderMap::new(), b"{}"));
    }
}
