//! A partner's endpoint that is at times down or slow, or answers with an error although it has accepted a delivery.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;

use super::deliveries::{self, Deliveries};

/// The delay of a slow endpoint.
const SLOW: Duration = Duration::from_millis(1500);

/// How the endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Accepts everything.
    Well = 0,
    /// Answers 503.
    Down = 1,
    /// Accepts everything after a delay.
    Slow = 2,
    /// Accepts everything and answers 500.
    Lying = 3,
}

/// The endpoint. Clones share its state.
#[derive(Clone, Default)]
pub(super) struct Inbox(Arc<Inner>);

#[derive(Default)]
struct Inner {
    mood: AtomicU8,
    got: Mutex<Deliveries>,
}

impl Inbox {
    /// Starts an endpoint on a free port.
    pub(super) async fn start() -> anyhow::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let inbox = Self::default();
        let router = Router::new()
            .route("/", post(take))
            .with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok((inbox, address))
    }

    /// Sets how the endpoint behaves from now on.
    pub(super) fn set(&self, mood: Mood) {
        self.0.mood.store(mood as u8, Ordering::Relaxed);
    }

    /// The deliveries so far.
    pub(super) fn got(&self) -> Deliveries {
        self.0
            .got
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn is(&self, mood: Mood) -> bool {
        self.0.mood.load(Ordering::Relaxed) == mood as u8
    }
}

async fn take(State(inbox): State<Inbox>, body: Bytes) -> StatusCode {
    let at = Instant::now();
    if inbox.is(Mood::Down) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if inbox.is(Mood::Slow) {
        tokio::time::sleep(SLOW).await;
    }
    let mut got = inbox.0.got.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(id) = deliveries::add(&mut got, &body, at) else {
        return StatusCode::BAD_REQUEST;
    };
    if inbox.is(Mood::Lying) {
        got.entry(id).and_modify(|event| event.denied += 1);
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::NO_CONTENT
}
