//! Obtains the listening sockets: from the service manager, from the previous process, or by binding them.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use crate::config::Config;
use crate::net::{BindError, Predecessor, Sockets, ask};

/// Sockets that the service manager has opened (systemd's `LISTEN_FDS`), in any order: they are told apart by their
/// addresses. A missing one is bound.
#[derive(Debug, Default)]
pub struct Inherited(pub Vec<TcpListener>);

/// The listening sockets, and who else holds them.
pub(super) struct Obtained {
    pub(super) sockets: Sockets,
    /// The previous process, if it handed them over and still runs.
    pub(super) predecessor: Option<Predecessor>,
    /// Whether the service manager keeps the public socket open when this process ends.
    pub(super) stay: bool,
}

/// Takes the sockets from the service manager or from the previous process, or binds them.
pub(super) async fn obtain(config: &Config, inherited: &Inherited) -> anyhow::Result<Obtained> {
    let (public, admin) = (config.server.listen, config.admin.listen);
    if !inherited.0.is_empty() {
        let (public_socket, admin_socket) = inherited.told_apart(public, admin)?;
        let stay = public_socket.is_some();
        let sockets = Sockets {
            public: or_bound(public_socket, public)?,
            admin: or_bound(admin_socket, admin)?,
        };
        tracing::info!("the service manager has opened the listening sockets");
        return Ok(Obtained {
            sockets,
            predecessor: None,
            stay,
        });
    }
    let path = handover_path(config);
    let asked = ask(&path).await.with_context(|| {
        format!(
            "cannot get the sockets of the process that listens at {}",
            path.display()
        )
    })?;
    let Some((given, predecessor)) = asked else {
        return Ok(Obtained {
            sockets: Sockets::bind(public, admin)?,
            predecessor: None,
            stay: false,
        });
    };
    must_be_at(&given.public, "server.listen", public)?;
    must_be_at(&given.admin, "admin.listen", admin)?;
    tracing::info!(
        "another process serves from this data folder; this one accepts notifications beside it and takes over when it ends"
    );
    Ok(Obtained {
        sockets: given,
        predecessor: Some(predecessor),
        stay: false,
    })
}

/// The path of the Unix socket at which the next process asks for this process's sockets.
pub(super) fn handover_path(config: &Config) -> PathBuf {
    config
        .server
        .handover_socket
        .clone()
        .unwrap_or_else(|| config.store.folder().join("handover.sock"))
}

impl Inherited {
    /// The public and the admin socket. They must not be confused: that would put the operators' API on the public
    /// address.
    fn told_apart(
        &self,
        public: SocketAddr,
        admin: SocketAddr,
    ) -> anyhow::Result<(Option<TcpListener>, Option<TcpListener>)> {
        let mut told = (None, None);
        for socket in &self.0 {
            let found = socket.local_addr()?;
            let place = if is_at(found, public) {
                &mut told.0
            } else if is_at(found, admin) {
                &mut told.1
            } else if public.port() == 0 && told.0.is_none() {
                &mut told.0
            } else if admin.port() == 0 {
                &mut told.1
            } else {
                bail!(
                    "LISTEN_FDS: a socket is at {found}, which is neither server.listen ({public}) nor admin.listen ({admin})"
                );
            };
            ensure!(
                place.replace(socket.try_clone()?).is_none(),
                "LISTEN_FDS: two sockets are for one address, the second at {found}"
            );
        }
        Ok(told)
    }
}

fn or_bound(socket: Option<TcpListener>, address: SocketAddr) -> Result<TcpListener, BindError> {
    socket.map_or_else(|| Sockets::bind_one(address), Ok)
}

/// The previous process must listen at the address that is configured for this one. At two different addresses this
/// process would not replace the previous one: connections to the old address would be refused once the previous
/// process has ended.
fn must_be_at(socket: &TcpListener, key: &str, wanted: SocketAddr) -> anyhow::Result<()> {
    let found = socket.local_addr()?;
    ensure!(
        wanted.port() == 0 || is_at(found, wanted),
        "a process with this data folder listens on {found}, and {key} is {wanted}; stop it first, or set {key} to its address"
    );
    Ok(())
}

/// Whether an address is the configured one. A wildcard IPv6 address includes all IPv4 addresses.
fn is_at(found: SocketAddr, wanted: SocketAddr) -> bool {
    found == wanted
        || (found.port() == wanted.port()
            && found.ip().is_unspecified()
            && wanted.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("an address");
        (socket, address)
    }

    fn address(socket: Option<TcpListener>) -> Option<SocketAddr> {
        socket.map(|socket| socket.local_addr().expect("an address"))
    }

    #[test]
    fn inherited_sockets_are_told_apart_by_their_addresses_whatever_their_order() {
        let ((one, public), (other, admin)) = (socket(), socket());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let inherited = Inherited(vec![other, one]);
        for (wants_public, wants_admin) in [(public, admin), (any, admin), (public, any)] {
            let (found, for_operators) = inherited
                .told_apart(wants_public, wants_admin)
                .expect("both are known");
            assert_eq!(address(found), Some(public));
            assert_eq!(address(for_operators), Some(admin));
        }
    }

    #[test]
    fn an_inherited_socket_at_no_configured_address_is_an_error() {
        let ((one, public), (other, stray)) = (socket(), socket());
        let admin = SocketAddr::from(([127, 0, 0, 1], 1));
        let error = Inherited(vec![one, other])
            .told_apart(public, admin)
            .expect_err("one is unknown");
        assert!(error.to_string().contains(&stray.to_string()), "{error}");
    }

    #[test]
    fn the_admin_address_of_one_interface_is_not_all_interfaces() {
        let at = |text: &str| text.parse().expect("an address");
        assert!(is_at(at("[::]:80"), at("0.0.0.0:80")));
        assert!(!is_at(at("0.0.0.0:80"), at("127.0.0.1:80")));
        assert!(!is_at(at("0.0.0.0:80"), at("0.0.0.0:81")));
    }
}
