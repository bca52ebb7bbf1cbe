//! `GET /api/v1/stream`: server-sent events for clients that watch the service. An event says what changed and never
//! contains the content.
//!
//! The stream ends as soon as a drain begins and when tokens are reloaded, and it never delays writers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::error::Error;
use super::openapi::answers::Unavailable;
use super::{State, stats};
use crate::journal::{FeedChange, Watch};
use crate::lifecycle::Report;
use crate::net::Health;

/// The limit of concurrent clients.
const MOST: usize = 50;
/// The interval at which statistics and health are checked for changes.
const TICK: Duration = Duration::from_secs(1);
/// The interval of keep-alive messages, so that proxies in between do not close an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The limit of messages that wait for a client that reads slowly. Beyond it the stream ends; the client reconnects and
/// gets the changes that it has missed, or `resync`.
const WAITING: usize = 256;

/// The slots for clients of the stream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watchers(Arc<Semaphore>);

impl Default for Watchers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Watchers {
    /// The number of clients now.
    pub fn count(&self) -> usize {
        MOST - self.0.available_permits()
    }
}

/// Watch for changes.
///
/// Server-sent events: `event` (an event changed its state), `stats` (the numbers of events by state), `ready` (the
/// health of the service) and `resync` (changes were missed: load everything again). They never contain content. The
/// stream ends when the service stops and when tokens are reloaded; reconnect with `Last-Event-ID`.
#[utoipa::path(
    get, path = "/stream", tag = "operations", operation_id = "watch_stream",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read.")),
    responses(
        (
            status = 200, description = "The events, until either side ends the stream.", body = String,
            content_type = "text/event-stream",
        ),
        Unavailable,
    ),
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Error> {
    let after = headers.get("last-event-id");
    open(&state, after.and_then(|after| after.to_str().ok()))
}

/// Opens a stream of changes.
pub(crate) fn open(state: &State, after: Option<&str>) -> Result<impl IntoResponse + use<>, Error> {
    let permit = Arc::clone(&state.watchers.0)
        .try_acquire_owned()
        .map_err(|_| Error::TooManyWatchers)?;
    let (messages, told) = mpsc::channel(WAITING);
    let watcher = Watcher {
        watch: state.journal.feed().watch(after),
        state: state.clone(),
        messages,
        _permit: permit,
    };
    tokio::spawn(watcher.run());
    let stream = Sse::new(stream(told)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    // Tells a proxy in between not to buffer the stream.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, stream))
}

fn stream(told: mpsc::Receiver<Event>) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(told, async |mut told| {
        told.recv().await.map(|event| (Ok(event), told))
    })
}

/// The data of a message that an event changed its state.
#[derive(Serialize)]
struct Changed {
    id: String,
    state: &'static str,
}

/// A client of the stream, and its queue of messages.
struct Watcher {
    state: State,
    watch: Watch,
    messages: mpsc::Sender<Event>,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    /// Sends messages until the client disconnects, a drain begins, or the stream ends itself.
    async fn run(mut self) {
        let (state, gone) = (self.state.clone(), self.messages.clone());
        tokio::select! {
            () = state.readiness.drain_begun() => {}
            () = gone.closed() => {}
            () = self.send_all() => {}
        }
    }

    async fn send_all(&mut self) {
        let tokens = self.state.tokens.load_full();
        let missed = self.watch.missed.take();
        if missed.is_none() && !self.send(Event::default().event("resync").data("{}")) {
            return;
        }
        for change in missed.into_iter().flatten() {
            if !self.send_change(&change) {
                return;
            }
        }
        let (mut ready, mut is_news) = (None, true);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                change = self.watch.changes.recv() => {
                    is_news = true;
                    let is_sent = match change {
                        Ok(change) => self.send_change(&change),
                        Err(RecvError::Lagged(_)) => self.send(Event::default().event("resync").data("{}")),
                        Err(RecvError::Closed) => return,
                    };
                    if !is_sent {
                        return;
                    }
                }
                _ = tick.tick() => {
                    // Tokens were reloaded, so the client may no longer be allowed to watch.
                    if !Arc::ptr_eq(&tokens, &self.state.tokens.load_full()) {
                        return;
                    }
                    let report = self.state.readiness.report();
                    if ready.as_ref() != Some(&report) {
                        if !self.send_health(&report) {
                            return;
                        }
                        ready = Some(report);
                    }
                    if std::mem::take(&mut is_news) && !self.send_stats().await {
                        return;
                    }
                }
            }
        }
    }

    fn send_change(&self, change: &FeedChange) -> bool {
        let data = Changed {
            id: change.event.to_string(),
            state: change.state.as_str(),
        };
        let event = Event::default()
            .event("event")
            .id(self.state.journal.feed().mark(change))
            .json_data(data);
        event.is_ok_and(|event| self.send(event))
    }

    /// Sends the numbers of events by state. If the store fails, nothing is sent; `ready` reports the failure.
    async fn send_stats(&self) -> bool {
        match stats::events(&self.state).await {
            Ok(stats) => {
                let event = Event::default().event("stats").json_data(stats);
                event.is_ok_and(|event| self.send(event))
            }
            Err(_) => true,
        }
    }

    fn send_health(&self, report: &Report) -> bool {
        let event = Event::default()
            .event("ready")
            .json_data(Health::from(report.clone()));
        event.is_ok_and(|event| self.send(event))
    }

    /// `false` if the client has disconnected or does not read. It reconnects, and says which event it read last.
    fn send(&self, event: Event) -> bool {
        self.messages.try_send(event).is_ok()
    }
}
