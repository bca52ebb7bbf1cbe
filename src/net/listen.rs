//! A listener: accepts within the bound of open connections, serves each, and lets them finish when it stops.

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

/// A wait after an accept that failed for want of file descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The address that a request came from: the load balancer's, where there is one. An extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

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
        shutdown: TaskGroup,
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
                shutdown,
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
        // The system is asked itself what waits: the runtime also says "nothing" when it only wants a pause.
        match self.socket.into_std() {
            Ok(socket) => acceptor.accept_what_waits(&socket).await,
            Err(error) => {
                tracing::warn!(listener = self.name, error = %error, "connections that wait to be accepted are reset");
            }
        }
    }
}

/// Accepts for one listener.
struct Acceptor {
    listener: &'static str,
    open: OpenConnections,
    server: Server,
}

impl Acceptor {
    /// Accepts what waits in the queue, which would be reset when the socket closes. A successor takes it from the same
    /// queue.
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
        // Answers are small and final: nothing is gained by waiting for more.
        stream.set_nodelay(true).ok();
        let connection = Connection {
            server: self.server.clone(),
            peer,
            activity: Arc::clone(&open.activity),
        };
        self.server.shutdown.spawn("connection", async move {
            connection.serve(stream).await;
            drop(open);
        });
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
