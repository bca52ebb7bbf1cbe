//! TLS to the server: its certificate and name are verified, and nothing is sent without.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use suki_receiver::config;
use suki_receiver::domain::Clock;
use suki_receiver::journal::{PostgresStore, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{Database, eventually, open_with, ready};

/// An authority, its file, and a server's TLS with a certificate of it for `name`.
struct Authority {
    file: PathBuf,
    server: TlsAcceptor,
    _dir: tempfile::TempDir,
}

impl Authority {
    fn certifying(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        Self {
            file,
            server: TlsAcceptor::from(Arc::new(config)),
            _dir: dir,
        }
    }

    /// Ends TLS in front of a database's server, as the server itself would: the client asks first.
    async fn in_front_of(&self, database: &Database) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, target) = (self.server.clone(), database.address());
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (server, target) = (server.clone(), target.clone());
                tokio::spawn(async move {
                    let mut asks = [0; 8];
                    client.read_exact(&mut asks).await.ok()?;
                    // SSLRequest (PostgreSQL manual, 55.7).
                    assert_eq!(
                        asks,
                        [0, 0, 0, 8, 4, 210, 22, 47],
                        "nothing goes without TLS"
                    );
                    client.write_all(b"S").await.ok()?;
                    let mut client = server.accept(client).await.ok()?;
                    let mut behind = TcpStream::connect(target).await.ok()?;
                    copy_bidirectional(&mut client, &mut behind).await.ok()
                });
            }
        });
        address
    }
}

fn trusting(ca_file: Option<PathBuf>, url: &str) -> PostgresStore {
    let settings = config::Store {
        ca_file,
        ..config::Store::default()
    };
    open_with(&settings, url, Clock::start()).unwrap()
}

async fn refuses(store: &PostgresStore, why: &str) {
    eventually(why, || async {
        let error = store.check().await.unwrap_err();
        error.is_outage() && error.to_string().contains(why)
    })
    .await;
}

#[tokio::test]
async fn a_server_certified_by_the_configured_authority_is_used() {
    let (database, authority) = (Database::create().await, Authority::certifying("127.0.0.1"));
    let address = authority.in_front_of(&database).await;
    let url = format!("{}?sslmode=require", database.url_by(address));
    ready(&trusting(Some(authority.file.clone()), &url)).await;
}

#[tokio::test]
async fn a_server_of_another_authority_or_another_name_is_refused() {
    let (database, authority) = (Database::create().await, Authority::certifying("127.0.0.1"));
    let url = format!(
        "{}?sslmode=require",
        database.url_by(authority.in_front_of(&database).await)
    );
    refuses(&trusting(None, &url), "UnknownIssuer").await;
    let other = Authority::certifying("127.0.0.1");
    refuses(
        &trusting(Some(other.file.clone()), &url),
        "invalid peer certificate",
    )
    .await;

    let elsewhere = Authority::certifying("db.example");
    let url = format!(
        "{}?sslmode=require",
        database.url_by(elsewhere.in_front_of(&database).await)
    );
    refuses(
        &trusting(Some(elsewhere.file.clone()), &url),
        "not valid for name",
    )
    .await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    // It answers that it has none, and is then sent nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            client.read_exact(&mut [0; 8]).await.ok();
            client.write_all(b"N").await.ok();
            assert_eq!(client.read(&mut [0; 1]).await.unwrap_or(0), 0);
        }
    });
    let url = format!("postgres://u@{address}/d?sslmode=require");
    refuses(&trusting(None, &url), "server does not support TLS").await;
}
