//! Hands the listening sockets of a running process to its successor, over a Unix socket.
//!
//! Both then hold the same sockets, with the same queue of connections: none is refused or reset while one process
//! follows the other. Two sockets on one port would not do: what waits in the queue of the one that closes is reset.
//!
//! Whoever gets the sockets gets the notifications. The Unix socket has mode 0600, and both ends look who the other is:
//! only the same user counts.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, sockopt,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::lifecycle::{Readiness, TaskGroup};

/// Sent with the sockets. A later version that sends something else says another word.
const SOCKETS: &[u8] = b"suki-receiver 1\n";
/// Sent back once the successor takes notifications.
const READY: u8 = b'r';
/// How long the other end has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted; the system may allow fewer (net.core.somaxconn).
const BACKLOG: i32 = 4096;
/// The listening sockets: the public one, then the admin one.
const COUNT: usize = 2;
/// Bytes of control data that [`COUNT`] sockets need.
const SPACE: usize = rustix::cmsg_space!(ScmRights(COUNT));

/// The listening sockets of the service.
#[derive(Debug)]
pub struct Sockets {
    /// For notifications.
    pub public: StdListener,
    /// For operators.
    pub admin: StdListener,
}

/// An address that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// The running process that has handed its sockets over.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

/// Asks the process that listens at `path` for its sockets. `None` when there is no such process.
///
/// # Errors
/// When it is another user's, or does not answer as it should.
pub async fn ask(path: &Path) -> io::Result<Option<(Sockets, Predecessor)>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        // A socket that a killed process left behind refuses. At a path that is too long for one nobody can be.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::InvalidInput
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    must_be_ours(&stream)?;
    let sockets = within(PATIENCE, receive(&stream)).await?;
    Ok(Some((sockets, Predecessor(stream))))
}

impl Predecessor {
    /// Tells it that this process takes notifications.
    pub async fn ready(&mut self) {
        if let Err(error) = self.0.write_all(&[READY]).await {
            tracing::info!(error = %error, "the previous process is gone already");
        }
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) {
        // It sends nothing more, so whatever comes is the end.
        self.0.read_u8().await.ok();
    }
}

/// Where a successor can ask for the sockets of this process.
#[derive(Debug)]
pub struct Offer {
    listener: UnixListener,
    path: PathBuf,
}

impl Offer {
    /// Offers at `path`, in the place of whatever an earlier process left there.
    ///
    /// # Errors
    /// When the path is too long for a socket, or its folder cannot be written.
    pub fn at(path: &Path) -> io::Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(new);
        std::fs::remove_file(&new).ok();
        let listener = UnixListener::bind(&new)?;
        // Nobody can ask before it has its mode and then its name.
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Hands the sockets to whoever asks, until one of them takes notifications; tells `readiness` while that one does.
    /// Ends when `shutdown` stops, or when the sockets are withdrawn and nobody follows: they must be closed then, so
    /// that a load balancer is refused and goes elsewhere.
    pub async fn serve(self, lent: LentSockets, readiness: Readiness, shutdown: TaskGroup) {
        tokio::select! {
            // Within the branch: once a successor sees this end of the stream closed, the name is its own.
            () = async { shutdown.stopping().await; self.forget(); } => {}
            () = self.hand_over(lent, &readiness) => {}
        }
    }

