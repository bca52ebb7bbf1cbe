//! Errors of setting up TLS with the configured files. No error quotes any part of a key.

use std::path::PathBuf;

use jiff::Timestamp;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        why: String,
    },
    /// The two files do not belong together, or the key is of a kind that cannot be used.
    #[error("{key_file} is not the private key of {cert_file}: {why}")]
    KeyMismatch {
        /// The certificate.
        cert_file: PathBuf,
        /// The key.
        key_file: PathBuf,
        /// rustls's error.
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
