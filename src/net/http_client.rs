//! The outgoing HTTP client: no redirects, no proxies from the environment, deadlines, and bodies capped while reading.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, redirect};

use super::resolver::PublicOnly;

/// Where a client may connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere: the address is the operator's choice.
    Anywhere,
    /// Public addresses only: the address comes from a payload.
    PublicOnly,
}

/// How to build a client.
#[derive(Debug, Clone)]
pub struct ClientOptions<'a> {
    /// Deadline of one call: connect, headers and body.
    pub timeout: Duration,
    /// Further trusted authorities, PEM.
    pub ca_file: Option<&'a Path>,
    /// Where it may connect to.
    pub reach: Reach,
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The CA file cannot be read.
    #[error("ca_file {path}: {why}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A configured value cannot stand in a header.
    #[error("{0} has characters that cannot stand in an HTTP header")]
    Header(&'static str),
    /// reqwest refuses.
    #[error("the HTTP client cannot be set up: {0}")]
    Setup(#[from] reqwest::Error),
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Larger than allowed.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke or was too slow.
    #[error("the answer broke off: {0}")]
    Broken(#[from] reqwest::Error),
}

/// A client that follows no redirect. A redirect is an answer like any other that is no success.
///
/// # Errors
/// When the CA file cannot be used.
pub fn build_client(options: &ClientOptions<'_>) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(options.timeout)
        .connect_timeout(options.timeout.min(Duration::from_secs(10)))
        .tcp_nodelay(true)
        .user_agent(concat!("suki-receiver/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = options.ca_file {
        let wrong = |why: String| ClientError::CaFile {
            path: path.to_owned(),
            why,
        };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
        if certificates.is_empty() {
            return Err(wrong("holds no PEM certificate".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    }
    if options.reach == Reach::PublicOnly {
        builder = builder.dns_resolver(PublicOnly);
    }
    Ok(builder.build()?)
}

/// Reads a body, and stops reading where it grows beyond `limit` bytes.
///
/// # Errors
/// [`BodyError`] when it is too large or breaks off.
pub async fn read_capped(mut response: Response, limit: usize) -> Result<Bytes, BodyError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge(limit));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// How long a peer asks to wait: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default())
}

/// What went wrong with a call, in a word, without the address: it may hold a session's id or a token.
pub fn describe(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "connection broke"
    }
}
