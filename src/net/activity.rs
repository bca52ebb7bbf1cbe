//! What a connection is doing, so that a slow one is cut off and an idle one is not mistaken for slow.
//!
//! hyper's own header timeout also runs while a kept-alive connection is idle. A load balancer may reuse such a
//! connection at the moment it is closed, and that POST would be lost; so idle time and header time are told apart here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No headers are being read.
const NONE: u64 = u64::MAX;

/// The state of one connection, shared by its I/O, its requests and its supervisor.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    is_http2: AtomicBool,
    /// Bytes of a head have come, and not all of it.
    has_begun: AtomicBool,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All is well.
    Keep,
    /// Idle for too long: close it as the protocol wants.
    CloseIdle,
    /// Too slow with its headers: cut it off.
    Cut,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            // The first request's headers are due from the start.
            head_since: AtomicU64::new(0),
            is_http2: AtomicBool::new(false),
            has_begun: AtomicBool::new(false),
        })
    }

    /// A request's headers are complete. Its answer is on the way out when the guard is dropped.
    pub(super) fn request(self: &Arc<Self>, is_http2: bool) -> InRequest {
        self.is_http2.store(is_http2, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NONE, Ordering::Relaxed);
        self.has_begun.store(false, Ordering::Relaxed);
        InRequest(Arc::clone(self))
    }

    /// Whether a request is being worked on.
    pub(super) fn is_in_request(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Whether a part of the next request's head has come, and not all of it.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// What the time says.
    pub(super) fn verdict(&self, header_timeout: Duration, idle_timeout: Duration) -> Verdict {
        if self.requests.load(Ordering::Relaxed) > 0 {
            return Verdict::Keep;
        }
        let head = self.head_since.load(Ordering::Relaxed);
        // HTTP/2 has frames between requests; only its first headers are timed.
        if head != NONE && self.since(head) > header_timeout {
            return Verdict::Cut;
        }
        if head == NONE && self.since(self.idle_since.load(Ordering::Relaxed)) > idle_timeout {
            return Verdict::CloseIdle;
        }
        Verdict::Keep
    }

    fn bytes_came(&self) {
        if self.requests.load(Ordering::Relaxed) == 0 && !self.is_http2.load(Ordering::Relaxed) {
            // Only the first of them starts the clock.
            self.head_since
                .compare_exchange(NONE, self.now(), Ordering::Relaxed, Ordering::Relaxed)
                .ok();
            self.has_begun.store(true, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(NONE - 1)
    }

    fn since(&self, millis: u64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(millis))
    }
}

/// Held while a request is worked on.
pub(super) struct InRequest(Arc<Activity>);

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that notes when bytes come in.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.bytes_came();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
