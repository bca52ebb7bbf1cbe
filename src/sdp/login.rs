//! One login: the partner token is exchanged for a token of the API.

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

/// Logins a second, of all identities together, and how many at once after a rest.
const LOGINS_A_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();
const LOGINS_AT_ONCE: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Where every identity logs in, and how often all of them together do.
pub(super) struct Entrance {
    http: reqwest::Client,
    url: Url,
    rate: DefaultDirectRateLimiter,
    metrics: Metrics,
    /// Since when no login of an identity has succeeded, by its name, while they fail.
    refused: Mutex<BTreeMap<String, Instant>>,
}

impl Entrance {
    /// Which identities are not let in, by their names, and since when.
    pub(super) fn refused(&self) -> BTreeMap<String, Instant> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// There is an identity of this name.
    pub(super) fn knows(&self, identity: &str) {
        self.metrics.sdp_identity(identity);
    }

    fn ended(&self, identity: &str, is_for_provider: bool, result: &Result<Token, Failure>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(_) => drop(refused.remove(identity)),
            // One clinician who is not registered says nothing of the others.
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

/// What one login needs.
#[derive(Clone)]
pub(super) struct LogIn {
    pub(super) entrance: Arc<Entrance>,
    pub(super) identity: Arc<Identity>,
    /// The provider that it is for, where the identity takes one's name.
    pub(super) provider: Option<Arc<str>>,
    /// Whether no other may ask in its place.
    pub(super) is_alone: bool,
}

impl LogIn {
    /// Logs in.
    pub(super) async fn run(self) -> Result<Token, Failure> {
        self.entrance.rate.until_ready().await;
        let result = self.attempt().await;
        let identity = &self.identity.name;
        self.entrance
            .ended(identity, self.provider.is_some(), &result);
        self.entrance
            .metrics
            .sdp_login(identity, if result.is_ok() { "ok" } else { "failed" });
        match &result {
            Ok(_) => tracing::debug!(identity, "logged in to SDP"),
            Err(failure) => tracing::warn!(identity, reason = %failure, "cannot log in to SDP"),
        }
        result
    }

    /// Shows when the identity's token ends. Where it has one for each provider, of the one that changed last.
    pub(super) fn tell_token(&self, ends: Option<Timestamp>) {
        self.entrance.metrics.sdp_token(&self.identity.name, ends);
    }

    /// The id that single-token partners name the provider by: at the login, and with every call.
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
        let Entrance { http, url, .. } = &*self.entrance;
        let request = http
            .post(url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let result = exchange(request, LOGIN_ANSWER_BYTES).await;
        let code = result
            .as_ref()
            .map_or_else(|failure| failure.status, |fetched| Some(fetched.status));
        let code = code.map_or_else(|| "none".to_owned(), |status| status.to_string());
        let metrics = &self.entrance.metrics;
        metrics.sdp_request("login", &code, start.elapsed());
        let fetched = result.map_err(|failure| self.failure(&failure))?;
        wire::read::<wire::LoggedIn>(&fetched.body)
            .and_then(|answer| Token::new(&answer.suki_token?))
            .ok_or_else(|| Failure::unreachable("login failed: the answer holds no suki_token"))
    }

    /// A login that is refused is mended by an operator (a new partner token, say), so what waits is tried again; only a
    /// provider who is not registered stays so. Where another identity may ask, the API's word on this one counts.
    fn failure(&self, failure: &Failure) -> Failure {
        let is_not_registered = failure.reason.ends_with("provider_not_registered");
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

/// Largest answer to a login that is read.
const LOGIN_ANSWER_BYTES: usize = 64 * 1024;
