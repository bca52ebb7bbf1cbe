//! The client of the vendor's API, with one method for each kind of request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use url::Url;

use super::exchange::Fetched;
use super::href::{self, Hrefs, Target};
use super::identities::Identities;
use super::login::LoginEndpoint;
use super::transport::Transport;
use super::{Failure, Kind, Subject, wire};
use crate::config::Sdp;
use crate::domain::{EncounterId, Link, LinkGroup, SessionId, SessionKind, SessionStatus};
use crate::metrics::Metrics;
use crate::net::ClientError;

const LOGIN_PATH: &str = "/api/v1/auth/login";

/// The vendor's API. Cheap to clone; clones share tokens and limits.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    transport: Transport,
    hrefs: Hrefs,
    identities: Identities,
}

impl Client {
    /// A client for the configured API. Does not connect yet.
    ///
    /// # Errors
    /// When the CA file or a provider id cannot be used.
    pub fn new(
        config: &Sdp,
        allowed_hosts: Vec<String>,
        metrics: Metrics,
    ) -> Result<Self, ClientError> {
        let transport = Transport::new(config, metrics.clone())?;
        let hrefs = Hrefs::new(config.base_url.clone(), allowed_hosts);
        let url = hrefs
            .api(LOGIN_PATH)
            .map_err(|_| ClientError::Address("sdp.base_url"))?;
        let login_endpoint = LoginEndpoint::new(transport.api.clone(), url, metrics);
        Ok(Self(Arc::new(Inner {
            transport,
            hrefs,
            identities: Identities::new(config.all_identities(), login_endpoint)?,
        })))
    }

    /// Fetches a link of this group.
    ///
    /// # Errors
    /// [`Failure`], whose kind says what to do about it.
    pub async fn fetch(
        &self,
        subject: &Subject<'_>,
        (group, href): (&LinkGroup, &str),
    ) -> Result<Fetched, Failure> {
        let endpoint = endpoint(group);
        match self
            .0
            .hrefs
            .resolve(href)
            .map_err(|refused| Failure::not_called(refused.to_string()))?
        {
            Target::Api(url) => self.get(subject, url, endpoint).await,
            Target::Elsewhere(url) => self.0.transport.get_elsewhere(url).await,
        }
    }

    /// The names of the identities whose logins fail, with the time since when. Empty as long as no login was needed.
    pub fn refused(&self) -> BTreeMap<String, Instant> {
        self.0.identities.refused()
    }

    /// Gives priority to calls for notifications: waits while any of them waits for `sdp.max_requests_per_second`,
    /// apart from a tenth of that rate.
    pub async fn give_way(&self) {
        self.0.transport.give_way().await;
    }

    /// A session's kind and status. For an unknown kind, the status endpoint of ambient sessions is called first, then
    /// that of form filling, unless the API as a whole does not answer.
    ///
    /// # Errors
    /// [`Failure`]; of two failures, the one that is more likely to be temporary.
    pub async fn status(
        &self,
        subject: &Subject<'_>,
        kind: SessionKind,
    ) -> Result<(SessionKind, SessionStatus), Failure> {
        let kinds: &[SessionKind] = match kind {
            SessionKind::Ambient => &[SessionKind::Ambient],
            SessionKind::FormFilling => &[SessionKind::FormFilling],
            SessionKind::Unknown => &[SessionKind::Ambient, SessionKind::FormFilling],
        };
        let mut worst: Option<Failure> = None;
        for kind in kinds {
            match self.status_of(subject, *kind).await {
                Ok(status) => return Ok((*kind, status)),
                // An outage says nothing about the session, and the other endpoint would fail as well.
                Err(failure) if failure.is_outage() => return Err(failure),
                // This endpoint knows the session; the other one's answer would be about another session.
                Err(failure)
                    if failure
                        .status
                        .is_some_and(|status| (200..300).contains(&status)) =>
                {
                    return Err(failure);
                }
                // For the wrong kind the API may answer 404, 400, 403, 409 or 412; the vendor does not document which.
                Err(failure) => {
                    let is_better = |worst: &Failure| {
                        chance_of_recovery(failure.kind) > chance_of_recovery(worst.kind)
                    };
                    if worst.as_ref().is_none_or(is_better) {
                        worst = Some(failure);
                    }
                }
            }
        }
        Err(worst.unwrap_or_else(|| Failure::not_called("no status endpoint")))
    }

    async fn status_of(
        &self,
        subject: &Subject<'_>,
        kind: SessionKind,
    ) -> Result<SessionStatus, Failure> {
        let path = href::status_path(kind, subject.session)
            .ok_or_else(|| Failure::not_called("no status endpoint"))?;
        let url = self
            .0
            .hrefs
            .api(&path)
            .map_err(|refused| Failure::not_called(refused.to_string()))?;
        read_status(&self.get(subject, url, "status").await?.body)
    }

    /// Whether the API answers at all, found out by requesting the status of a session that it should know.
    pub async fn answers(&self, subject: &Subject<'_>, kind: SessionKind) -> bool {
        let kind = match kind {
            SessionKind::Unknown => SessionKind::Ambient,
            known => known,
        };
        match self.status_of(subject, kind).await {
            Ok(_) => true,
            Err(failure) => failure.is_of_the_api(),
        }
    }

    /// The standard links of a completed session, for a notification that has no links.
    pub fn standard_links(
        &self,
        kind: SessionKind,
        session: &SessionId,
        encounter: Option<&EncounterId>,
    ) -> Vec<Link> {
        href::standard_links(kind, session, encounter)
    }

    /// The standard link of one group, if sessions of this kind have that group.
    pub fn standard_link(
        &self,
        kind: SessionKind,
        group: &LinkGroup,
        session: &SessionId,
        encounter: Option<&EncounterId>,
    ) -> Option<Link> {
        href::standard_link(kind, group, session, encounter)
    }

    /// Logs in as each identity, for `check --online`. Returns the result for each identity's name; an identity that
    /// needs a provider's name is left out.
    pub async fn check(&self) -> Vec<(String, Option<Result<(), Failure>>)> {
        self.0.identities.check().await
    }

    async fn get(
        &self,
        subject: &Subject<'_>,
        url: Url,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let Inner {
            transport,
            identities,
            ..
        } = &*self.0;
        identities.get(transport, subject, &url, endpoint).await
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sdp::Client")
    }
}

impl std::fmt::Debug for Fetched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetched")
            .field("status", &self.status)
            .field("body", &"[redacted]")
            .finish()
    }
}

/// Reads the session's status from the answer of a status endpoint.
///
/// # Errors
/// When the answer has no status.
fn read_status(body: &[u8]) -> Result<SessionStatus, Failure> {
    status_in(body)
        .ok_or_else(|| Failure::new(Kind::Retry, Some(200), "the status answer names no status"))
}

/// The session's status in the answer of a status endpoint, if there is one.
pub fn status_in(body: &[u8]) -> Option<SessionStatus> {
    wire::read::<wire::Status>(body)?
        .status
        .map(|word| SessionStatus::new(&word))
}

/// How likely a failure of this kind is to be temporary.
fn chance_of_recovery(kind: Kind) -> u8 {
    match kind {
        Kind::Final => 0,
        Kind::Identity => 1,
        Kind::NotFound => 2,
        Kind::Retry => 3,
        Kind::Outage => 4,
    }
}

/// The metric's label: only known groups, so that a sender cannot create labels.
fn endpoint(group: &LinkGroup) -> &'static str {
    LinkGroup::KNOWN
        .into_iter()
        .find(|known| *known == group.as_str())
        .unwrap_or("other")
}
