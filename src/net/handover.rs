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

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::lifecycle::{Readiness, Shutdown};

/// Sent with the sockets. A later version that sends something else says another word.
const SOCKETS: &[u8] = b"suki-receiver 1\n";
/// Sent back once the successor takes notifications.
const READY: u8 = b'r';
/// How long the other end has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections that wait to be accepted; the system may allow fewer (net.core.somaxconn).
const BACKLOG: u32 = 4096;
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
        // A socket that a killed process left behind refuses.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
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
            tracing::info!(error = %error, "the process before is gone already");
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

    /// Hands `sockets` to one successor at a time, and tells `readiness` while there is one. Ends when `shutdown` stops,
    /// or when `accepting` does and nobody has asked: then the sockets must be closed, so that a load balancer is refused
    /// and goes elsewhere.
    pub async fn serve(
        self,
        sockets: Sockets,
        readiness: Readiness,
        accepting: CancellationToken,
        shutdown: Shutdown,
    ) {
        // Within the branches: once a successor sees this end of the stream closed, the name is its own.
        let forget = || std::fs::remove_file(&self.path).ok();
        tokio::select! {
            () = async { shutdown.stopping().await; forget(); } => {}
            () = async { self.hand_over(&sockets, &readiness, &accepting).await; forget(); } => {}
        }
    }

    async fn hand_over(
        &self,
        sockets: &Sockets,
        readiness: &Readiness,
        accepting: &CancellationToken,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = accepting.cancelled() => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = %error, "cannot accept a successor; trying again");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            if let Err(error) = give(stream, sockets, readiness).await {
                tracing::warn!(error = %error, "the sockets were not handed over; this process goes on alone");
            }
            readiness.set_successor(false);
        }
    }
}

/// Gives the sockets to whoever asks, if that is the same user, and stays with it until it is gone.
async fn give(mut stream: UnixStream, sockets: &Sockets, readiness: &Readiness) -> io::Result<()> {
    must_be_ours(&stream)?;
    within(PATIENCE, send(&stream, sockets)).await?;
    if stream.read_u8().await? != READY {
        return Err(io::Error::other("the successor says something else"));
    }
    readiness.set_successor(true);
    tracing::info!(
        "a successor has the listening sockets and takes notifications; this process may be stopped"
    );
    match stream.read_u8().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            tracing::warn!("the successor is gone");
            Ok(())
        }
        other => other.map(|_| ()),
    }
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
    /// Binds both addresses. An error names the address.
    ///
    /// # Errors
    /// When an address is in use or not ours.
    pub fn bind(public: SocketAddr, admin: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            public: Self::bind_one(public)?,
            admin: Self::bind_one(admin)?,
        })
    }

    /// Binds one address.
    ///
    /// # Errors
    /// As [`Sockets::bind`].
    pub fn bind_one(address: SocketAddr) -> io::Result<StdListener> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        };
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(named)?;
        socket.set_reuseaddr(true).map_err(named)?;
        socket.bind(address).map_err(named)?;
        socket
            .listen(BACKLOG)
            .and_then(TcpListener::into_std)
            .map_err(named)
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

    /// The sockets, ready to accept: the public one and the admin one.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen(self) -> io::Result<(TcpListener, TcpListener)> {
        let ready = |socket: StdListener| {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)
        };
        Ok((ready(self.public)?, ready(self.admin)?))
    }
}
