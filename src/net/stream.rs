//! Two wrappers around a connection's socket. Neither changes a byte.
//!
//! A sender may disconnect as soon as its last byte is sent. Its request then still waits in the socket's buffer. But
//! when hyper reads the end of the connection, or cannot write an answer, it drops the connection with all requests
//! that it has not read yet. Suki sends each notification only once, so these wrappers make hyper read everything that
//! has come before it learns of the end.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::framing::Framing;

/// The number of first bytes that suffice to tell the protocols apart.
const FIRST_BYTES: usize = 16;

/// The inner wrapper. It remembers the first bytes, and discards writes after the peer has disconnected, so that
/// everything that the peer had sent can still be read. Only reading reports the end of the connection.
pub(super) struct Socket<S> {
    stream: S,
    first_bytes: FirstBytes,
    missing_first: usize,
    can_write: bool,
}

/// The first bytes of a connection that have come so far.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstBytes(Arc<Mutex<Vec<u8>>>);

impl FirstBytes {
    pub(super) fn get(&self) -> Vec<u8> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.clone()
    }
}

impl<S> Socket<S> {
    pub(super) fn new(stream: S, first_bytes: FirstBytes) -> Self {
        Self {
            stream,
            first_bytes,
            missing_first: FIRST_BYTES,
            can_write: true,
        }
    }

    /// Treats the error that the peer has disconnected as a successful write.
    fn written(&mut self, result: io::Result<usize>, length: usize) -> io::Result<usize> {
        match result {
            Err(error) if is_gone(&error) => {
                self.can_write = false;
                Ok(length)
            }
            other => other,
        }
    }
}

/// Whether a write failed because the peer has disconnected.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.missing_first > 0 {
            let came = &buf.filled()[before..];
            let wanted = &came[..self.missing_first.min(came.len())];
            self.missing_first -= wanted.len();
            let first = &self.first_bytes.0;
            first
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(wanted);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.can_write {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        Poll::Ready(self.written(result, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if !self.can_write {
            return Poll::Ready(Ok(length));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        Poll::Ready(self.written(result, length))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.can_write {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(self.written(result.map(|()| 0), 0).map(|_| ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The outer wrapper, directly beneath HTTP. It reports the connection's activity, and holds back the end of the
/// connection until all requests before it are answered. HTTP/2 may read many requests and the end at once, and would
/// drop them all.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    framing: Framing,
    end: Option<End>,
}

/// The state of the end of a connection.
struct End {
    error: Option<io::Error>,
    /// The number of the poll of the connection in which no request was left. The end is reported only in a later poll:
    /// within this one the last answer is still written, and requests that were just read begin.
    quiet_poll: Option<u64>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            framing: Framing::new(),
            end: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let this_poll = this.activity.polls();
        if let Some(end) = &mut this.end {
            // A request that has not come completely waits for bytes that will never come, so it must learn of the end.
            if this.framing.has_whole_requests() && this.activity.is_in_request() {
                end.quiet_poll = None;
                this.activity.wake_after_request(cx.waker());
                // A request that ended before the waker was set has woken nobody, so check again.
                if this.activity.is_in_request() {
                    return Poll::Pending;
                }
            }
            if *end.quiet_poll.get_or_insert(this_poll) == this_poll {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(end.error.take().map_or(Ok(()), Err));
        }
        let before = buf.filled().len();
        let result = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        let came = &buf.filled()[before..];
        if result.is_ok() && (!came.is_empty() || buf.remaining() == 0) {
            this.framing.follow(came);
            this.activity.bytes_came(this.framing.is_within());
            return Poll::Ready(Ok(()));
        }
        this.activity.ended();
        this.end = Some(End {
            error: result.err(),
            // A request that was read just now may be answered before the next poll, and its answer written after it.
            quiet_poll: None,
        });
        cx.waker().wake_by_ref();
        Poll::Pending
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_end_is_told_one_poll_after_the_last_answer_could_be_written() {
        let activity = Activity::new();
        let mut watched = Watched::new(tokio::io::empty(), Arc::clone(&activity));
        let mut read = || {
            activity.polled();
            let mut cx = Context::from_waker(Waker::noop());
            let mut bytes = [0; 8];
            let mut buf = ReadBuf::new(&mut bytes);
            Pin::new(&mut watched)
                .poll_read(&mut cx, &mut buf)
                .is_ready()
        };
        let request = activity.request();
        assert!(!read(), "the end comes while a request is worked on");
        drop(request);
        assert!(!read(), "its answer is written in this poll");
        assert!(read(), "the end");
    }
}
