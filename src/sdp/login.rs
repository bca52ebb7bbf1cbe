//! One login: exchanges the partner token for a token of the API.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use url::Url;

use super::exchange::exchange;
use super::token::Token;
use super::{Failure, Kind, partner_token, wire};
use crate::config::{AuthMode, Identity, for_provider};
use crate::metrics::Metrics;

/// The rate limit for logins of all identities together, in logins per second, and its burst.
const LOGINS_A_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();
const LOGINS_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The login endpoint of all identities, with their common rate limit.
pub(super) struct LoginEndpoint {
    http: reqwest::Client,
    url: Url,
    rate: DefaultDirectRateLimiter,
    metrics: Metrics,
    /// The names of the identities whose logins fail, with the time of the first failure since the last success.
    refused: Mutex<BTreeMap<String, Instant>>,
}

impl LoginEndpoint {
    /// The names of the identities whose logins fail, with the time since when.
    pub(super) fn refused(&self) -> BTreeMap<String, Instant> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Registers an identity's name with the metrics.
    pub(super) fn knows(&self, identity: &str) {
        self.metrics.sdp_identity(identity);
    }

    fn ended(&self, identity: &str, is_for_provider: bool, result: &Result<Token, Failure>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => drop(refused.remove(identity)),
            // That one clinician is not registered says nothing about the identity's other clinicians.
            Err(failure) if is_for_provider && failure.kind == Kind::Identity => {}
            Err(_) => {
                refused
                    .entry(identity.to_owned())
                    .or_insert_with(Instant::now);
            }
        }
    }

    pub(super) fn new(http: reqwest::Client, url: Url, metrics: Metrics) -> Self {
        let quota = Quota::per_second(LOGINS_A_SECOND).allow_burst(LOGINS_AT_ONCE);
        Self {
            http,
            url,
            rate: RateLimiter::direct(quota),
            metrics,
            refused: Mutex::default(),
        }
    }
}

/// The parameters of a login.
#[derive(Clone)]
pub(super) struct LogIn {
    pub(super) login_endpoint: Arc<LoginEndpoint>,
    pub(super) identity: Arc<Identity>,
    /// The provider, if the identity needs a provider's name.
    pub(super) provider: Option<Arc<str>>,
    /// Whether this is the only identity, so that no other can be tried in its place.
    pub(super) is_alone: bool,
}

impl LogIn {
    /// Logs in.
    pub(super) async fn run(self) -> Result<Token, Failure> {
        self.login_endpoint.rate.until_ready().await;
        let result = self.attempt().await;
        let identity = &self.identity.name;
        self.login_endpoint
            .ended(identity, self.provider.is_some(), &result);
        self.login_endpoint
            .metrics
            .sdp_login(identity, if result.is_ok() { "ok" } else { "failed" });
        match &result {
            Ok(_) => tracing::debug!(identity, "logged in to SDP"),
            Err(failure) => tracing::warn!(identity, reason = %failure, "cannot log in to SDP"),
        }
        result
    }

    /// Reports when the identity's token expires. If it has one token for each provider, the one that changed last is
    /// reported.
    pub(super) fn report_expiry(&self, ends: Option<Timestamp>) {
        self.login_endpoint
            .metrics
            .sdp_token(&self.identity.name, ends);
    }

    /// The provider's id, which single-token partners send at login and with every call.
    pub(super) fn provider_id(&self) -> Result<Option<Cow<'_, str>>, Failure> {
        match &self.identity.auth.mode {
            AuthMode::Standard => Ok(None),
            AuthMode::SingleAuthToken { provider_id } => {
                let id = for_provider(provider_id, self.provider.as_deref());
                let id = id.ok_or_else(|| Failure::unreachable("no provider is known"))?;
                Ok(Some(id))
            }
        }
    }

    async fn attempt(&self) -> Result<Token, Failure> {
        let (auth, provider) = (&self.identity.auth, self.provider.clone());
        let source = auth.partner_token.clone();
        let partner_token = partner_token::obtain(self.identity.key(), source, provider).await?;
        let provider_id = self.provider_id()?;
        let body = serde_json::to_vec(&wire::Login {
            partner_id: &auth.partner_id,
            partner_token: partner_token.expose_secret(),
            provider_id: provider_id.as_deref(),
        })
        .map_err(|_| Failure::unreachable("login failed: the request cannot be written"))?;
        let start = Instant::now();
        let LoginEndpoint { http, url, .. } = &*self.login_endpoint;
        let request = http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let result = exchange(request, LOGIN_ANSWER_BYTES).await;
        let code = result
            .as_ref()
            .map_or_else(|failure| failure.status, |fetched| Some(fetched.status));
        let code = code.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let metrics = &self.login_endpoint.metrics;
        metrics.sdp_request("login", &code, start.elapsed());
        let fetched = result.map_err(|failure| self.failure(&failure))?;
        wire::read::<wire::LoggedIn>(&fetched.body)
            .and_then(|answer| Token::new(&answer.suki_token?))
            .ok_or_else(|| Failure::unreachable("login failed: the answer holds no suki_token"))
    }

    /// Classifies a failed login. An operator can usually fix it, for instance by a new partner token, so calls are
    /// tried again; only an unregistered provider is final. If other identities can be tried, the API's refusal of this
    /// identity counts as such.
    fn failure(&self, failure: &Failure) -> Failure {
        let is_not_registered = failure.error_id.as_deref() == Some("provider_not_registered");
        let is_of_identity = failure.kind == Kind::Identity && !self.is_alone;
        Failure {
            kind: if is_not_registered || is_of_identity {
                Kind::Identity
            } else {
                Kind::Outage
            },
            reason: format!("login failed: {failure}"),
            ..failure.clone()
        }
    }
}

/// The largest answer to a login.
const LOGIN_ANSWER_BYTES: usize = 64 * 1024;