    async fn hand_over(&self, lent: LentSockets, readiness: &Readiness) {
        let withdrawn = lent.withdrawn.clone();
        let mut lent = Some(lent);
        // Each by itself: one that stands still, or takes long to start, holds up no other.
        let mut askers = FuturesUnordered::new();
        while let Some(LentSockets { sockets, .. }) = &lent {
            let asked = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => give(stream, sockets).await.map(|stream| {
                        askers.push(ready(stream));
                        None
                    }),
                    Err(error) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        Err(error)
                    }
                },
                Some(successor) = askers.next() => successor.map(Some),
                () = withdrawn.cancelled() => break,
            };
            let successor = match asked {
                Ok(Some(successor)) => successor,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(error = %error, "the sockets were not handed over; this process goes on alone");
                    continue;
                }
            };
            readiness.set_successor(true);
            tracing::info!(
                "a successor has the listening sockets and takes notifications; this process may be stopped"
            );
            let mut gone = std::pin::pin!(gone(successor));
            tokio::select! {
                () = &mut gone => {}
                () = withdrawn.cancelled() => {
                    lent = None;
                    gone.await;
                }
            }
            readiness.set_successor(false);
        }
        // Before the askers' streams are closed, as above.
        self.forget();
    }

    fn forget(&self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// This process's own copies of the sockets, to be handed over.
#[derive(Debug)]
pub struct LentSockets {
    sockets: Sockets,
    withdrawn: CancellationToken,
    _closed: DropGuard,
}

/// Asks for [`LentSockets`] sockets back.
#[derive(Debug)]
pub struct Withdraw {
    withdrawn: CancellationToken,
    closed: CancellationToken,
}

impl LentSockets {
    /// To be handed over until they are withdrawn.
    pub fn new(sockets: Sockets) -> (Self, Withdraw) {
        let (withdrawn, closed) = (CancellationToken::new(), CancellationToken::new());
        let lent = Self {
            sockets,
            withdrawn: withdrawn.clone(),
            _closed: closed.clone().drop_guard(),
        };
        (lent, Withdraw { withdrawn, closed })
    }

    /// Ends when they are withdrawn. Whoever holds them is to drop them then.
    pub async fn withdrawn(&self) {
        self.withdrawn.cancelled().await;
    }
}

impl Withdraw {
    /// From now on nobody gets the sockets; ends when these copies are closed.
    pub async fn withdraw(&self) {
        self.withdrawn.cancel();
        self.closed.cancelled().await;
    }
}

/// Gives the sockets to whoever asks, if that is the same user.
async fn give(stream: UnixStream, sockets: &Sockets) -> io::Result<UnixStream> {
    must_be_ours(&stream)?;
    within(PATIENCE, send(&stream, sockets)).await?;
    Ok(stream)
}

/// Ends when whoever got the sockets takes notifications. How long it needs to start is its own affair.
async fn ready(mut stream: UnixStream) -> io::Result<UnixStream> {
    if stream.read_u8().await? != READY {
        return Err(io::Error::other("the successor says something else"));
    }
    Ok(stream)
}

/// Ends when the successor does.
async fn gone(mut successor: UnixStream) {
    // It sends nothing more, so whatever comes is the end.
    successor.read_u8().await.ok();
    tracing::warn!("the successor is gone");
}

async fn send(stream: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    let fds = [sockets.public.as_fd(), sockets.admin.as_fd()];
    stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(&fds));
            let data = [IoSlice::new(SOCKETS)];
            Ok(sendmsg(stream, &data, &mut control, SendFlags::NOSIGNAL)?)
        })
        .await
        .map(|_| ())
}

async fn receive(stream: &UnixStream) -> io::Result<Sockets> {
    let (word, mut fds) = stream
        .async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut word = [0; SOCKETS.len()];
            let mut data = [IoSliceMut::new(&mut word)];
            recvmsg(stream, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
            let fds: Vec<OwnedFd> = control
                .drain()
                .filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                    _ => None,
                })
                .flatten()
                .collect();
            Ok((word, fds))
        })
        .await?;
    let (Some(admin), Some(public), true) = (fds.pop(), fds.pop(), word == SOCKETS) else {
        return Err(io::Error::other(
            "the running process does not hand its sockets over as this version expects",
        ));
    };
    Ok(Sockets {
        public: public.into(),
        admin: admin.into(),
    })
}

fn must_be_ours(stream: &UnixStream) -> io::Result<()> {
    let (ours, theirs) = (
        rustix::process::geteuid().as_raw(),
        stream.peer_cred()?.uid(),
    );
    if ours == theirs {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("the other process belongs to user {theirs}, this one to {ours}"),
    ))
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(time, work)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

impl Sockets {
    /// Binds both addresses. Nobody can connect before [`Sockets::listen`].
    ///
    /// # Errors
    /// When an address is in use or not ours.
    pub fn bind(public: SocketAddr, admin: SocketAddr) -> Result<Self, BindError> {
        Ok(Self {
            public: Self::bind_one(public)?,
            admin: Self::bind_one(admin)?,
        })
    }

    /// Binds one address.
    ///
    /// # Errors
    /// As [`Sockets::bind`].
    pub fn bind_one(address: SocketAddr) -> Result<StdListener, BindError> {
        bound(address).map_err(|source| BindError { address, source })
    }

    /// The same sockets once more.
    ///
    /// # Errors
    /// When the process may have no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            public: self.public.try_clone()?,
            admin: self.admin.try_clone()?,
        })
    }

    /// The sockets, ready to accept: the public one and the admin one. From now on what connects waits to be accepted.
    ///
    /// # Errors
    /// When another process was faster, or the system refuses.
    pub fn listen(self) -> io::Result<(TcpListener, TcpListener)> {
        let ready = |socket: StdListener| {
            let listening = || {
                // One that was handed over listens already, which does no harm.
                rustix::net::listen(&socket, BACKLOG)?;
                socket.set_nonblocking(true)
            };
            listening().map_err(|error| match socket.local_addr() {
                Ok(address) => io::Error::new(
                    error.kind(),
                    BindError {
                        address,
                        source: error,
                    },
                ),
                Err(_) => error,
            })?;
            TcpListener::from_std(socket)
        };
        Ok((ready(self.public)?, ready(self.admin)?))
    }
}

/// A socket at an address that does not listen yet.
fn bound(address: SocketAddr) -> io::Result<StdListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // What an earlier process has closed may linger on the address for a minute.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}
