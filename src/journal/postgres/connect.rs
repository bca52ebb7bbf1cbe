//! Makes connections: to which address, with or without TLS, and with which session settings.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{StreamExt, poll_fn};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::{AsyncMessage, Client, Config, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{PostgresUrl, Secret, Store};
use crate::journal::OpenError;

/// The longest time to connect to one address.
const CONNECT: Duration = Duration::from_secs(5);
/// A peer that has been silent for this long is probed; after several unanswered probes the connection is closed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// The longest time until the peer's TCP acknowledges sent data.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The application name of the connections. It differs from that of the versions before 0.2, which cannot work beside
/// this one.
const APPLICATION: &str = "suki-receiver/2";

/// The session settings. The timeouts match this client's deadlines on the server's side: a statement that nobody waits
/// for any more ends there too, and a session whose client has gone releases its locks even while it waits for others
/// (PostgreSQL 14 and later). The statements are written for this isolation level. If the role or the database has set
/// `synchronous_commit` to less than "on disk", it is set to "on"; a stronger setting is kept.
const SESSION: &str = "SET statement_timeout = '20s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '30s';
    SET default_transaction_isolation = 'read committed';
    SELECT set_config('client_connection_check_interval', '1s', false)
        WHERE EXISTS (SELECT FROM pg_settings WHERE name = 'client_connection_check_interval');
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// Makes connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    password: Arc<ArcSwap<Option<Secret>>>,
    tls: MakeRustlsConnect,
}

impl Connector {
    /// A connector for the configured server.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub(super) fn new(store: &Store, url: &PostgresUrl) -> Result<Self, OpenError> {
        let mut config = url.expose().clone();
        fill_defaults(&mut config);
        let tls = MakeRustlsConnect::new(client_tls(&config, store.ca_file.as_deref())?);
        let password = Arc::new(ArcSwap::from_pointee(store.password.clone()));
        Ok(Self {
            config,
            password,
            tls,
        })
    }

    /// Sets the password for connections that are made from now on. A password in the address takes precedence.
    pub(super) fn set_password(&self, password: Option<Secret>) {
        self.password.store(Arc::new(password));
    }

    /// The driver's configuration.
    pub(super) fn config(&self) -> Config {
        let mut config = self.config.clone();
        if let Some(password) = self.password.load().as_ref() {
            config.password(password.expose());
        }
        config
    }

    /// Makes a connection with its session set up, and starts the task that drives it. Notifications from the server
    /// are sent to `heard`, and dropped when it is full.
    pub(super) async fn connect(
        &self,
        heard: Option<mpsc::Sender<Notification>>,
    ) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, mut connection) = self.config().connect(self.tls.clone()).await?;
        let driver = tokio::spawn(async move {
            let mut messages = poll_fn(move |cx| connection.poll_message(cx));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(notification)) => {
                        if let Some(heard) = &heard {
                            heard.try_send(notification).ok();
                        }
                    }
                    Ok(_) => {}
                    // The user of the connection gets the error as well, and reports it.
                    Err(_) => return,
                }
            }
        });
        if let Err(error) = client.batch_execute(SESSION).await {
            driver.abort();
            return Err(error);
        }
        Ok((client, driver))
    }
}

impl deadpool_postgres::Connect for Connector {
    fn connect(
        &self,
        _: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        Self::connect(self, None).boxed()
    }
}

/// Fills in what the address leaves open.
fn fill_defaults(config: &mut Config) {
    if config.get_ssl_mode() == SslMode::Prefer {
        // "Prefer" is the driver's default, so the address may not mention TLS at all. Preferring TLS protects nothing;
        // on the local machine it is not needed, and beyond it is.
        config.ssl_mode(if is_local(config) {
            SslMode::Disable
        } else {
            SslMode::Require
        });
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(UNACKNOWLEDGED);
    }
    // The kernel's default is to probe only after two hours.
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_interval(KEEPALIVE_INTERVAL);
    }
    if config.get_keepalives_retries().is_none() {
        config.keepalives_retries(KEEPALIVE_RETRIES);
    }
    if config.get_application_name().is_none() {
        config.application_name(APPLICATION);
    }
}

/// Whether every address is on this machine.
fn is_local(config: &Config) -> bool {
    let is_loopback = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse::<IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
    };
    config.get_hosts().iter().all(is_loopback)
        && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// A TLS configuration that always verifies the certificate and its host name, against the system's certificate
/// authorities and those in the file.
fn client_tls(config: &Config, ca_file: Option<&Path>) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    if config.get_ssl_mode() != SslMode::Disable {
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(error = %error, "a certificate authority of the system cannot be read");
        }
        roots.add_parsable_certificates(system.certs);
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if config.get_ssl_negotiation() == SslNegotiation::Direct {
        tls.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(tls)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), OpenError> {
    let wrong = |why: String| OpenError::CaFile {
        path: path.to_owned(),
        why,
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(format!("cannot read a PEM certificate: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong("holds no PEM certificate".to_owned()));
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> SslMode {
        let mut config: Config = url.parse().expect(url);
        fill_defaults(&mut config);
        config.get_ssl_mode()
    }

    #[test]
    fn connections_are_made_with_the_newest_password() {
        let url = PostgresUrl::parse("postgres://u@localhost/d").expect("an address");
        let password = |text: &str| Some(Secret::literal(text));
        let store = Store {
            password: password("old"),
            ..Store::default()
        };
        let connector = Connector::new(&store, &url).expect("settings");
        let of_the_pool = connector.clone();
        connector.set_password(password("new"));
        assert_eq!(of_the_pool.config().get_password(), Some(&b"new"[..]));
    }

    #[test]
    fn tls_is_required_unless_nothing_leaves_the_machine_or_the_address_says_so() {
        for url in [
            "postgres://u@localhost/d",
            "postgres://u@127.0.0.1/d",
            "postgres://u@[::1]/d",
            "postgres://u@%2Frun%2Fpostgresql/d",
            "postgres://u@db.example/d?sslmode=disable",
        ] {
            assert_eq!(mode(url), SslMode::Disable, "{url}");
        }
        for url in [
            "postgres://u@db.example/d",
            "postgres://u@10.0.0.5/d",
            "postgres://u@localhost,db.example/d",
            "postgres://u@db.example/d?sslmode=prefer",
            "postgres://u@localhost/d?sslmode=require",
        ] {
            assert_eq!(mode(url), SslMode::Require, "{url}");
        }
    }
}
