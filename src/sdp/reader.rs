//! An identity's access to the API, with its token; for an identity that needs a provider's name, the access for one
//! provider. A token that is no longer accepted is replaced at most once for each call.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use reqwest::header::HeaderValue;
use url::Url;

use super::exchange::Fetched;
use super::login::LogIn;
use super::token::{Token, Tokens};
use super::transport::Transport;
use super::{Failure, Kind};

/// How long an answer counts as proof that the API can be reached.
const RECENTLY: Duration = Duration::from_secs(60);

/// An identity's access to the API.
pub(super) struct Reader {
    pub(super) tokens: Arc<Tokens>,
    /// The header with the provider's id, for single-token partners.
    provider: Option<HeaderValue>,
    /// When the API last answered, unless the last call failed without an answer.
    answered: Mutex<Option<Instant>>,
}

/// Why a read has failed.
pub(super) enum Unread {
    /// The API refuses this identity: altogether, or for this resource.
    Refused(Failure),
    /// The login failed or the token was refused. Another identity may succeed.
    NoToken(Failure),
    /// A failure that is the same for every identity.
    Answer(Failure),
}

impl Reader {
    /// A reader with this login. `None` when the provider's id cannot be sent in a header.
    pub(super) fn new(login: LogIn) -> Option<Self> {
        let provider = login.provider_id().ok()?;
        let provider = provider.map(|id| HeaderValue::from_str(&id)).transpose();
        let provider = provider.ok()?;
        let named = login.clone();
        let tokens = Tokens::new(move || login.clone().run().boxed());
        Some(Self {
            provider,
            tokens: Arc::new(tokens.reporting_expiry(move |ends| named.report_expiry(ends))),
            answered: Mutex::default(),
        })
    }

    /// Fetches a URL of the API.
    pub(super) async fn get(
        &self,
        transport: &Transport,
        url: &Url,
        endpoint: &'static str,
    ) -> Result<Fetched, Unread> {
        let result = self.attempt(transport, url, endpoint).await;
        let is_answered = match &result {
            Ok(_) => true,
            Err(Unread::NoToken(_)) => false,
            Err(Unread::Refused(failure) | Unread::Answer(failure)) => failure.is_of_the_api(),
        };
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        *answered = is_answered.then(Instant::now);
        result
    }

    /// Whether the API has answered recently.
    pub(super) fn was_answered(&self) -> bool {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|at| at.elapsed() < RECENTLY)
    }

    async fn attempt(
        &self,
        transport: &Transport,
        url: &Url,
        endpoint: &'static str,
    ) -> Result<Fetched, Unread> {
        let tokens = &self.tokens;
        let old = tokens.get().await.map_err(Unread::of_login)?;
        let refused = match self.get_with(&old, transport, url, endpoint).await {
            Err(failure) if failure.is_token_refused() => failure,
            result => return result.map_err(Unread::of_call),
        };
        if !tokens.refused(&old, &refused) {
            let is_good = tokens.are_good_elsewhere(&old);
            return Err(Unread::of_call(refused.of_this_call(is_good)));
        }
        let new = tokens.get().await.map_err(Unread::of_login)?;
        match self.get_with(&new, transport, url, endpoint).await {
            Err(failure) if failure.is_token_refused() => {
                let is_good = tokens.replaced_in_vain(&old, &new, &failure);
                Err(Unread::of_call(failure.of_this_call(is_good)))
            }
            result => {
                tokens.replaced();
                result.map_err(Unread::of_call)
            }
        }
    }

    async fn get_with(
        &self,
        token: &Token,
        transport: &Transport,
        url: &Url,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let (url, header) = (url.clone(), token.header.clone());
        let result = transport
            .get(url, header, self.provider.as_ref(), endpoint)
            .await;
        let is_accepted = match &result {
            Ok(_) => true,
            Err(failure) => failure.is_of_the_api() && !failure.is_token_refused(),
        };
        if is_accepted {
            self.tokens.accepted(token);
        }
        result
    }
}

impl Unread {
    fn of_login(failure: Failure) -> Self {
        match failure.kind {
            Kind::Identity => Self::Refused(failure),
            Kind::Retry | Kind::Outage | Kind::NotFound | Kind::Final => Self::NoToken(failure),
        }
    }

    fn of_call(failure: Failure) -> Self {
        match failure.kind {
            Kind::Identity => Self::Refused(failure),
            Kind::Outage if failure.is_token_refused() => Self::NoToken(failure),
            Kind::Retry | Kind::Outage | Kind::NotFound | Kind::Final => Self::Answer(failure),
        }
    }
}
