//! One method per thing that is asked of the vendor's API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use url::Url;

use super::exchange::Fetched;
use super::href::{self, Hrefs, Target};
use super::identities::Identities;
use super::login::Entrance;
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
    /// A client for the API as configured. Connects to nothing yet.
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
        let entrance = Entrance::new(transport.api.clone(), url, metrics);
        Ok(Self(Arc::new(Inner {
            transport,
            hrefs,
            identities: Identities::new(config.all_identities(), entrance)?,
        })))
    }

    /// Fetches what a link of this group leads to.
    ///
    /// # Errors
    /// [`Failure`], with what to do about it.
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

    /// Which identities are not let in, by their names, and since when. Empty as well where no login was needed yet.
    pub fn refused(&self) -> BTreeMap<String, Instant> {
        self.0.identities.refused()
    }

    /// Waits while calls for notifications wait for `sdp.max_requests_per_second`, but for a tenth of it.
    pub async fn give_way(&self) {
        self.0.transport.give_way().await;
    }

    /// How a session stands. A kind that is not known is found out: ambient is asked first, then form filling, unless
    /// the API as a whole does not answer.
    ///
    /// # Errors
    /// [`Failure`]; of two, the one that leaves more hope.
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
                // It says nothing of the session, nor would the other endpoint.
                Err(failure) if failure.is_outage() => return Err(failure),
                // This endpoint has it; what the other says would be of another session.
                Err(failure)
                    if failure
                        .status
                        .is_some_and(|status| (200..300).contains(&status)) =>
                {
                    return Err(failure);
                }
                // The wrong kind may be a 404, 400, 403, 409 or 412: which one, the vendor left open.
                Err(failure) => {
                    let is_better = |worst: &Failure| hope(failure.kind) > hope(worst.kind);
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

    /// Whether the API answers at all, asked by the status of a session that it should know.
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

    /// The links that a completed session has when its notification names none.
    pub fn standard_links(
        &self,
        kind: SessionKind,
        session: &SessionId,
        encounter: Option<&EncounterId>,
    ) -> Vec<Link> {
        href::standard_links(kind, session, encounter)
    }

    /// The link of one group that a completed session has, if sessions of its kind have such a group.
    pub fn standard_link(
        &self,
        kind: SessionKind,
        group: &LinkGroup,
        session: &SessionId,
        encounter: Option<&EncounterId>,
    ) -> Option<Link> {
        href::standard_link(kind, group, session, encounter)
    }

    /// Logs in as each identity, or shows that it can: for `check --online`. By the identities' names; one that takes the
    /// provider's name is left out.
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

/// The session's state in the body of a status endpoint.
///
/// # Errors
/// When it names none.
fn read_status(body: &[u8]) -> Result<SessionStatus, Failure> {
    status_in(body).ok_or_else(|| Failure {
        kind: Kind::Retry,
        status: Some(200),
        after: None,
        reason: "the status answer names no status".to_owned(),
    })
}

/// The session's state in the body of a status endpoint, if it names one.
pub fn status_in(body: &[u8]) -> Option<SessionStatus> {
    wire::read::<wire::Status>(body)?
        .status
        .map(|word| SessionStatus::new(&word))
}

/// How much hope a failure leaves.
fn hope(kind: Kind) -> u8 {
    match kind {
        Kind::Final => 0,
        Kind::Identity => 1,
        Kind::NotFound => 2,
        Kind::Retry => 3,
        Kind::Outage => 4,
    }
}

/// The metric's label: a known group, so that a sender cannot make up labels.
fn endpoint(group: &LinkGroup) -> &'static str {
    LinkGroup::KNOWN
        .into_iter()
        .find(|known| *known == group.as_str())
        .unwrap_or("other")
}
