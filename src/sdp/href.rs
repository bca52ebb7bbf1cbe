//! Decides whether a link may be followed, and whether the token may be sent with the request. Pure.
//!
//! A link is untrusted input. The token is sent only to the API's own origin; an allowed host gets no token; every
//! other link is refused.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::domain::{EncounterId, Link, LinkGroup, SessionId, SessionKind};
use crate::net::is_public;

/// The characters that are not percent-encoded in a path segment (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The rules for links.
#[derive(Debug, Clone)]
pub struct Hrefs {
    base: Url,
    /// The base URL with a slash at its end, so that a relative link is joined below its whole path.
    folder: Url,
    allowed_hosts: Vec<String>,
}

/// The target of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The API itself: the request carries the token.
    Api(Url),
    /// Another allowed host: without the token, and only on public addresses.
    Elsewhere(Url),
}

/// Why a link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not a valid URL.
    NotAnAddress,
    /// Its scheme is neither https nor the API's own.
    Scheme,
    /// It carries a user name or password.
    Credentials,
    /// Its host is neither the API's nor in `follow.allowed_hosts`.
    Host,
    /// It leads to a private address.
    PrivateAddress,
    /// A segment of its path is `.` or `..`, so it would lead to another path than the one written.
    DotSegment,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAnAddress => "not followed: the link is not an address",
            Self::Scheme => "not followed: the link is not https",
            Self::Credentials => "not followed: the link carries credentials",
            Self::Host => {
                "not followed: the host is neither sdp.base_url's nor in follow.allowed_hosts"
            }
            Self::PrivateAddress => "not followed: the link leads to a private address",
            Self::DotSegment => {
                "not followed: a segment of the path is . or .., so it would lead to another path"
            }
        })
    }
}

impl Hrefs {
    /// The rules for an API at `base`, and for further hosts, which never get the token.
    pub fn new(base: Url, allowed_hosts: Vec<String>) -> Self {
        let mut folder = base.clone();
        folder.set_path(&format!("{}/", base.path().trim_end_matches('/')));
        Self {
            base,
            folder,
            allowed_hosts,
        }
    }

    /// The target of `href`. A relative link is joined to the API's base URL.
    ///
    /// # Errors
    /// [`Refused`] when it must not be followed.
    pub fn resolve(&self, href: &str) -> Result<Target, Refused> {
        let href = href.trim();
        if has_dot_segment(href) {
            return Err(Refused::DotSegment);
        }
        let url = self.to_https(self.join(href)?);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        if self.is_own_origin(&url) {
            return Ok(Target::Api(url));
        }
        let host = url.host_str().ok_or(Refused::NotAnAddress)?;
        if !self
            .allowed_hosts
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(host))
        {
            return Err(Refused::Host);
        }
        if url.scheme() != "https" {
            return Err(Refused::Scheme);
        }
        // A host name is checked when it is resolved; a literal address must be checked here.
        let is_private = match url.host() {
            Some(Host::Ipv4(address)) => !is_public(address.into()),
            Some(Host::Ipv6(address)) => !is_public(address.into()),
            Some(Host::Domain(_)) | None => false,
        };
        if is_private {
            Err(Refused::PrivateAddress)
        } else {
            Ok(Target::Elsewhere(url))
        }
    }

    /// A URL of the API with exactly this path below the base URL.
    pub(super) fn api(&self, path: &str) -> Result<Url, Refused> {
        let built = format!(
            "{}/{}",
            self.base.path().trim_end_matches('/'),
            path.trim_start_matches('/')
        );
        let mut url = self.base.clone();
        url.set_path(&built);
        if url.path() == built && !has_dot_segment(&built) {
            Ok(url)
        } else {
            Err(Refused::DotSegment)
        }
    }

    /// Changes an http link to the API's own host to https if the API uses https, so that the token is never sent
    /// unencrypted.
    fn to_https(&self, url: Url) -> Url {
        let is_own_host = url.host() == self.base.host();
        let is_own_port = url.port().is_none() || url.port() == self.base.port_or_known_default();
        if self.base.scheme() != "https" || url.scheme() != "http" || !is_own_host || !is_own_port {
            return url;
        }
        let mut secure = url.clone();
        let is_changed =
            secure.set_scheme("https").is_ok() && secure.set_port(self.base.port()).is_ok();
        if is_changed { secure } else { url }
    }

    fn join(&self, href: &str) -> Result<Url, Refused> {
        // A path, with or without a leading slash, is relative to the base URL; `//host` and `scheme:` are absolute.
        let is_absolute =
            href.starts_with("//") || href.starts_with('\\') || Url::parse(href).is_ok();
        if is_absolute {
            return self.base.join(href).map_err(|_| Refused::NotAnAddress);
        }
        // The dot keeps a colon in the first segment from being read as the end of a scheme.
        let below = format!("./{}", href.trim_start_matches('/'));
        self.folder.join(&below).map_err(|_| Refused::NotAnAddress)
    }

    /// Whether the URL has the scheme, host and port of the API.
    fn is_own_origin(&self, url: &Url) -> bool {
        url.scheme() == self.base.scheme()
            && url.host() == self.base.host()
            && url.port_or_known_default() == self.base.port_or_known_default()
    }
}

