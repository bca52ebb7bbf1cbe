//! HTTPS ends here: versions, ALPN, a certificate that is replaced, files that are wrong.

use std::path::Path;
use std::sync::Arc;

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use reqwest::Certificate;
use rustls::{ClientConfig, RootCertStore};
use suki_receiver::app::App;
use suki_receiver::config::ServerTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Binary, Receiver, Signed, failure, receiver_config, send, until};

/// A generated authority.
pub(super) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes a certificate for localhost that ends in `until`, and its key.
    pub(super) fn issue(&self, dir: &Path, until: i32) -> ServerTls {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let files = ServerTls {
            cert_file: dir.join("cert.pem"),
            key_file: dir.join("key.pem"),
        };
        std::fs::write(&files.cert_file, certificate.pem()).unwrap();
        std::fs::write(&files.key_file, key.serialize_pem()).unwrap();
        files
    }

    /// The settings of a client that trusts it, for TLS without HTTP.
    pub(super) fn rustls_config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    fn client(&self) -> reqwest::ClientBuilder {
        let ca = Certificate::from_pem(self.0.pem().as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([ca])
    }
}

#[tokio::test]
async fn https_speaks_tls_1_2_and_1_3_with_http_1_and_2() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), 2100);
    let receiver = Receiver::start_with(|config| config.server.tls = Some(files)).await;
    let url = format!(
        "https://localhost:{}/webhooks/notification",
        receiver.public.port()
    );
    for (n, version) in [
        reqwest::tls::Version::TLS_1_2,
        reqwest::tls::Version::TLS_1_3,
    ]
    .into_iter()
    .enumerate()
    {
        let client = ca
            .client()
            .tls_version_min(version)
            .tls_version_max(version)
            .build()
            .unwrap();
        let signed = Signed::new(failure(&format!("tls{n}")));
        assert_eq!(send(signed.request(&client, &url)).await.unwrap().0, 200);
        let answer = client.get(&url).send().await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2, "ALPN offers h2");
        let client = ca.client().http1_only().build().unwrap();
        assert_eq!(
            client.get(&url).send().await.unwrap().version(),
            reqwest::Version::HTTP_11
        );
    }
}

#[tokio::test]
async fn a_wrong_key_an_expired_certificate_and_a_missing_file_are_clear_errors_at_start() {
    let (ca, dir, other) = (
        Ca::new(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let files = ca.issue(dir.path(), 2100);
    let mixed = ServerTls {
        key_file: ca.issue(other.path(), 2100).key_file,
        ..files
    };
    assert!(
        start_error(mixed)
            .await
            .contains("is not the private key of")
    );
    let expired = ca.issue(dir.path(), 2021);
    let error = start_error(expired.clone()).await;
    assert!(
        error.contains("cert.pem") && error.contains("valid from"),
        "{error}"
    );
    let missing = ServerTls {
        cert_file: dir.path().join("nowhere.pem"),
        ..expired.clone()
    };
    assert!(start_error(missing).await.contains("nowhere.pem"));
    std::fs::write(&expired.cert_file, "no certificate").unwrap();
    assert!(
        start_error(expired)
            .await
            .contains("holds no PEM certificate")
    );
}

async fn start_error(files: ServerTls) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut config = receiver_config(dir.path());
    config.server.tls = Some(files);
    format!(
        "{:#}",
        App::build(config)
            .await
            .expect_err("it starts all the same")
    )
}

#[tokio::test]
async fn a_certificate_replaced_on_disk_is_taken_up_on_sighup_without_a_dropped_connection() {
    let (old, new, dir) = (Ca::new(), Ca::new(), tempfile::tempdir().unwrap());
    let files = old.issue(dir.path(), 2100);
    let binary = Binary::start_tls(
        dir.path(),
        &[
            (
                "SERVER__TLS__CERT_FILE",
                files.cert_file.display().to_string(),
            ),
            (
                "SERVER__TLS__KEY_FILE",
                files.key_file.display().to_string(),
            ),
        ],
        old.client().build().unwrap(),
    )
    .await;
    let url = format!(
        "https://localhost:{}/webhooks/notification",
        binary.public.port()
    );
    // One connection, kept alive: it is opened under the old certificate and must outlive the change.
    let kept = old
        .client()
        .http1_only()
        .pool_max_idle_per_host(1)
        .build()
        .unwrap();
    assert_eq!(
        Signed::new(failure("before"))
            .try_post(&kept, &url)
            .await
            .unwrap()
            .0,
        200
    );
    new.issue(dir.path(), 2100);
    binary.signal(Signal::SIGHUP);
    until("it reloads", || binary.log().contains("reloaded")).await;
    assert_eq!(
        Signed::new(failure("kept"))
            .try_post(&kept, &url)
            .await
            .unwrap()
            .0,
        200
    );
    let fresh = new.client().build().unwrap();
    assert_eq!(
        Signed::new(failure("after"))
            .try_post(&fresh, &url)
            .await
            .unwrap()
            .0,
        200
    );
    assert!(
        Signed::new(failure("old"))
            .try_post(&old.client().build().unwrap(), &url)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_successor_goes_on_with_https_on_the_same_socket() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), 2100);
    let settings = [
        (
            "SERVER__TLS__CERT_FILE",
            files.cert_file.display().to_string(),
        ),
        (
            "SERVER__TLS__KEY_FILE",
            files.key_file.display().to_string(),
        ),
    ];
    let client = || ca.client().build().unwrap();
    let first = Binary::start_tls(dir.path(), &settings, client()).await;
    let url = format!(
        "https://localhost:{}/webhooks/notification",
        first.public.port()
    );
    let next = first.spawn_successor(&settings);
    until("it follows", || {
        first
            .log()
            .contains("a successor has the listening sockets")
    })
    .await;
    let post = async |name: &str| {
        let signed = Signed::new(failure(name));
        signed.try_post(&client(), &url).await.unwrap().0
    };
    assert_eq!(post("beside").await, 200);
    first.signal(Signal::SIGTERM);
    assert_eq!(post("while the first ends").await, 200);
    assert!(first.ended().await.success());
    assert_eq!(post("alone").await, 200);
    next.signal(Signal::SIGTERM);
    assert!(next.ended().await.success());
}

#[tokio::test]
async fn a_client_that_offers_http_1_0_alone_is_answered() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), 2100);
    let receiver = Receiver::start_with(|config| config.server.tls = Some(files)).await;
    let mut config = ca.rustls_config();
    config.alpn_protocols = vec![b"http/1.0".to_vec()];
    let socket = TcpStream::connect(receiver.public).await.unwrap();
    let connecting = TlsConnector::from(Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let mut stream = connecting.connect(name, socket).await.unwrap();
    let request = b"GET /livez HTTP/1.0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.0 200");
}
