//! TLS of the public listener: 1.2 and 1.3 by rustls, ALPN h2 and http/1.1, certificates that can be replaced while
//! connections are open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config;

/// The listener's TLS. Cheap to clone; clones share the certificate.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The two files do not belong together, or the key is of a kind that cannot be used.
    #[error("{key_file} is not the private key of {cert_file}: {why}")]
    KeyMismatch {
        /// The certificate.
        cert_file: PathBuf,
        /// The key.
        key_file: PathBuf,
        /// What rustls says.
        why: String,
    },
    /// The certificate is not valid now.
    #[error(
        "{path}: the certificate is valid from {from} to {until}, and it is {now} now; install a current one"
    )]
    NotValidNow {
        /// The file.
        path: PathBuf,
        /// Start of its validity.
        from: Timestamp,
        /// End of its validity.
        until: Timestamp,
        /// The present time.
        now: Timestamp,
    },
    /// rustls refuses the settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ServerTls {
    /// Reads certificate and key and checks that they go together and are valid now.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and what is wrong.
    pub fn load(files: &config::ServerTls) -> Result<Self, TlsError> {
        let current = Arc::new(Current(ArcSwap::new(certified(
            &files.cert_file,
            &files.key_file,
        )?)));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
            cert_file: files.cert_file.clone(),
            key_file: files.key_file.clone(),
        })
    }

    /// Reads the files again. New handshakes get the new certificate; open connections go on. After an error the old
    /// one stays.
    ///
    /// # Errors
    /// As [`ServerTls::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current
            .0
            .store(certified(&self.cert_file, &self.key_file)?);
        Ok(())
    }

    pub(super) async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.acceptor.accept(stream).await
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls")
            .field("cert_file", &self.cert_file)
            .finish_non_exhaustive()
    }
}

fn certified(cert_file: &Path, key_file: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let wrong = |path: &Path, why: String| TlsError::File {
        path: path.to_owned(),
        why,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(cert_file, format!("cannot read a PEM certificate: {error}")))?;
    let leaf = chain
        .first()
        .ok_or_else(|| wrong(cert_file, "holds no PEM certificate".to_owned()))?;
    check_validity(cert_file, leaf)?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| wrong(key_file, format!("cannot read a PEM private key: {error}")))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|error| TlsError::KeyMismatch {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
            why: error.to_string(),
        })
}

fn check_validity(path: &Path, leaf: &CertificateDer<'_>) -> Result<(), TlsError> {
    let wrong = |why: &str| TlsError::File {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|_| wrong("the certificate is not X.509"))?;
    let time = |seconds| {
        Timestamp::from_second(seconds)
            .map_err(|_| wrong("the certificate's dates are out of range"))
    };
    let validity = parsed.validity();
    let (from, until) = (
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    );
    let now = Timestamp::now();
    if from <= now && now <= until {
        return Ok(());
    }
    Err(TlsError::NotValidNow {
        path: path.to_owned(),
        from,
        until,
        now,
    })
}
