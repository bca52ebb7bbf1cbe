//! `[server]`: the public listener, its limits and its way of stopping.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The public listener.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port. HTTPS with `tls`, else plain HTTP for a load balancer that ends TLS.
    pub listen: SocketAddr,
    /// Path of the webhook, with a leading slash.
    pub path: String,
    /// Name of this instance in the envelope's `source`; empty means the host's name.
    pub instance: String,
    /// Largest body that is read, in bytes.
    pub max_body_bytes: usize,
    /// Most connections open at once; further ones wait in the listen queue.
    pub max_connections: usize,
    /// Longest time for a TLS handshake, and for the headers of a request once its first byte came.
    pub header_timeout: Duration,
    /// Longest time from the end of the headers to the end of the body.
    pub body_timeout: Duration,
    /// How long a connection may be idle between two requests. Keep it above the load balancer's own limit.
    pub idle_timeout: Duration,
    /// After SIGTERM: how long `/readyz` answers 503 while requests are still taken.
    pub drain_delay: Duration,
    /// After SIGTERM: when the process ends at the latest.
    pub drain_timeout: Duration,
    /// `[server.tls]`, when HTTPS ends here.
    pub tls: Option<ServerTls>,
}

/// Certificate and key of the public listener, PEM. Re-read on SIGHUP.
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
            max_connections: 10_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(120),
            drain_delay: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(25),
            tls: None,
        }
    }
}
