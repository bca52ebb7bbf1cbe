//! One method per thing that is asked of the vendor's API, within its limits: concurrency, rate, deadline, body size.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, HeaderValue};
use tokio::sync::Semaphore;
use url::Url;

use super::exchange::{Fetched, exchange};
use super::href::{self, Hrefs, Target};
use super::login::LogIn;
use super::token::{Token, Tokens};
use super::{Failure, Kind, wire};
use crate::config::{AuthMode, Sdp, SdpAuth};
use crate::domain::{EncounterId, Link, LinkGroup, SessionId, SessionKind, SessionStatus, json};
use crate::metrics::Metrics;
use crate::net::{ClientError, ClientOptions, Reach, build_client};

const TOKEN_HEADER: &str = "sdp_suki_token";
const PROVIDER_HEADER: &str = "sdp_provider_id";
const LOGIN_PATH: &str = "/api/v1/auth/login";

/// The vendor's API. Cheap to clone; clones share token and limits.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    api: reqwest::Client,
    elsewhere: reqwest::Client,
    hrefs: Hrefs,
    tokens: Arc<Tokens>,
    provider_id: Option<HeaderValue>,
    permits: Semaphore,
    rate: Option<DefaultDirectRateLimiter>,
    max_body_bytes: usize,
    metrics: Metrics,
}

impl Client {
    /// A client for the API as configured, logging in by `auth`. Connects to nothing yet.
    ///
    /// # Errors
    /// When the CA file or the provider id cannot be used.
    pub fn new(
        config: &Sdp,
        auth: &SdpAuth,
        allowed_hosts: Vec<String>,
        metrics: Metrics,
    ) -> Result<Self, ClientError> {
        let options = |reach| ClientOptions {
            timeout: config.timeout,
            ca_file: config.ca_file.as_deref(),
            reach,
            proxy: &config.proxy,
        };
        let api = build_client(&options(Reach::Anywhere))?;
        let hrefs = Hrefs::new(config.base_url.clone(), allowed_hosts);
        let provider_id = match &auth.mode {
            AuthMode::Standard => None,
            AuthMode::SingleAuthToken { provider_id } => Some(
                HeaderValue::from_str(provider_id)
                    .map_err(|_| ClientError::Header("sdp.auth.provider_id"))?,
            ),
        };
        let login = LogIn {
            http: api.clone(),
            url: hrefs
                .api(LOGIN_PATH)
                .map_err(|_| ClientError::Address("sdp.base_url"))?,
            auth: auth.clone(),
            metrics: metrics.clone(),
        };
        Ok(Self(Arc::new(Inner {
            elsewhere: build_client(&options(Reach::PublicOnly))?,
            api,
            hrefs,
            tokens: Arc::new(Tokens::new(move || login.clone().run().boxed())),
            provider_id,
            permits: Semaphore::new(config.max_concurrency),
            rate: NonZeroU32::new(config.max_requests_per_second).map(|rate| {
                RateLimiter::direct(Quota::per_second(rate).allow_burst(NonZeroU32::MIN))
            }),
            max_body_bytes: config.max_body_bytes,
            metrics,
        })))
    }

    /// Fetches what a link leads to.
    ///
    /// # Errors
    /// [`Failure`], with what to do about it.
    pub async fn fetch(&self, link: &Link) -> Result<Fetched, Failure> {
        if !link.is_get {
            return Err(Failure::not_called(
                "not followed: the link asks for another method than GET",
            ));
        }
        let endpoint = endpoint(&link.group);
        match self
            .0
            .hrefs
            .resolve(&link.href)
            .map_err(|refused| Failure::not_called(refused.to_string()))?
        {
            Target::Api(url) => self.get(url, endpoint).await,
            Target::Elsewhere(url) => self.call(self.0.elsewhere.get(url), "elsewhere").await,
        }
    }

