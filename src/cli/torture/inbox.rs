//! A partner's endpoint that is at times down or slow, and what came in at either sink: the other side of the proof.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

/// How long a slow endpoint takes.
const SLOW: Duration = Duration::from_millis(1500);

/// What one event was delivered as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Its session.
    pub(super) session: String,
    /// Its notification as it came out.
    pub(super) notification: String,
    /// How many notes came with it.
    pub(super) notes: usize,
    /// Whether each time it came it was the same.
    pub(super) is_always_the_same: bool,
    /// How often it came.
    pub(super) times: u32,
    /// How often it was taken and said not to be, and so had to come again.
    pub(super) denied: u32,
}

/// By event id.
pub(super) type Deliveries = HashMap<String, Delivered>;

/// How the endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// Takes everything.
    Well = 0,
    /// Answers 503.
    Down = 1,
    /// Takes everything after a while.
    Slow = 2,
    /// Takes it and answers 500 all the same.
    Lying = 3,
}

/// The endpoint. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Inbox(Arc<Inner>);

#[derive(Default)]
struct Inner {
    mood: AtomicU8,
    got: Mutex<Deliveries>,
}

impl Inbox {
    /// Starts it on a free port.
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

    /// Behaves so from now on.
    pub(super) fn set(&self, mood: Mood) {
        self.0.mood.store(mood as u8, Ordering::Relaxed);
    }

    /// What has come so far.
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
    if inbox.is(Mood::Down) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if inbox.is(Mood::Slow) {
        tokio::time::sleep(SLOW).await;
    }
    let mut got = inbox.0.got.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(id) = add(&mut got, &body) else {
        return StatusCode::BAD_REQUEST;
    };
    if inbox.is(Mood::Lying) {
        got.entry(id).and_modify(|event| event.denied += 1);
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::NO_CONTENT
}

/// What the files sink has written below `dir`.
pub(super) fn files(dir: &Path) -> anyhow::Result<Deliveries> {
    let mut found = Deliveries::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.exists() {
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                let text = std::fs::read(&path)?;
                add(&mut found, &text)
                    .with_context(|| format!("{} is no delivery", path.display()))?;
            }
        }
    }
    Ok(found)
}

/// Adds a delivery, and gives back its id; `None` if it is none.
fn add(got: &mut Deliveries, body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        id: String,
        subject: String,
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        notification: &'a RawValue,
        #[serde(borrow)]
        resources: HashMap<String, Vec<&'a RawValue>>,
    }
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    let id = envelope.id.clone();
    let notes = envelope.data.resources.get("contents").map_or(0, Vec::len);
    let notification = envelope.data.notification.get();
    got.entry(envelope.id)
        .and_modify(|known| {
            known.times += 1;
            known.is_always_the_same &= known.notification == notification && known.notes == notes;
        })
        .or_insert_with(|| Delivered {
            session: envelope.subject,
            notification: notification.to_owned(),
            notes,
            is_always_the_same: true,
            times: 1,
            denied: 0,
        });
    Some(id)
}
