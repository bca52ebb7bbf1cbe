//! The outgoing HTTP client: it follows no redirect, uses a proxy only if one is configured, has deadlines, and caps
//! bodies while it reads them.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, redirect};

use super::certificate;
use super::coding::{CodingError, decode};
use super::no_proxy::NoProxy;
use super::resolver::PublicOnly;
use crate::config::{Proxy, Via};
use crate::domain::json;

/// The first bytes of gzip (RFC 1952) and of zlib with its four levels (RFC 1950), by which a body is recognised as
/// compressed although no header says so. No JSON begins with them.
const UNSAID: [(&[u8], &str); 5] = [
    (b"\x1F\x8B", "gzip"),
    (b"\x78\x01", "deflate"),
    (b"\x78\x5E", "deflate"),
    (b"\x78\x9C", "deflate"),
    (b"\x78\xDA", "deflate"),
];

/// The addresses to which a client may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// All addresses: the operator configured the address.
    Anywhere,
    /// Only public addresses: the address comes from a payload.
    PublicOnly,
}

/// The options for building a client.
#[derive(Debug, Clone)]
pub struct ClientOptions<'a> {
    /// The deadline of one call: connect, headers and body.
    pub timeout: Duration,
    /// A PEM file with further trusted certificate authorities.
    pub ca_file: Option<&'a Path>,
    /// The addresses to which the client may connect.
    pub reach: Reach,
    /// The proxy for https addresses. It is not used when only public addresses may be reached, because the proxy would
    /// resolve the names, past the check of addresses.
    pub proxy: &'a Proxy,
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The CA file cannot be read.
    #[error("ca_file {path}: {why}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file.
        why: String,
    },
    /// A configured value cannot be used in a header.
    #[error("{0} has characters that cannot stand in an HTTP header")]
    Header(String),
    /// A configured address cannot be used as a base for further paths.
    #[error("{0} cannot be used as the beginning of an address")]
    Address(&'static str),
    /// reqwest refuses the settings.
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
    #[error("the answer broke off")]
    Broken(#[from] reqwest::Error),
    /// The content coding cannot be decoded.
    #[error(transparent)]
    Coding(#[from] CodingError),
}

/// Builds a client that follows no redirect. A redirect is treated like any other answer without success.
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
        let certificates = certificate::certificates(path)
            .map_err(wrong)?
            .iter()
            .map(|der| Certificate::from_der(der))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        builder = builder.tls_certs_merge(certificates);
    }
    match (options.reach, options.proxy) {
        (Reach::PublicOnly, _) => builder = builder.dns_resolver(PublicOnly),
        (Reach::Anywhere, Proxy::None) => {}
        (Reach::Anywhere, Proxy::Via(via)) => builder = builder.proxy(proxy(via)),
    }
    Ok(builder.build()?)
}

/// The proxy for https only. The client uses CONNECT, so the proxy sees host names and no content.
fn proxy(via: &Via) -> reqwest::Proxy {
    let (url, no_proxy) = (via.url.clone(), NoProxy::read(&via.no_proxy));
    let mut proxy = reqwest::Proxy::custom(move |target| {
        let is_proxied = target.scheme() == "https" && !no_proxy.names(target);
        is_proxied.then(|| url.clone())
    });
    if let Some(credentials) = &via.credentials {
        let (user, password) = credentials
            .expose()
            .split_once(':')
            .unwrap_or((credentials.expose(), ""));
        proxy = proxy.basic_auth(user, password);
    }
    proxy
}

/// Reads a body, and fails as soon as it exceeds `limit` bytes.
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

/// Reads and decodes a body, and fails as soon as it exceeds `limit` bytes in either form.
///
/// # Errors
/// [`BodyError`] when it is too large, breaks off or cannot be decoded.
pub async fn read_decoded(response: Response, limit: usize) -> Result<Bytes, BodyError> {
    let codings: Vec<&str> = response
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .map(|value| value.to_str().unwrap_or("unreadable"))
        .collect();
    let mut codings = codings.join(",");
    let body = read_capped(response, limit).await?;
    // Some senders compress without a `Content-Encoding`.
    let unsaid = || UNSAID.iter().find(|(begin, _)| body.starts_with(begin));
    if codings.is_empty()
        && let Some((_, coding)) = unsaid()
    {
        codings.push_str(coding);
    }
    if codings.is_empty() || body.is_empty() {
        return Ok(body);
    }
    let plain = is_plain(&body).then(|| body.clone());
    // A small body may decode to a large one, which would block the runtime for long.
    let decoded = tokio::task::spawn_blocking(move || decode(body, &codings, limit))
        .await
        .unwrap_or(Err(CodingError::Broken));
    match (decoded, plain) {
        // Some gateways decode the body and leave the header, and some servers name a charset in it.
        (Err(CodingError::Broken | CodingError::Unknown), Some(plain)) => Ok(plain),
        (decoded, _) => decoded.map_err(BodyError::Coding),
    }
}

/// Whether a body looks like the text of an object or a list.
fn is_plain(body: &[u8]) -> bool {
    let body = json::without_bom(body).trim_ascii();
    let ends = (body.first(), body.last());
    matches!(ends, (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
}

/// The wait that a peer asks for: `Retry-After` in seconds, or as a date in any of the three forms of RFC 9110 (5.6.7).
/// A date in the past means no wait.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if value.bytes().all(|byte| byte.is_ascii_digit()) && !value.is_empty() {
        // A number that does not fit means a very long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn asked(value: &str) -> Option<Duration> {
        let value = HeaderValue::from_str(value).expect("a header");
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
    }

    #[test]
    fn seconds_and_the_three_forms_of_a_date_are_read() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked(" 0 "), Some(Duration::ZERO));
        assert_eq!(
            asked("99999999999999999999999"),
            Some(Duration::from_secs(u64::MAX))
        );
        let long = Duration::from_secs(10 * 365 * 24 * 3600);
        for date in [
            "Sat, 06 Nov 2094 08:49:37 GMT",
            "Saturday, 06-Nov-60 08:49:37 GMT",
            "Sat Nov  6 08:49:37 2094",
        ] {
            let wait = asked(date).unwrap_or_else(|| panic!("{date} is not read"));
            assert!(wait > long, "{date}: {wait:?}");
        }
        for past in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(asked(past), Some(Duration::ZERO), "{past}");
        }
        for none in ["", "soon", "-1", "1.5", "06 Nov 1994"] {
            assert_eq!(asked(none), None, "{none}");
        }
    }
}
