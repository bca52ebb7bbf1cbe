//! Serves one connection: TLS if the listener has it, then HTTP/1.1 or HTTP/2 within the time limits, until either side
//! ends it.
//!
//! The time limits are separate: a request's head has `header_timeout` from its first byte on, and a connection on
//! which no request has begun is closed only by `idle_timeout`, by a stop, or to make room for another one.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::ServiceExt;

use super::activity::{Activity, FAREWELL, InRequest, Verdict};
use super::answer::error_response;
use super::limits::Limits;
use super::refused::{Reason, Refused};
use super::request_body::RequestBody;
use super::stream::{FirstBytes, Socket, Watched};
use super::{Peer, ServerTls};
use crate::lifecycle::{Readiness, TaskGroup};

/// The interval at which a connection is checked that is to close after its next request.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The limit in bytes of a request's head, and of a single read of its body.
const HEAD: usize = 64 * 1024;
/// HTTP/2: the limit of concurrent requests on one connection.
const STREAMS: u32 = 64;
/// HTTP/2: the limit in bytes of a request's headers, counted as the protocol does (RFC 9113, section 6.5.2).
const HEADERS: usize = 16 * 1024;
/// The bytes that this count adds for each header.
const HEADER_OVERHEAD: usize = 32;

/// The state that all connections of a listener share.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) http: auto::Builder<TokioExecutor>,
    pub(super) router: Router,
    pub(super) readiness: Readiness,
    pub(super) limits: Limits,
    pub(super) tls: Option<ServerTls>,
    pub(super) refused: Arc<Refused>,
    pub(super) tasks: TaskGroup,
}

/// A server for HTTP/1.1 and HTTP/2, with its limits.
pub(super) fn http(half_close: bool) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // Off, because hyper's own timeout also runs while a connection is idle.
        .header_read_timeout(None)
        .half_close(half_close)
        .max_buf_size(HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD as u32);
    http
}

/// One accepted connection.
pub(super) struct Connection {
    pub(super) server: Server,
    pub(super) peer: SocketAddr,
    pub(super) activity: Arc<Activity>,
}

