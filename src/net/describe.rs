//! Describes the failure of an outgoing call in words that tell an operator what to check.
//!
//! A description names the host and never the path, which may contain a session's id or a token.

use std::error::Error;
use std::io;

use rustls::{CertificateError, Error as TlsError, InvalidMessage};

use super::resolver::NOT_PUBLIC;

/// The kind of failure of a call that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The answer did not come in time.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// The host could not be reached, or closed the connection.
    Unreachable,
}

/// The kind of failure of a call that got no answer.
pub fn no_answer(error: &reqwest::Error) -> NoAnswer {
    let is = |kind: fn(&(dyn Error + 'static)) -> bool| causes(error).any(kind);
    if is(|cause| cause.is::<TlsError>()) {
        NoAnswer::Tls
    } else if error.is_timeout()
        || is(|cause| {
            let error = cause.downcast_ref::<io::Error>();
            error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        })
    {
        NoAnswer::Timeout
    } else {
        NoAnswer::Unreachable
    }
}

/// Describes why a call got no answer, and names the host.
pub fn describe(error: &reqwest::Error) -> String {
    let what = explain(error);
    match error.url().and_then(host) {
        Some(host) => format!("{what} ({host})"),
        None => what.to_owned(),
    }
}

fn host(url: &reqwest::Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn explain(error: &reqwest::Error) -> &'static str {
    let causes: Vec<&(dyn Error + 'static)> = causes(error).collect();
    // The deepest cause is the most precise one. But a failure on the way to a proxy comes first: it is not the host's.
    let tunnel = causes.iter().find_map(|cause| of_tunnel(*cause));
    let found = tunnel.or_else(|| causes.iter().rev().find_map(|cause| of_cause(*cause)));
    if let Some(found) = found {
        return found;
    }
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    }
}

fn of_cause(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    if let Some(error) = cause.downcast_ref::<TlsError>() {
        return Some(of_tls(error));
    }
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return of_io(error);
    }
    if cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(hyper::Error::is_parse)
    {
        return Some("the answer is not HTTP; is it a TLS port?");
    }
    by_words(
        cause,
        &[
            (NOT_PUBLIC, NOT_PUBLIC),
            ("dns error", "no such host (DNS)"),
        ],
    )
}

fn of_tunnel(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    by_words(
        cause,
        &[
            (
                "tunnel error: proxy authorization required",
                "the proxy asks for credentials, or for others (407)",
            ),
            (
                "tunnel error: failed to create",
                "the proxy cannot be reached",
            ),
            ("tunnel error", "the proxy refused the connection"),
        ],
    )
}

/// Recognises errors whose types are not public by the beginning of their messages.
fn by_words(cause: &(dyn Error + 'static), known: &[(&str, &'static str)]) -> Option<&'static str> {
    let text = cause.to_string();
    let found = known.iter().find(|(words, _)| text.starts_with(words));
    found.map(|(_, what)| *what)
}

fn of_tls(error: &TlsError) -> &'static str {
    match error {
        TlsError::InvalidCertificate(certificate) => of_certificate(certificate),
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the port does not speak TLS; is it a plain HTTP port?"
        }
        TlsError::AlertReceived(_) => "the other side refused the TLS handshake",
        TlsError::PeerIncompatible(_) => "the TLS versions or ciphers do not fit together",
        _ => "the TLS handshake failed",
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::UnknownIssuer => {
            "the certificate is of an unknown authority; name it in ca_file, or complete the chain at the server"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name than the host's"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet; is the clock right?"
        }
        CertificateError::Revoked => "the certificate is revoked",
        _ => "the certificate cannot be verified",
    }
}

fn of_io(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "no route to the host"
        }
        io::ErrorKind::TimedOut => "timeout",
        io::ErrorKind::UnexpectedEof if error.to_string().contains("handshake") => {
            "the other side closed the connection during the TLS handshake"
        }
        _ => return None,
    })
}

/// An error and all that caused it.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause_of(*cause))
}

/// The cause of an error. For an I/O error this is the error that it wraps, which `source` skips.
fn cause_of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
