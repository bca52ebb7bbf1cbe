//! A listener: accepts within a bound, speaks HTTP/1.1 and HTTP/2 in plain or over TLS, cuts off slow connections and
//! lets the others finish when it stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use super::ServerTls;
use super::activity::{Activity, Verdict, Watched};
use crate::lifecycle::{Readiness, Shutdown};
use crate::metrics::Metrics;

/// A wait after an accept that failed for want of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// HTTP/2: most requests at once on one connection.
const STREAMS: u32 = 256;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at once; further ones wait in the listen queue.
    pub max_connections: usize,
    /// For the TLS handshake and for the headers of a request, from their first byte on.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
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

/// Binds an address. An error names it.
///
/// # Errors
/// When the address is in use or not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

impl Listener {
    /// Accepts and serves until `shutdown` stops; then closes the socket and lets open requests finish.
    pub async fn serve(self, router: Router, readiness: Readiness, shutdown: Shutdown) {
        let permits = Arc::new(Semaphore::new(self.limits.max_connections));
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1().timer(TokioTimer::new());
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(self.limits.idle_timeout / 2)
            .keep_alive_timeout(self.limits.header_timeout);
        let connections = Connections {
            http,
            router,
            readiness,
            limits: self.limits,
            tls: self.tls,
            shutdown: shutdown.clone(),
        };
        loop {
            let permit = tokio::select! {
                permit = room(&permits, self.metrics.as_ref()) => permit,
                () = shutdown.stopping() => return,
            };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = shutdown.stopping() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Answers are small and final: nothing is gained by waiting for more.
                    stream.set_nodelay(true).ok();
                    let (connections, metrics) = (connections.clone(), self.metrics.clone());
                    shutdown.spawn("connection", async move {
                        let _open = Open::new(permit, metrics);
                        connections.serve(stream).await;
                    });
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(listener = self.name, error = %error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }
}

/// What all connections of a listener share.
#[derive(Clone)]
struct Connections {
    http: auto::Builder<TokioExecutor>,
    router: Router,
    readiness: Readiness,
    limits: Limits,
    tls: Option<ServerTls>,
    shutdown: Shutdown,
}

impl Connections {
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
                () = self.shutdown.stopping(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
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

/// Waits for room under the bound of connections.
async fn room(permits: &Arc<Semaphore>, metrics: Option<&Metrics>) -> OwnedSemaphorePermit {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return permit;
    }
    if let Some(metrics) = metrics {
        metrics.connections_full();
    }
    tracing::warn!(
        "the bound of open connections is reached (server.max_connections); new ones wait"
    );
    Arc::clone(permits)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed")
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
