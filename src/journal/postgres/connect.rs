//! How a connection is made: where to, with or without TLS, and what the session is set to.

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
use crate::journal::Error;

/// Longest time for one address to take the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// A peer that is silent for so long is asked whether it is still there, and again, until it is taken for gone.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// Longest time for what was sent to be acknowledged by the peer's TCP.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// What the connections are called. Another name than that of the versions before 0.2, which cannot work beside this one.
const APPLICATION: &str = "suki-receiver/2";

/// What a session is set to. The limits are the server's side of this side's deadlines: what nobody waits for any more
/// ends there as well, and a session whose client is gone lets go of its locks while it waits for others (PostgreSQL 14
/// and later). The isolation is what the statements are written for. A commit that the role or the database has
/// made weaker than "on disk" is made that again; a stronger one stays.
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
    /// For the configured server.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub(super) fn new(store: &Store, url: &PostgresUrl) -> Result<Self, Error> {
        let mut config = url.expose().clone();
        settle(&mut config);
        let tls = MakeRustlsConnect::new(client_tls(&config, store.ca_file.as_deref())?);
        let password = Arc::new(ArcSwap::from_pointee(store.password.clone()));
        Ok(Self {
            config,
            password,
            tls,
        })
    }

    /// The password of connections that are made from now on. One that is in the address stays.
    pub(super) fn set_password(&self, password: Option<Secret>) {
        self.password.store(Arc::new(password));
    }

    /// The driver's settings.
    pub(super) fn config(&self) -> Config {
        let mut config = self.config.clone();
        if let Some(password) = self.password.load().as_ref() {
            config.password(password.expose());
        }
        config
    }

    /// A connection with its session set up, and the task that drives it. What the server announces goes to `heard`, as
    /// far as there is room.
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
                    // Whoever uses the connection is told as well, and says so.
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

/// What the address leaves open.
fn settle(config: &mut Config) {
    if config.get_ssl_mode() == SslMode::Prefer {
        // The driver's default, so it may not be said at all. Preferring TLS is no protection; in the machine itself it
        // is not needed, and beyond it is.
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
    // Without a word the kernel asks after two hours.
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

/// Whether no address leaves the machine.
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

/// Certificates are always verified, the host's name included: against the system's authorities and those of the file.
fn client_tls(config: &Config, ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
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

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let wrong = |why: String| Error::CaFile {
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
        settle(&mut config);
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