/// The path of a session's status endpoint; `None` for an unknown kind.
pub(super) fn status_path(kind: SessionKind, session: &SessionId) -> Option<String> {
    Some(format!(
        "/api/v1/{}/session/{}/status",
        product(kind)?,
        encode(session.as_str())
    ))
}

/// The vendor's standard link of one group, if sessions of this kind have that group.
pub(super) fn standard_link(
    kind: SessionKind,
    group: &LinkGroup,
    session: &SessionId,
    encounter: Option<&EncounterId>,
) -> Option<Link> {
    if group.as_str() == "status" {
        let kind = match kind {
            SessionKind::Unknown => SessionKind::Ambient,
            known => known,
        };
        return status_path(kind, session).map(|href| Link {
            group: group.clone(),
            href,
            is_get: true,
        });
    }
    standard_links(kind, session, encounter)
        .into_iter()
        .find(|link| link.group == *group)
}

/// The standard links of a completed session, for a notification that has no links.
pub(super) fn standard_links(
    kind: SessionKind,
    session: &SessionId,
    encounter: Option<&EncounterId>,
) -> Vec<Link> {
    let session = encode(session.as_str());
    let link = |group: &str, href: String| Link {
        group: LinkGroup::new(group),
        href,
        is_get: true,
    };
    match kind {
        SessionKind::FormFilling => {
            vec![link(
                "structured_data",
                format!("/api/v1/form-filling/session/{session}/structured-data"),
            )]
        }
        SessionKind::Ambient | SessionKind::Unknown => {
            let of_session = |path: &str| format!("/api/v1/ambient/session/{session}/{path}");
            let mut links = vec![
                link("contents", of_session("content")),
                link("structured_data", of_session("structured-data")),
                link("transcripts", of_session("transcript")),
            ];
            if let Some(encounter) = encounter {
                let of_encounter = |path: &str| {
                    format!(
                        "/api/v1/ambient/encounter/{}/{path}",
                        encode(encounter.as_str())
                    )
                };
                links.push(link("encounter_content", of_encounter("content")));
                links.push(link(
                    "encounter_structured_data",
                    of_encounter("structured-data"),
                ));
            }
            links
        }
    }
}

fn product(kind: SessionKind) -> Option<&'static str> {
    match kind {
        SessionKind::Ambient => Some("ambient"),
        SessionKind::FormFilling => Some("form-filling"),
        SessionKind::Unknown => None,
    }
}

/// Percent-encodes a segment. `.` and `..` cannot be encoded so that a URL keeps them; [`has_dot_segment`] refuses paths with
/// them.
fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// Whether a segment of the link's path is `.` or `..`, in any spelling that a URL parser accepts.
fn has_dot_segment(href: &str) -> bool {
    let path = href.split(['?', '#']).next().unwrap_or_default();
    path.split(['/', '\\']).any(is_dot_segment)
}

fn is_dot_segment(segment: &str) -> bool {
    // A URL parser skips these wherever they are.
    let mut bytes = segment
        .bytes()
        .filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r'));
    let mut dots = 0;
    while let Some(byte) = bytes.next() {
        let is_dot = match byte {
            b'.' => true,
            b'%' => bytes.next() == Some(b'2') && matches!(bytes.next(), Some(b'e' | b'E')),
            _ => false,
        };
        if !is_dot {
            return false;
        }
        dots += 1;
    }
    matches!(dots, 1 | 2)
}

#[cfg(test)]
mod tests;