impl Connection {
    pub(super) async fn serve(self, stream: TcpStream) {
        let first_bytes = FirstBytes::default();
        let Some(tls) = &self.server.tls else {
            let socket = Socket::new(stream, first_bytes.clone());
            return self.speak(socket, &first_bytes).await;
        };
        if !self.has_begun(&stream).await {
            return;
        }
        self.activity.bytes_came(true);
        let handshake = tls.accept(Socket::new(stream, first_bytes.clone()));
        let ended = tokio::time::timeout(self.server.limits.header_timeout, handshake).await;
        self.activity.bytes_came(false);
        match ended {
            Ok(Ok(stream)) => return self.speak(stream, &FirstBytes::default()).await,
            Ok(Err(error)) => tracing::debug!(error = %error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
        if let Some(reason) = Reason::of_handshake(&first_bytes.get()) {
            self.server.refused.note(reason, self.peer);
        }
    }

    /// Waits for the first byte of a handshake for as long as a connection may be idle; `false` if none came and the
    /// connection is to be closed.
    async fn has_begun(&self, stream: &TcpStream) -> bool {
        let mut first = [0];
        tokio::select! {
            peeked = stream.peek(&mut first) => peeked.is_ok_and(|bytes| bytes > 0),
            () = tokio::time::sleep(self.server.limits.idle_timeout) => false,
            () = self.activity.evicted() => false,
            () = self.stopping() => false,
        }
    }

    async fn speak<S>(&self, stream: S, first_bytes: &FirstBytes)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (activity, limits) = (&self.activity, self.server.limits);
        let io = TokioIo::new(Watched::new(stream, Arc::clone(activity)));
        let service = service_fn(|request| self.answer(request));
        let mut connection = std::pin::pin!(self.server.http.serve_connection(io, service));
        let mut checks = tokio::time::interval(limits.check_interval());
        let mut stopping = std::pin::pin!(self.stopping());
        let mut evicted = std::pin::pin!(activity.evicted());
        let mut farewell = std::pin::pin!(tokio::time::sleep(Duration::MAX));
        let (mut is_closing, mut is_parting) = (false, false);
        loop {
            tokio::select! {
                // Bytes that have come are read before the connection is closed.
                biased;
                ended = poll_fn(|cx| { activity.polled(); connection.as_mut().poll(cx) }) => {
                    if let Err(error) = ended {
                        tracing::debug!(error = %error, "connection ended early");
                        if let Some(reason) = Reason::of_http(&*error, &first_bytes.get()) {
                            self.server.refused.note(reason, self.peer);
                        }
                    }
                    return;
                }
                _ = checks.tick() => match activity.verdict(&limits, is_parting) {
                    Verdict::Keep => {}
                    Verdict::CloseIdle if is_closing => return,
                    Verdict::CloseIdle => {
                        is_closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Cut => {
                        self.server.refused.note(Reason::HeadTooSlow, self.peer);
                        return;
                    }
                    Verdict::CutAnswer => {
                        tracing::debug!(peer = %self.peer, "the peer took no part of its answer in time");
                        return;
                    }
                },
                () = &mut evicted, if !is_parting => {
                    (is_closing, is_parting) = (true, true);
                    connection.as_mut().graceful_shutdown();
                    farewell.set(tokio::time::sleep(FAREWELL));
                }
                () = &mut stopping, if !is_parting => {
                    (is_closing, is_parting) = (true, true);
                    connection.as_mut().graceful_shutdown();
                    // Over HTTP/2 the peer must answer the GOAWAY, and may never read it.
                    farewell.set(tokio::time::sleep(limits.linger.max(FAREWELL)));
                }
                () = &mut farewell, if is_parting && !activity.is_in_request() => return,
            }
        }
    }

    /// Passes a request on to the router.
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + Send + 'static {
        let is_http2 = request.version() == Version::HTTP_2;
        let (handling, in_request) = self.activity.request();
        request.extensions_mut().insert(Peer(self.peer));
        let is_too_large = is_http2 && header_bytes(request.headers()) > HEADERS;
        if is_too_large {
            self.server.refused.note(Reason::HeadTooLarge, self.peer);
        }
        let (router, readiness) = (self.server.router.clone(), self.server.readiness.clone());
        let (tasks, time) = (self.server.tasks.clone(), self.server.limits.answer_timeout);
        let (parts, body) = request.into_parts();
        let activity = Arc::clone(&self.activity);
        let body = RequestBody::new(body, &parts.headers, activity, tasks, time);
        let request = Request::from_parts(parts, body);
        async move {
            let mut response = if is_too_large {
                error_response(
                    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                    "the headers are too large",
                )
            } else {
                router.oneshot(request).await?
            };
            drop(handling);
            // During a drain this tells a load balancer to send its next request elsewhere.
            if readiness.is_draining() && !is_http2 {
                response
                    .headers_mut()
                    .insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| Answer { body, in_request }))
        }
    }

    /// At a stop, waits until the connection may be closed gracefully: as soon as a request is in progress, which is
    /// then finished, or when no request has come for so long that none is on its way. An idle connection is not closed
    /// at once, because a sender learns too late that it was closed, and Suki sends each notification only once.
    async fn stopping(&self) {
        self.server.tasks.stopping().await;
        let (stopped, linger) = (Instant::now(), self.server.limits.linger);
        while !self.activity.is_in_request() {
            let patience = if self.activity.has_begun() {
                linger * 2
            } else {
                linger
            };
            if stopped.elapsed() >= patience {
                return;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }
}

/// The body of an answer. The request ends when HTTP has taken the whole body.
struct Answer {
    body: Body,
    in_request: InRequest,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.in_request.progress();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The size of headers as HTTP/2 counts it.
fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD)
        .sum()
}
