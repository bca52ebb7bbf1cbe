//! One method per thing that is asked of the vendor's API, within its limits: concurrency, rate, deadline, body size.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use secrecy::ExposeSecret;
use tokio::sync::Semaphore;
use url::Url;

use super::href::{self, Hrefs, Target};
use super::token::{Token, Tokens};
use super::{Failure, Kind, partner_token, wire};
use crate::config::{AuthMode, Sdp, SdpAuth};
use crate::domain::{EncounterId, Link, SessionId, SessionKind, SessionStatus};
use crate::metrics::Metrics;
use crate::net::{
    BodyError, ClientError, ClientOptions, Reach, build_client, describe, read_capped, retry_after,
};

const TOKEN_HEADER: &str = "sdp_suki_token";
const PROVIDER_HEADER: &str = "sdp_provider_id";

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

/// An answer's body as received: JSON.
#[derive(Clone)]
pub struct Fetched {
    /// The answer's status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
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
            url: hrefs.api("/api/v1/auth/login"),
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
        let final_failure = |reason: String| Failure {
            kind: Kind::Final,
            status: None,
            after: None,
            reason,
        };
        if !link.is_get {
            return Err(final_failure(
                "not followed: the link asks for another method than GET".to_owned(),
            ));
        }
        let endpoint = endpoint(&link.group);
        match self
            .0
            .hrefs
            .resolve(&link.href)
            .map_err(|refused| final_failure(refused.to_string()))?
        {
            Target::Api(url) => self.get(url, endpoint).await,
            Target::Elsewhere(url) => self.call(self.0.elsewhere.get(url), "elsewhere").await,
        }
    }

    /// How a session stands. A kind that is not known is found out: ambient is asked first, then form filling.
    ///
    /// # Errors
    /// [`Failure`]; [`Kind::NotFound`] when no kind knows the session.
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
        let mut last = Failure::unreachable("no status endpoint");
        for kind in kinds {
            let Some(path) = href::status_path(*kind, session) else {
                continue;
            };
            match self.get(self.0.hrefs.api(&path), "status").await {
                Ok(fetched) => return Ok((*kind, read_status(&fetched.body)?)),
                Err(failure) if failure.kind == Kind::NotFound => last = failure,
                Err(failure) => return Err(failure),
            }
        }
        Err(last)
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

    /// Logs in, or shows that it can: for `check --online`.
    ///
    /// # Errors
    /// [`Failure`] of the login.
    pub async fn check(&self) -> Result<(), Failure> {
        self.0.tokens.get().await.map(|_| ())
    }

    /// A call with the token; one that is no longer taken is replaced once.
    async fn get(&self, url: Url, endpoint: &'static str) -> Result<Fetched, Failure> {
        let token = self.0.tokens.get().await?;
        let first = self
            .call(self.authorised(url.clone(), &token), endpoint)
            .await;
        match first {
            Err(failure) if failure.status == Some(401) && failure.kind != Kind::Identity => {
                self.0.tokens.reject(&token);
                let token = self.0.tokens.get().await?;
                self.call(self.authorised(url, &token), endpoint).await
            }
            first => first,
        }
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
        // A proxy's page in place of the note must not be delivered as the note.
        if serde_json::from_slice::<serde::de::IgnoredAny>(&fetched.body).is_err() {
            let reason = if fetched.body.is_empty() {
                "the answer is empty"
            } else {
                "the answer is not JSON"
            };
            return Err(Failure {
                kind: Kind::Retry,
                status: Some(fetched.status),
                after: None,
                reason: reason.to_owned(),
            });
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

/// What one login needs.
#[derive(Clone)]
struct LogIn {
    http: reqwest::Client,
    url: Url,
    auth: SdpAuth,
    metrics: Metrics,
}

impl LogIn {
    async fn run(self) -> Result<Token, Failure> {
        let result = self.attempt().await;
        self.metrics
            .sdp_login(if result.is_ok() { "ok" } else { "failed" });
        match &result {
            Ok(_) => tracing::debug!("logged in to SDP"),
            Err(failure) => tracing::warn!(reason = %failure, "cannot log in to SDP"),
        }
        result
    }

    async fn attempt(&self) -> Result<Token, Failure> {
        let partner_token = partner_token::obtain(&self.auth.partner_token).await?;
        let body = serde_json::to_vec(&wire::Login {
            partner_id: &self.auth.partner_id,
            partner_token: partner_token.expose_secret(),
            provider_id: match &self.auth.mode {
                AuthMode::Standard => None,
                AuthMode::SingleAuthToken { provider_id } => Some(provider_id),
            },
        })
        .map_err(|_| Failure::unreachable("login failed: the request cannot be written"))?;
        let start = Instant::now();
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let result = exchange(request, LOGIN_ANSWER_BYTES).await;
        let code = result
            .as_ref()
            .map_or_else(|failure| failure.status, |fetched| Some(fetched.status));
        let code = code.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.metrics.sdp_request("login", &code, start.elapsed());
        let fetched = result.map_err(|failure| login_failure(&failure))?;
        serde_json::from_slice::<wire::LoggedIn>(&fetched.body)
            .ok()
            .and_then(|answer| Token::new(&answer.suki_token?))
            .ok_or_else(|| Failure::unreachable("login failed: the answer holds no suki_token"))
    }
}

/// Largest answer to a login that is read.
const LOGIN_ANSWER_BYTES: usize = 64 * 1024;

/// A login that is refused is mended by an operator (a new partner token, say), so what waits is tried again; only a
/// provider who is not registered stays so.
fn login_failure(failure: &Failure) -> Failure {
    let kind = if failure.reason.ends_with("provider_not_registered") {
        Kind::Identity
    } else {
        Kind::Outage
    };
    Failure {
        kind,
        reason: format!("login failed: {failure}"),
        ..failure.clone()
    }
}

/// Sends a request and reads its answer, within the client's deadline.
async fn exchange(request: RequestBuilder, max_body_bytes: usize) -> Result<Fetched, Failure> {
    let response = request
        .send()
        .await
        .map_err(|error| Failure::unreachable(describe(&error)))?;
    let (status, after) = (response.status(), retry_after(response.headers()));
    let body = read_capped(response, max_body_bytes)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge(_) => Failure {
                kind: Kind::Final,
                status: Some(status.as_u16()),
                after: None,
                reason: error.to_string(),
            },
            BodyError::Broken(_) => Failure {
                status: Some(status.as_u16()),
                ..Failure::unreachable("the answer broke off")
            },
        })?;
    if status.is_success() {
        return Ok(Fetched {
            status: status.as_u16(),
            body,
        });
    }
    Err(Failure::of_status(
        status.as_u16(),
        wire::error_id(&body).as_deref(),
        after,
    ))
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
    serde_json::from_slice::<wire::Status>(body)
        .ok()?
        .status
        .map(|word| SessionStatus::new(&word))
}

/// The metric's label: a known group, so that a sender cannot make up labels.
fn endpoint(group: &crate::domain::LinkGroup) -> &'static str {
    crate::domain::LinkGroup::KNOWN
        .into_iter()
        .find(|known| *known == group.as_str())
        .unwrap_or("other")
}
