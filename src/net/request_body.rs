//! The body of a request. What its handler leaves unread is read and thrown away, within limits, while the answer is on
//! its way.
//!
//! Load balancers send the whole body before they read the answer. If the connection is closed while they still send,
//! they see a broken connection in place of the answer, report `502`, and may take the service for broken: anybody could
//! then make them refuse notifications by sending large bodies.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};

use super::activity::Activity;
use crate::lifecycle::TaskGroup;

/// The limit in bytes of what is thrown away.
const REST: usize = 8 << 20;
/// The longest pause between two pieces of it.
const PAUSE: Duration = Duration::from_secs(2);

/// The body of a request, whose rest is thrown away when this is dropped.
pub(super) struct RequestBody {
    /// Taken when this is dropped.
    body: Option<Incoming>,
    /// Whether the client was not told yet to send the body, for which it waits. Polling the body tells it. If it is
    /// never told, what it sends next may be another request.
    is_held_back: bool,
    has_ended: bool,
    activity: Arc<Activity>,
    tasks: TaskGroup,
    /// The time limit for the rest.
    time: Duration,
}

impl RequestBody {
    pub(super) fn new(
        body: Incoming,
        headers: &HeaderMap,
        activity: Arc<Activity>,
        tasks: TaskGroup,
        time: Duration,
    ) -> Self {
        Self {
            has_ended: false,
            is_held_back: headers.contains_key(header::EXPECT),
            body: Some(body),
            activity,
            tasks,
            time,
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.is_held_back = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        self.has_ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(rest) = self.body.take() else { return };
        let announced = usize::try_from(rest.size_hint().lower()).unwrap_or(usize::MAX);
        if self.has_ended || self.is_held_back || rest.is_end_stream() || announced > REST {
            return;
        }
        let (time, reading) = (self.time, self.activity.rest());
        self.tasks.spawn("rest of a request", async move {
            tokio::time::timeout(time, throw_away(rest)).await.ok();
            drop(reading);
        });
    }
}

/// Ends with the body, with the connection, or at a limit.
async fn throw_away(mut rest: Incoming) {
    let mut bytes = 0;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PAUSE, rest.frame()).await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > REST {
            return;
        }
    }
}
