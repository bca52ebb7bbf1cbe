//! TLS of a listener: TLS 1.2 and 1.3 by rustls, ALPN h2 and http/1.1, certificates that can be replaced while
//! connections are open.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::{self, Certificate};
use super::tls_error::TlsError;
use crate::config;

/// The TLS settings of a listener. Cheap to clone; clones share the certificate.
#[derive(Clone)]
pub struct ServerTls {
    acceptor: TlsAcceptor,
    current: Arc<Current>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

#[derive(Debug)]
struct Current(ArcSwap<Certificate>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

impl ServerTls {
    /// Reads certificate and key and checks that they belong together and are valid now.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and the problem.
    pub fn load(files: &config::ServerTls) -> Result<Self, TlsError> {
        let certificate = certificate::load(&files.cert_file, &files.key_file)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(certificate)));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = [&b"h2"[..], b"http/1.1", b"http/1.0"]
            .map(<[u8]>::to_vec)
            .to_vec();
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            current,
            cert_file: files.cert_file.clone(),
            key_file: files.key_file.clone(),
        })
    }

    /// Reads the files again. New handshakes use the new certificate; open connections stay open. After an error the
    /// old certificate stays.
    ///
    /// # Errors
    /// As [`ServerTls::load`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.current.0.store(Arc::new(certificate::load(
            &self.cert_file,
            &self.key_file,
        )?));
        Ok(())
    }

    /// When the certificate in use expires.
    pub fn not_after(&self) -> Timestamp {
        self.current.0.load().not_after
    }

    /// Why some clients may refuse the chain although it was loaded, such as a leaf without its intermediate.
    pub fn doubt(&self) -> Option<String> {
        let current = self.current.0.load();
        let why = current.doubt.as_ref()?;
        Some(format!("{}: {why}", self.cert_file.display()))
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
