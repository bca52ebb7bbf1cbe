//! Reads the certificate and key of a listener from PEM files, with a specific error for each common mistake in them.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;

use super::tls_error::TlsError;

/// The certificate that a listener presents to its clients.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The certificate chain and its private key.
    pub(super) key: Arc<CertifiedKey>,
    /// The end of the leaf's validity.
    pub(super) not_after: Timestamp,
    /// Why some clients may refuse the chain although it could be loaded.
    pub(super) doubt: Option<String>,
}

/// Reads both files and checks that they belong together and are valid now.
pub(super) fn load(cert_file: &Path, key_file: &Path) -> Result<Certificate, TlsError> {
    let chain = chain(cert_file)?;
    let wrong = |why: &str| TlsError::File {
        path: cert_file.to_owned(),
        why: why.to_owned(),
    };
    let parsed: Vec<X509Certificate<'_>> = chain
        .iter()
        .map(|certificate| x509_parser::parse_x509_certificate(certificate))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| wrong("a certificate in it is not X.509"))?
        .into_iter()
        .map(|(_, certificate)| certificate)
        .collect();
    let leaf = parsed
        .first()
        .ok_or_else(|| wrong("holds no PEM certificate"))?;
    let not_after = check_validity(cert_file, leaf)?;
    let doubt = doubt(&parsed);
    let key = key(key_file)?;
    let provider = aws_lc_rs::default_provider();
    provider
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|_| TlsError::File {
            path: key_file.to_owned(),
            why: "the private key is damaged or of a kind that cannot be used; use RSA of 2048 bits or more, ECDSA on P-256, P-384 or P-521, \
                  or Ed25519"
                .to_owned(),
        })?;
    let key = CertifiedKey::from_der(chain.clone(), key, &provider).map_err(|error| {
        let why = match (&error, chain.len()) {
            (rustls::Error::InconsistentKeys(_), 1) => "they belong to different pairs".to_owned(),
            (rustls::Error::InconsistentKeys(_), _) => {
                "it does not belong to the first certificate in the file, which must be the leaf"
                    .to_owned()
            }
            _ => error.to_string(),
        };
        TlsError::KeyMismatch {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
            why,
        }
    })?;
    Ok(Certificate {
        key: Arc::new(key),
        not_after,
        doubt,
    })
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(path).map_err(|why| TlsError::File {
        path: path.to_owned(),
        why,
    })
}

/// All certificates in a PEM file, at least one, or the reason why there is none.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("cannot read a PEM certificate: {}", in_words(&error)))?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    Err(if has(&pem, "PRIVATE KEY-----") {
        "holds a private key and no certificate; are certificate and key swapped?".to_owned()
    } else if is_pkcs12(&pem) {
        "is PKCS#12 and not PEM; convert it: openssl pkcs12 -in FILE -nodes -out FILE.pem"
            .to_owned()
    } else if pem.first() == Some(&0x30) {
        "is DER and not PEM; convert it: openssl x509 -inform der -in FILE -out FILE.pem".to_owned()
    } else {
        "holds no PEM certificate".to_owned()
    })
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wrong = |why: String| TlsError::File {
        path: path.to_owned(),
        why,
    };
    let pem = read(path).map_err(wrong)?;
    if has(&pem, "ENCRYPTED PRIVATE KEY-----") || has(&pem, "Proc-Type: 4,ENCRYPTED") {
        return Err(wrong(
            "the private key is encrypted, and nobody is there to give its passphrase; decrypt it: openssl pkey -in FILE -out FILE.key, \
             readable by the service alone"
                .to_owned(),
        ));
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        wrong(if has(&pem, "BEGIN CERTIFICATE-----") {
            "holds a certificate and no private key; are cert_file and key_file swapped?".to_owned()
        } else if is_pkcs12(&pem) {
            "is PKCS#12 and not PEM; convert it: openssl pkcs12 -in FILE -nocerts -nodes -out FILE.key".to_owned()
        } else if has(&pem, "PUBLIC KEY-----") {
            "holds a public key and no private one".to_owned()
        } else if pem.first() == Some(&0x30) {
            "is DER and not PEM; convert it: openssl pkey -inform der -in FILE -out FILE.key"
                .to_owned()
        } else {
            format!("cannot read a PEM private key: {}", in_words(&error))
        })
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(
            "starts with a byte order mark (BOM), which an editor has put there; save it as UTF-8 without one".to_owned(),
        );
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("is UTF-16, with a byte order mark (BOM); save it as plain ASCII".to_owned());
    }
    Ok(bytes)
}

fn in_words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "the file is cut off: a BEGIN line has no END line".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed".to_owned(),
        pem::Error::NoItemsFound => "there is none".to_owned(),
        other => other.to_string(),
    }
}

/// Whether the bytes are PKCS#12: a DER sequence that begins with the version 3, as no certificate and no key does.
fn is_pkcs12(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x30)
        && bytes
            .get(1..8)
            .is_some_and(|head| has(head, "\x02\x01\x03"))
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// The end of the validity, if it is valid now.
fn check_validity(path: &Path, leaf: &X509Certificate<'_>) -> Result<Timestamp, TlsError> {
    let time = |seconds| {
        Timestamp::from_second(seconds).map_err(|_| TlsError::File {
            path: path.to_owned(),
            why: "the certificate's dates are out of range".to_owned(),
        })
    };
    let validity = leaf.validity();
    let (from, until) = (
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    );
    let now = Timestamp::now();
    if from <= now && now <= until {
        return Ok(until);
    }
    Err(TlsError::NotValidNow {
        path: path.to_owned(),
        from,
        until,
        now,
    })
}

/// The reason why clients may refuse the chain, if there is one: a certificate is not followed by its issuer, or a
/// single leaf was not issued by an authority that this system knows. Browsers fetch missing certificates; most other
/// clients do not.
fn doubt(chain: &[X509Certificate<'_>]) -> Option<String> {
    for pair in chain.windows(2) {
        if pair[0].issuer() != pair[1].subject() {
            return Some(format!(
                "the certificate of {} is not followed by its issuer, {}: the leaf comes first, then who has issued it, and so on",
                pair[0].subject(),
                pair[0].issuer()
            ));
        }
    }
    // The root need not follow an intermediate: a client that trusts the root already has it.
    let [leaf] = chain else { return None };
    if leaf.issuer() == leaf.subject() {
        return None;
    }
    let is_known = rustls_native_certs::load_native_certs()
        .certs
        .iter()
        .any(|root| {
            x509_parser::parse_x509_certificate(root)
                .is_ok_and(|(_, root)| root.subject() == leaf.issuer())
        });
    (!is_known).then(|| {
        format!(
            "the file holds the leaf without its intermediate: its issuer, {}, is neither in the file nor an authority of this \
             system, so clients may refuse it; put the issuer's certificate behind it",
            leaf.issuer()
        )
    })
}
