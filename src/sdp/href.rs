//! May this link be followed, and with the token? Pure.
//!
//! A link is the sender's word. The token goes to the API's own origin; a host that is allowed gets none; all else is
//! refused.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

use crate::domain::{EncounterId, Link, LinkGroup, SessionId, SessionKind};
use crate::net::is_public;

/// What stays as it is in a path segment (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The rule for links.
#[derive(Debug, Clone)]
pub struct Hrefs {
    base: Url,
    allowed_hosts: Vec<String>,
}

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To the API itself: with the token.
    Api(Url),
    /// To another host that is allowed: without it, and to public addresses only.
    Elsewhere(Url),
}

/// Why a link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It cannot be read as an address.
    NotAnAddress,
    /// Neither https nor the API's own scheme.
    Scheme,
    /// It carries a user name or password.
    Credentials,
    /// Its host is neither the API's nor in `follow.allowed_hosts`.
    Host,
    /// It leads to a private address.
    PrivateAddress,
    /// A segment of its path is `.` or `..`, so it would lead to another path than the one that is written.
    Climbs,
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
            Self::Climbs => {
                "not followed: a segment of the path is . or .., so it would lead to another path"
            }
        })
    }
}

impl Hrefs {
    /// The rule for an API at `base` and further hosts, which never get the token.
    pub fn new(base: Url, allowed_hosts: Vec<String>) -> Self {
        Self {
            base,
            allowed_hosts,
        }
    }

    /// Where `href` leads. A relative one is joined to the API's base address.
    ///
    /// # Errors
    /// [`Refused`] where it must not be followed.
    pub fn resolve(&self, href: &str) -> Result<Target, Refused> {
        let href = href.trim();
        if climbs(href) {
            return Err(Refused::Climbs);
        }
        let url = self.to_https(self.join(href)?);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        if url.origin() == self.base.origin() {
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
        // A name is checked where it is resolved; a literal address has no such moment.
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

    /// An address of the API, whose path is exactly the one that is built.
    pub(super) fn api(&self, path: &str) -> Result<Url, Refused> {
        let built = format!(
            "{}/{}",
            self.base.path().trim_end_matches('/'),
            path.trim_start_matches('/')
        );
        let mut url = self.base.clone();
        url.set_path(&built);
        if url.path() == built && !climbs(&built) {
            Ok(url)
        } else {
            Err(Refused::Climbs)
        }
    }

    /// A link to the API's own host by http is taken by https where the API is: the token never travels in the clear.
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
        // A path, with or without its leading slash, goes below the base; `//host` and `scheme:` are absolute.
        let is_absolute =
            href.starts_with("//") || href.starts_with('\\') || Url::parse(href).is_ok();
        if is_absolute {
            return self.base.join(href).map_err(|_| Refused::NotAnAddress);
        }
        let base = self.base.as_str().trim_end_matches('/');
        let joined = format!("{base}/{}", href.trim_start_matches('/'));
        Url::parse(&joined).map_err(|_| Refused::NotAnAddress)
    }
}

/// The status endpoint of a session; none for a kind that is not known.
pub(super) fn status_path(kind: SessionKind, session: &SessionId) -> Option<String> {
    Some(format!(
        "/api/v1/{}/session/{}/status",
        product(kind)?,
        encode(session.as_str())
    ))
}

/// The vendor's standard link of one group, if sessions of this kind have it.
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

/// The links that a completed session has when its notification names none.
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

/// A segment of `.` or `..` has no form that an address keeps; [`climbs`] refuses what is built with it.
fn encode(segment: &str) -> String {
    utf8_percent_encode(segment, SEGMENT).to_string()
}

/// Whether a segment of a link's path is `.` or `..`, in any of the spellings that an address takes for it.
fn climbs(href: &str) -> bool {
    let path = href.split(['?', '#']).next().unwrap_or_default();
    path.split(['/', '\\']).any(|segment| {
        let dots: String = segment
            .chars()
            .filter(|c| !matches!(c, '\t' | '\n' | '\r'))
            .collect::<String>()
            .to_ascii_lowercase()
            .replace("%2e", ".");
        matches!(dots.as_str(), "." | "..")
    })
}

#[cfg(test)]
mod tests;
