//! `[server]`: the public listener, its limits, and how it stops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::check;
use crate::config::reader::duration;
use crate::config::reader::section::Section;
use crate::config::reader::setting::ByteSize;

/// The settings of the public listener.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port. HTTPS with `tls`, else plain HTTP for a load balancer that terminates TLS.
    pub listen: SocketAddr,
    /// The path of the webhook, with a leading slash. Empty: there is no webhook.
    pub path: String,
    /// The name of this instance in the envelope's `source` and in an event's timeline; empty for the host's name.
    pub instance: String,
    /// The largest body that is read, in bytes.
    pub max_body_bytes: usize,
    /// The limit of bytes of all bodies in memory. Beyond it the answer is 503.
    pub max_buffered_bytes: usize,
    /// The limit of open connections. For a further one, the connection that has been idle for the longest time is
    /// closed.
    pub max_connections: usize,
    /// The time limit for a TLS handshake, and for the head of a request, each from its first byte on.
    pub header_timeout: Duration,
    /// The time limit from the end of the headers to the end of the body, and for the client to take the answer.
    pub body_timeout: Duration,
    /// How long a connection on which no request has begun is kept. This must be longer than the load balancer's own
    /// limit: a request that it sends on a connection that is being closed is lost.
    pub idle_timeout: Duration,
    /// After SIGTERM: how long `/readyz` answers 503 while requests are still accepted.
    pub drain_delay: Duration,
    /// After SIGTERM: the time within which the process ends.
    pub drain_timeout: Duration,
    /// The Unix socket at which a successor asks for the listening sockets; `None` for one in the data folder.
    pub handover_socket: Option<PathBuf>,
    /// `[server.tls]`, if this listener terminates TLS.
    pub tls: Option<ServerTls>,
}

/// Certificate and key of a listener, PEM. Read again on SIGHUP.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The chain, leaf first.
    pub cert_file: PathBuf,
    /// The leaf's private key (PKCS#8, PKCS#1 or SEC1).
    pub key_file: PathBuf,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            path: "/webhooks/notification".to_owned(),
            instance: String::new(),
            max_body_bytes: 1024 * 1024,
            max_buffered_bytes: 256 * 1024 * 1024,
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(620),
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(25),
            handover_socket: None,
            tls: None,
        }
    }
}

impl Server {
    /// Whether there is a webhook to which notifications are posted.
    pub fn has_webhook(&self) -> bool {
        !self.path.is_empty()
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let max_body_bytes = ByteSize(default.max_body_bytes);
        let max_buffered_bytes = ByteSize(default.max_buffered_bytes);
        let server = Self {
            listen: section.get("listen", default.listen),
            path: section.checked("path", default.path, |path| webhook_path(path)),
            instance: section.get("instance", default.instance),
            max_body_bytes: section
                .checked("max_body_bytes", max_body_bytes, check::size)
                .0,
            max_buffered_bytes: section
                .checked("max_buffered_bytes", max_buffered_bytes, check::size)
                .0,
            max_connections: section.checked(
                "max_connections",
                default.max_connections,
                check::count,
            ),
            header_timeout: section.checked(
                "header_timeout",
                default.header_timeout,
                check::not_zero,
            ),
            body_timeout: section.checked("body_timeout", default.body_timeout, check::not_zero),
            idle_timeout: section.checked("idle_timeout", default.idle_timeout, check::not_zero),
            drain_delay: section.get("drain_delay", default.drain_delay),
            drain_timeout: section.checked("drain_timeout", default.drain_timeout, check::not_zero),
            handover_socket: section.get("handover_socket", default.handover_socket),
            tls: section.section("tls", ServerTls::read),
        };
        if server.max_buffered_bytes < server.max_body_bytes {
            section.problem(
                "max_buffered_bytes",
                "is less than max_body_bytes: the largest bodies could never be taken",
            );
        }
        server.check_drain(section);
        server
    }

    fn check_drain(&self, section: &mut Section<'_>) {
        let (delay, timeout) = (self.drain_delay, self.drain_timeout);
        if delay >= timeout {
            let (delay, timeout) = (duration::show(delay), duration::show(timeout));
            section.problem(
                "drain_delay",
                format!("{delay} is not shorter than drain_timeout, which is {timeout}"),
            );
        } else if timeout - delay < self.body_timeout {
            section.warn(
                "server.drain_timeout leaves less than server.body_timeout after server.drain_delay: a slow request may be cut off at a stop",
            );
        }
    }
}

impl ServerTls {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let cert_file: Option<PathBuf> = section.get("cert_file", None);
        let key_file: Option<PathBuf> = section.get("key_file", None);
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => Some(Self {
                cert_file,
                key_file,
            }),
            (None, None) => None,
            (Some(_), None) => {
                section.problem("key_file", "is missing; cert_file needs it, or set neither");
                None
            }
            (None, Some(_)) => {
                section.problem("cert_file", "is missing; key_file needs it, or set neither");
                None
            }
        }
    }
}

/// Checks that a path is empty, or that the router takes it literally and it hides none of the health checks.
fn webhook_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    const TAKEN: [&str; 3] = ["/livez", "/readyz", "/healthz"];
    let is_special = |c: char| !c.is_ascii_graphic() || "{}*?#".contains(c);
    check::ensure(path.starts_with('/'), || {
        format!("'{path}' does not start with a slash")
    })?;
    check::ensure(!path.contains(is_special) && !path.contains("/:"), || {
        format!(
            "'{path}' is not plain; use visible ASCII without {{ }} * ? # and no part that starts with ':'"
        )
    })?;
    check::ensure(!TAKEN.contains(&path), || {
        format!("'{path}' is a health check; use another path")
    })
}
