//! One login: the partner token is exchanged for a token of the API.

use std::time::Instant;

use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret;
use url::Url;

use super::exchange::exchange;
use super::token::Token;
use super::{Failure, Kind, partner_token, wire};
use crate::config::{AuthMode, SdpAuth};
use crate::metrics::Metrics;

/// What one login needs.
#[derive(Clone)]
pub(super) struct LogIn {
    pub(super) http: reqwest::Client,
    pub(super) url: Url,
    pub(super) auth: SdpAuth,
    pub(super) metrics: Metrics,
}

impl LogIn {
    /// Logs in.
    pub(super) async fn run(self) -> Result<Token, Failure> {
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
        wire::read::<wire::LoggedIn>(&fetched.body)
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
