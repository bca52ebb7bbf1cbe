//! A listener: accepts connections up to its limit, serves each, and lets them finish when it stops.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::ServerTls;
use super::connection::{self, Connection, Server};
use super::limits::Limits;
use super::open::OpenConnections;
use super::refused::Refused;
use crate::lifecycle::{Readiness, TaskGroup};
use crate::metrics::Metrics;

/// The wait after an accept that failed because file descriptors or memory ran out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The address from which a request came, or the load balancer's if there is one. Every request has it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A listener that is bound and does not accept yet.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the log.
    pub name: &'static str,
    /// The bound socket.
    pub socket: TcpListener,
    /// The TLS settings, if the listener terminates TLS.
    pub tls: Option<ServerTls>,
    /// Its limits.
    pub limits: Limits,
    /// The metrics, for the listener whose connections are counted.
    pub metrics: Option<Metrics>,
}

impl Listener {
    /// Accepts connections until `accepting` is cancelled and serves them until `tasks` is stopped; then lets open
    /// requests finish.
    pub async fn serve(
        self,
        router: Router,
        readiness: Readiness,
        accepting: CancellationToken,
        tasks: TaskGroup,
    ) {
        let acceptor = Acceptor {
            open: OpenConnections::new(self.limits.max_connections, self.metrics.clone()),
            server: Server {
                http: connection::http(self.limits.half_close),
                router,
                readiness,
                limits: self.limits,
                tls: self.tls,
                refused: Arc::new(Refused::new(self.name, self.metrics)),
                tasks,
            },
            listener: self.name,
        };
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = accepting.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => acceptor.spawn(stream, peer).await,
                Err(error) => acceptor.cannot_accept(&error).await,
            }
        }
        // The system itself is asked whether connections wait: tokio also reports "not ready" when it only wants the
        // task to yield.
        match self.socket.into_std() {
            Ok(socket) => acceptor.accept_what_waits(&socket).await,
            Err(error) => {
                tracing::warn!(listener = self.name, error = %error, "connections that wait to be accepted are reset");
            }
        }
    }
}

/// The accepting side of one listener.
struct Acceptor {
    listener: &'static str,
    open: OpenConnections,
    server: Server,
}

impl Acceptor {
    /// Accepts the connections that wait in the queue, since closing the socket would reset them. When there is a
    /// successor, it accepts them from the same queue.
    async fn accept_what_waits(&self, socket: &StdListener) {
        while !self.server.readiness.has_successor() {
            let accepted = socket.accept().and_then(|(stream, peer)| {
                stream.set_nonblocking(true)?;
                Ok((TcpStream::from_std(stream)?, peer))
            });
            match accepted {
                Ok((stream, peer)) => self.spawn(stream, peer).await,
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

    /// Serves a connection as soon as there is room for one more.
    async fn spawn(&self, stream: TcpStream, peer: SocketAddr) {
        let open = self.open.open().await;
        // Answers are small and complete, so waiting for more data (Nagle's algorithm) gains nothing.
        stream.set_nodelay(true).ok();
        let connection = Connection {
            server: self.server.clone(),
            peer,
            activity: Arc::clone(&open.activity),
        };
        self.server.tasks.spawn("connection", async move {
            connection.serve(stream).await;
            drop(open);
        });
    }
}

/// Whether an accept failed only because that one peer had already disconnected.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