    /// How a session stands. A kind that is not known is found out: ambient is asked first, then form filling, unless
    /// the API as a whole does not answer.
    ///
    /// # Errors
    /// [`Failure`]; of two, the one that leaves more hope.
    pub async fn status(
        &self,
        kind: SessionKind,
        session: &SessionId,
    ) -> Result<(SessionKind, SessionStatus), Failure> {
        let kinds: &[SessionKind] = match kind {
            SessionKind::Ambient => &[SessionKind::Ambient],
            SessionKind::FormFilling => &[SessionKind::FormFilling],
            SessionKind::Unknown => &[SessionKind::Ambient, SessionKind::FormFilling],
        };
        let mut worst: Option<Failure> = None;
        for kind in kinds {
            match self.status_of(*kind, session).await {
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
        kind: SessionKind,
        session: &SessionId,
    ) -> Result<SessionStatus, Failure> {
        let path = href::status_path(kind, session)
            .ok_or_else(|| Failure::not_called("no status endpoint"))?;
        let url = self
            .0
            .hrefs
            .api(&path)
            .map_err(|refused| Failure::not_called(refused.to_string()))?;
        read_status(&self.get(url, "status").await?.body)
    }

    /// Whether the API answers at all, asked by the status of a session that it should know.
    pub async fn answers(&self, kind: SessionKind, session: &SessionId) -> bool {
        let kind = match kind {
            SessionKind::Unknown => SessionKind::Ambient,
            known => known,
        };
        match self.status_of(kind, session).await {
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

    /// Logs in, or shows that it can: for `check --online`.
    ///
    /// # Errors
    /// [`Failure`] of the login.
    pub async fn check(&self) -> Result<(), Failure> {
        self.0.tokens.get().await.map(|_| ())
    }

    /// A call with the token; one that is no longer taken is replaced once.
    async fn get(&self, url: Url, endpoint: &'static str) -> Result<Fetched, Failure> {
        let tokens = &self.0.tokens;
        let old = tokens.get().await?;
        let refused = match self.get_with(&old, url.clone(), endpoint).await {
            Err(failure) if failure.is_token_refused() => failure,
            result => return result,
        };
        if !tokens.refused(&old, &refused) {
            return Err(refused.of_this_call(old.is_taken()));
        }
        let new = tokens.get().await?;
        match self.get_with(&new, url, endpoint).await {
            Err(failure) if failure.is_token_refused() => {
                tokens.replaced_in_vain(&old, &new, &failure);
                Err(failure.of_this_call(old.is_taken()))
            }
            result => {
                tokens.replaced();
                result
            }
        }
    }

    async fn get_with(
        &self,
        token: &Token,
        url: Url,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let result = self.call(self.authorised(url, token), endpoint).await;
        let is_taken = match &result {
            Ok(_) => true,
            Err(failure) => failure.is_of_the_api() && !failure.is_token_refused(),
        };
        if is_taken {
            self.0.tokens.taken(token);
        }
        result
    }

    fn authorised(&self, url: Url, token: &Token) -> RequestBuilder {
        let request = self
            .0
            .api
            .get(url)
            .header(TOKEN_HEADER, token.header.clone());
        match &self.0.provider_id {
            Some(provider) => request.header(PROVIDER_HEADER, provider.clone()),
            None => request,
        }
    }

    async fn call(
        &self,
        request: RequestBuilder,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let _permit = self
            .0
            .permits
            .acquire()
            .await
            .map_err(|_| Failure::unreachable("the client is closed"))?;
        if let Some(rate) = &self.0.rate {
            rate.until_ready().await;
        }
        let start = Instant::now();
        let result = exchange(
            request.header(ACCEPT, "application/json"),
            self.0.max_body_bytes,
        )
        .await;
        let code = match &result {
            Ok(fetched) => fetched.status.to_string(),
            Err(failure) => failure
                .status
                .map_or_else(|| "none".to_owned(), |status| status.to_string()),
        };
        self.0.metrics.sdp_request(endpoint, &code, start.elapsed());
        let fetched = result?;
        if let Some(failure) = Failure::of_success(fetched.status, &fetched.body) {
            return Err(failure);
        }
        // A proxy's page in place of the note must not be delivered as the note.
        if !json::is_nothing(&fetched.body) && !json::is_json(&fetched.body) {
            return Err(Failure::not_json(fetched.status, &fetched.body));
        }
        Ok(fetched)
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
