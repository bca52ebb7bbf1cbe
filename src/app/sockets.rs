//! Where the listening sockets come from: the service manager, the process before this one, or the system.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::Context;

use crate::config::Config;
use crate::net::{Predecessor, Sockets, ask};

/// Sockets that the service manager has opened (systemd's `LISTEN_FDS`): the first is the public one, the second the
/// admin one. Those that are missing are bound.
#[derive(Debug, Default)]
pub struct Inherited {
    /// For notifications.
    pub public: Option<TcpListener>,
    /// For operators.
    pub admin: Option<TcpListener>,
}

/// The sockets, and the process that gave them and still runs.
pub(super) async fn obtain(
    config: &Config,
    inherited: Inherited,
) -> anyhow::Result<(Sockets, Option<Predecessor>)> {
    let (public, admin) = (config.server.listen, config.admin.listen);
    if inherited.public.is_some() || inherited.admin.is_some() {
        tracing::info!("the service manager has opened the listening sockets");
        let sockets = Sockets {
            public: or_bound(inherited.public, public)?,
            admin: or_bound(inherited.admin, admin)?,
        };
        return Ok((sockets, None));
    }
    let path = handover_path(config);
    let asked = ask(&path).await.with_context(|| {
        format!(
            "cannot get the sockets of the process that listens at {}",
            path.display()
        )
    })?;
    let Some((given, predecessor)) = asked else {
        return Ok((Sockets::bind(public, admin)?, None));
    };
    tracing::info!("a process runs already; this one takes notifications beside it and follows it");
    let sockets = Sockets {
        public: or_bound(is_at(&given.public, public).then_some(given.public), public)?,
        admin: or_bound(is_at(&given.admin, admin).then_some(given.admin), admin)?,
    };
    Ok((sockets, Some(predecessor)))
}

/// Where the next process asks for the sockets of this one.
pub(super) fn handover_path(config: &Config) -> PathBuf {
    config
        .server
        .handover_socket
        .clone()
        .unwrap_or_else(|| config.store.folder().join("handover.sock"))
}

fn or_bound(socket: Option<TcpListener>, address: SocketAddr) -> std::io::Result<TcpListener> {
    socket.map_or_else(|| Sockets::bind_one(address), Ok)
}

/// Whether a socket is where the configuration wants it; port 0 is anywhere.
fn is_at(socket: &TcpListener, wanted: SocketAddr) -> bool {
    wanted.port() == 0 || socket.local_addr().is_ok_and(|found| found == wanted)
}
