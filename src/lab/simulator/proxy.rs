//! Simulates a network that fails on demand: a proxy between a client and a server, on loopback.
//!
//! It is for tests of a service whose database or vendor's API becomes unreachable. It knows nothing about the data
//! that it forwards.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// The state of the network.
#[derive(Debug, Clone, Copy, Default)]
struct Network {
    /// Whether no connection is accepted.
    is_cut: bool,
    /// Whether no data is forwarded.
    is_stalled: bool,
    /// The delay of all data.
    delay: Duration,
    /// How many times connections were closed, and half closed. Connections that were opened before the last time are
    /// affected.
    cuts: u64,
    halves: u64,
}

/// The proxy. Its connections end when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    network: watch::Sender<Network>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Listens on a free port of loopback and forwards to `target`, a host and port.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(target: impl Into<String>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (network, seen) = watch::channel(Network::default());
        let task = tokio::spawn(accept(listener, target.into(), seen));
        Ok(Self {
            address,
            network,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// The address on which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections, and new ones as they come.
    pub fn cut(&self) {
        self.network.send_modify(|network| {
            network.is_cut = true;
            network.cuts += 1;
        });
    }

    /// Forwards nothing, but keeps connections and accepts new ones, like a network that loses every packet.
    pub fn stall(&self) {
        self.network
            .send_modify(|network| network.is_stalled = true);
    }

    /// Closes the connections to the server and keeps those to the client, whose data is then discarded. New
    /// connections are forwarded.
    pub fn half_close(&self) {
        self.network.send_modify(|network| network.halves += 1);
    }

    /// Delays all data in both directions.
    pub fn delay(&self, delay: Duration) {
        self.network.send_modify(|network| network.delay = delay);
    }

    /// Forwards again without delay; stalled connections go on.
    pub fn restore(&self) {
        self.network.send_modify(|network| {
            network.is_cut = false;
            network.is_stalled = false;
            network.delay = Duration::ZERO;
        });
    }
}

async fn accept(listener: TcpListener, target: String, network: watch::Receiver<Network>) {
    let mut connections = JoinSet::new();
    loop {
        // The only errors concern connections that were already closed.
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        if !network.borrow().is_cut {
            connections.spawn(carry(client, target.clone(), network.clone()));
        }
    }
}

/// Serves one connection until it ends.
async fn carry(client: TcpStream, target: String, mut network: watch::Receiver<Network>) {
    let born = *network.borrow();
    let mut struck = network.clone();
    tokio::select! {
        () = forward(client, &target, &mut network, born) => {}
        _ = struck.wait_for(|now| now.cuts > born.cuts) => {}
    }
}

async fn forward(
    client: TcpStream,
    target: &str,
    network: &mut watch::Receiver<Network>,
    born: Network,
) {
    flowing(network).await;
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let is_halved = tokio::select! {
        _ = futures_util::future::join(
            pump(&mut from_client, &mut to_server, network.clone()),
            pump(&mut from_server, &mut to_client, network.clone()),
        ) => false,
        _ = network.wait_for(|now| now.halves > born.halves) => true,
    };
    if is_halved {
        drop((from_server, to_server));
        let mut nowhere = [0; 4096];
        while from_client
            .read(&mut nowhere)
            .await
            .is_ok_and(|read| read > 0)
        {}
        drop(to_client);
    }
}

/// Forwards bytes in one direction until it ends, and then forwards the end.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut network: watch::Receiver<Network>,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        flowing(&mut network).await;
        let read = tokio::select! {
            read = from.read(&mut buffer) => read?,
            _ = network.changed() => continue,
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let delay = network.borrow().delay;
        tokio::time::sleep(delay).await;
        flowing(&mut network).await;
        to.write_all(&buffer[..read]).await?;
    }
}

/// Waits while the network is stalled.
async fn flowing(network: &mut watch::Receiver<Network>) {
    if network.wait_for(|now| !now.is_stalled).await.is_err() {
        // The proxy was dropped, and this task is about to end.
        std::future::pending::<()>().await;
    }
}
