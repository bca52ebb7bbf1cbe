//! Hands the listening sockets of a running process to its successor, over a Unix socket.
//!
//! Both processes then hold the same sockets with the same queue of connections, so no connection is refused or reset
//! while one process replaces the other. Two separate sockets on one port would not do: connections in the queue of the
//! socket that closes are reset.
//!
//! Whoever gets the sockets gets the notifications. So the Unix socket has mode 0600, and each end checks that the
//! other process belongs to the same user.

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

/// The message that is sent with the sockets. A later version with another protocol must send another message.
const SOCKETS: &[u8] = b"suki-receiver 1\n";
/// The message that the successor sends back once it accepts notifications.
const READY: u8 = b'r';
/// The time within which the other end must answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The limit of connections that wait to be accepted; the system may allow fewer (net.core.somaxconn).
const BACKLOG: i32 = 4096;
/// The number of listening sockets: the public one, then the admin one.
const COUNT: usize = 2;
/// The bytes of control data that [`COUNT`] sockets need.
const SPACE: usize = rustix::cmsg_space!(ScmRights(COUNT));

/// The listening sockets of the service.
#[derive(Debug)]
pub struct Sockets {
    /// The public socket, for notifications.
    pub public: StdListener,
    /// The admin socket, for operators.
    pub admin: StdListener,
}

/// The error when an address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The system's error.
    pub source: io::Error,
}

/// The running process that has handed its sockets over.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

/// Asks the process that listens at `path` for its sockets. `None` when there is no such process.
///
/// # Errors
/// When the process belongs to another user, or does not answer as expected.
pub async fn ask(path: &Path) -> io::Result<Option<(Sockets, Predecessor)>> {
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        // A killed process leaves its socket file behind, which refuses connections. No process can listen at a path
        // that is too long for a socket.
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
    /// Tells the previous process that this one accepts notifications.
    pub async fn ready(&mut self) {
        if let Err(error) = self.0.write_all(&[READY]).await {
            tracing::info!(error = %error, "the previous process is gone already");
        }
    }

    /// Waits until the previous process has ended.
    pub async fn ended(mut self) {
        // The process sends nothing more, so this read returns when the process has ended.
        self.0.read_u8().await.ok();
    }
}

/// The Unix socket at which a successor can ask for the sockets of this process.
#[derive(Debug)]
pub struct Offer {
    listener: UnixListener,
    path: PathBuf,
}

impl Offer {
    /// Listens at `path`, and replaces the socket file that an earlier process left there.
    ///
    /// # Errors
    /// When the path is too long for a socket, or its folder cannot be written.
    pub fn at(path: &Path) -> io::Result<Self> {
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".{}", std::process::id()));
        let new = PathBuf::from(new);
        std::fs::remove_file(&new).ok();
        let listener = UnixListener::bind(&new)?;
        // The socket file gets its mode before its final name, so nobody can connect with a wrong mode.
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// Hands the sockets to every process that asks, until one of them accepts notifications. `readiness` knows of the
    /// successor while it runs. Ends when `tasks` is stopped, or when the sockets are withdrawn and there is no
    /// successor: they must be closed then, so that a load balancer's connection is refused and it goes elsewhere.
    pub async fn serve(self, lent: LentSockets, readiness: Readiness, tasks: TaskGroup) {
        tokio::select! {
            // Remove the file within this branch, before the streams are closed: once a successor sees its stream
            // closed, it may use the path itself.
            () = async { tasks.stopping().await; self.forget(); } => {}
            () = self.hand_over(lent, &readiness) => {}
        }
    }

    async fn hand_over(&self, lent: LentSockets, readiness: &Readiness) {
        let withdrawn = lent.withdrawn.clone();
        let mut lent = Some(lent);
        // The askers are served concurrently: one that hangs, or takes long to start, delays no other.
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
        // Remove the file before the askers' streams are closed, as above.
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

/// Withdraws the sockets of a [`LentSockets`].
#[derive(Debug)]
pub struct Withdraw {
    withdrawn: CancellationToken,
    closed: CancellationToken,
}

impl LentSockets {
    /// Makes sockets that can be handed over until they are withdrawn.
    pub fn new(sockets: Sockets) -> (Self, Withdraw) {
        let (withdrawn, closed) = (CancellationToken::new(), CancellationToken::new());
        let lent = Self {
            sockets,
            withdrawn: withdrawn.clone(),
            _closed: closed.clone().drop_guard(),
        };
        (lent, Withdraw { withdrawn, closed })
    }

    /// Waits until the sockets are withdrawn. Whoever holds them must drop them then.
    pub async fn withdrawn(&self) {
        self.withdrawn.cancelled().await;
    }
}

impl Withdraw {
    /// Withdraws the sockets, and waits until these copies are closed. No process gets them any more.
    pub async fn withdraw(&self) {
        self.withdrawn.cancel();
        self.closed.cancelled().await;
    }
}

/// Sends the sockets to a process that asks, if it belongs to the same user.
async fn give(stream: UnixStream, sockets: &Sockets) -> io::Result<UnixStream> {
    must_be_ours(&stream)?;
    within(PATIENCE, send(&stream, sockets)).await?;
    Ok(stream)
}

/// Waits, without a time limit, until the process that got the sockets accepts notifications.
async fn ready(mut stream: UnixStream) -> io::Result<UnixStream> {
    if stream.read_u8().await? != READY {
        return Err(io::Error::other("the successor sent an unexpected message"));
    }
    Ok(stream)
}

/// Waits until the successor has ended.
async fn gone(mut successor: UnixStream) {
    // The successor sends nothing more, so this read returns when the successor has ended.
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
    /// When an address is in use or does not belong to this machine.
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

    /// Duplicates the sockets.
    ///
    /// # Errors
    /// When the process has reached its limit of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            public: self.public.try_clone()?,
            admin: self.admin.try_clone()?,
        })
    }

    /// Starts to listen on both sockets and returns the public listener and the admin listener. From now on,
    /// connections wait to be accepted.
    ///
    /// # Errors
    /// When another process has started to listen on the address first, or the system refuses.
    pub fn listen(self) -> io::Result<(TcpListener, TcpListener)> {
        let ready = |socket: StdListener| {
            let listening = || {
                // A socket that was handed over already listens; a second call does no harm.
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

/// A socket that is bound to an address and does not listen yet.
fn bound(address: SocketAddr) -> io::Result<StdListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Closed connections of an earlier process may occupy the address for a minute (TIME_WAIT).
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}
