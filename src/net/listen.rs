//! A listener: accepts within a bound, speaks HTTP/1.1 and HTTP/2 in plain or over TLS, cuts off slow connections and
//! lets the others finish when it stops.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::ServerTls;
use super::activity::{Activity, Verdict, Watched};
use crate::lifecycle::{Readiness, Shutdown};
use crate::metrics::Metrics;

/// A wait after an accept that failed for want of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// How often a connection is looked at that is to close after its next request.
const LOOK: Duration = Duration::from_millis(20);
/// HTTP/1.1: most bytes of a head, and of what is read of a body at once.
const HEAD: usize = 64 * 1024;
/// HTTP/2: most requests at once on one connection.
const STREAMS: u32 = 64;
/// HTTP/2: most bytes of a request's headers, counted as the protocol does (RFC 9113, section 6.5.2).
const HEADERS: u32 = 16 * 1024;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at once; further ones wait in the listen queue.
    pub max_connections: usize,
    /// For the TLS handshake and for the headers of a request, from their first byte on.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// How long an open connection has at a stop to bring a request that is on its way; its answer closes it. As long
    /// again when the request has begun to come.
    pub linger: Duration,
}

/// A listener that is bound and not yet accepting.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the log.
    pub name: &'static str,
    /// The bound socket.
    pub socket: TcpListener,
    /// TLS, when it ends here.
    pub tls: Option<ServerTls>,
    /// Its limits.
    pub limits: Limits,
    /// Set for the listener whose connections are counted.
    pub metrics: Option<Metrics>,
}

impl Listener {
    /// Accepts until `accepting` stops, and serves what is accepted until `shutdown` does; then lets open requests
    /// finish.
    pub async fn serve(
        self,
        router: Router,
        readiness: Readiness,
        accepting: CancellationToken,
        shutdown: Shutdown,
    ) {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new()).max_buf_size(HEAD);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEADERS)
            .keep_alive_interval(self.limits.idle_timeout / 2)
            .keep_alive_timeout(self.limits.header_timeout);
        let connections = Connections {
            listener: self.name,
            http,
            router,
            readiness,
            permits: Arc::new(Semaphore::new(self.limits.max_connections)),
            limits: self.limits,
            tls: self.tls,
            metrics: self.metrics,
            shutdown,
        };
        loop {
            let permit = tokio::select! {
                permit = connections.room() => permit,
                () = accepting.cancelled() => break,
            };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = accepting.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => connections.clone().spawn(stream, permit),
                Err(error) => connections.cannot_accept(&error).await,
            }
        }
        // The system is asked itself what waits: the runtime also says "nothing" when it only wants a pause.
        match self.socket.into_std() {
            Ok(socket) => connections.accept_what_waits(&socket).await,
            Err(error) => {
                tracing::warn!(listener = self.name, error = %error, "what waits to be accepted is reset");
            }
        }
    }
}

/// What all connections of a listener share.
#[derive(Clone)]
struct Connections {
    listener: &'static str,
    http: auto::Builder<TokioExecutor>,
    router: Router,
    readiness: Readiness,
    permits: Arc<Semaphore>,
    limits: Limits,
    tls: Option<ServerTls>,
    metrics: Option<Metrics>,
    shutdown: Shutdown,
}

impl Connections {
    /// Accepts what waits in the queue, which would be reset when the socket closes. A successor takes it from the same
    /// queue.
    async fn accept_what_waits(&self, socket: &StdListener) {
        while !self.readiness.has_successor() {
            let permit = self.room().await;
            let accepted = socket.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)
            });
            match accepted {
                Ok(stream) => self.clone().spawn(stream, permit),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.cannot_accept(&error).await,
            }
        }
    }

    async fn cannot_accept(&self, error: &io::Error) {
        if !is_the_peers(error) {
            tracing::warn!(listener = self.listener, error = %error, "cannot accept a connection; trying again");
            tokio::time::sleep(ACCEPT_BACKOFF).await;
        }
    }

    /// Waits for room under the bound of connections.
    async fn room(&self) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return permit;
        }
        if let Some(metrics) = &self.metrics {
            metrics.connections_full();
        }
        tracing::warn!(
            "the bound of open connections is reached (server.max_connections); new ones wait"
        );
        Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed")
    }

    fn spawn(self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // Answers are small and final: nothing is gained by waiting for more.
        stream.set_nodelay(true).ok();
        self.shutdown.clone().spawn("connection", async move {
            let _open = Open::new(permit, self.metrics.clone());
            self.serve(stream).await;
        });
    }

    async fn serve(self, stream: TcpStream) {
        let activity = Activity::new();
        match &self.tls {
            None => self.speak(stream, activity).await,
            Some(tls) => {
                match tokio::time::timeout(self.limits.header_timeout, tls.accept(stream)).await {
                    Ok(Ok(stream)) => self.speak(stream, activity).await,
                    Ok(Err(error)) => tracing::debug!(error = %error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            }
        }
    }

    async fn speak<S>(&self, stream: S, activity: Arc<Activity>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(Watched::new(stream, Arc::clone(&activity)));
        let watched = Arc::clone(&activity);
        let service = service_fn(move |request: Request<Incoming>| {
            let version = request.version();
            let in_request = watched.request(version == Version::HTTP_2);
            let (router, readiness) = (self.router.clone(), self.readiness.clone());
            async move {
                let mut response = router.oneshot(request).await?;
                // Tells a load balancer during a drain to take its next request elsewhere.
                if readiness.is_draining() && version != Version::HTTP_2 {
                    response
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                drop(in_request);
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let mut connection = std::pin::pin!(self.http.serve_connection(io, service));
        let mut look = tokio::time::interval(self.limits.look_every());
        let mut stopping = std::pin::pin!(self.stopping(&activity));
        let mut is_closing = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(error = %error, "connection ended early");
                    }
                    return;
                }
                _ = look.tick() => match activity.verdict(self.limits.header_timeout, self.limits.idle_timeout) {
                    Verdict::Keep => {}
                    Verdict::CloseIdle if is_closing => return,
                    Verdict::CloseIdle => {
                        is_closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                    Verdict::Cut => {
                        tracing::debug!("connection cut off: its headers did not come in time");
                        return;
                    }
                },
                () = &mut stopping, if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

impl Connections {
    /// Ends when the connection is to be closed: while a request is worked on, since that is then finished, or when none
    /// has come for so long that none is on its way. A sender learns too late of a connection that was closed while idle,
    /// and Suki sends once.
    async fn stopping(&self, activity: &Activity) {
        self.shutdown.stopping().await;
        let (stopped, linger) = (Instant::now(), self.limits.linger);
        while !activity.is_in_request() {
            let patience = if activity.has_begun() {
                linger * 2
            } else {
                linger
            };
            if stopped.elapsed() >= patience {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Limits {
    /// Often enough that a limit is kept to within a quarter.
    fn look_every(&self) -> Duration {
        (self.header_timeout.min(self.idle_timeout) / 4)
            .clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// Counts a connection while it is open.
struct Open {
    _permit: OwnedSemaphorePermit,
    metrics: Option<Metrics>,
}

impl Open {
    fn new(permit: OwnedSemaphorePermit, metrics: Option<Metrics>) -> Self {
        if let Some(metrics) = &metrics {
            metrics.connection(1.0);
        }
        Self {
            _permit: permit,
            metrics,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.connection(-1.0);
        }
    }
}

/// Whether an accept failed only because that one peer was gone already.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
