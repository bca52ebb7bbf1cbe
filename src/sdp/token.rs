//! The SDP token: cached, renewed ahead of its end, one login at a time whoever waits for it (vendor.md 3.2).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use jiff::Timestamp;
use reqwest::header::HeaderValue;

use super::{Failure, wire};

/// Life of a token that does not tell its end (vendor.md 3.2: one hour).
const ASSUMED_LIFE: Duration = Duration::from_secs(55 * 60);
/// A token is renewed when this is left of its life, or a tenth of it where that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// A token that may be sent.
#[derive(Clone)]
pub(super) struct Token {
    /// The header's value; marked sensitive.
    pub(super) header: HeaderValue,
    renew_at: Instant,
    ends_at: Instant,
}

type Login = Shared<BoxFuture<'static, Result<Token, Failure>>>;

/// The cached token and the login under way.
pub(super) struct Tokens {
    log_in: Box<dyn Fn() -> BoxFuture<'static, Result<Token, Failure>> + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    login: Option<Login>,
}

impl Tokens {
    /// No token yet; `log_in` gets one.
    pub(super) fn new(
        log_in: impl Fn() -> BoxFuture<'static, Result<Token, Failure>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            log_in: Box::new(log_in),
            state: Mutex::default(),
        }
    }

    /// A token that is valid now. Logs in where there is none; renews one that ends soon behind the caller's back.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Token, Failure> {
        let login = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            match state.token.clone() {
                Some(token) if now < token.renew_at => return Ok(token),
                Some(token) if now < token.ends_at => {
                    let renewal = self.start(&mut state);
                    tokio::spawn(renewal);
                    return Ok(token);
                }
                Some(_) | None => self.start(&mut state),
            }
        };
        login.await
    }

    /// The vendor no longer takes this token. One that came since stays.
    pub(super) fn reject(&self, rejected: &Token) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .token
            .as_ref()
            .is_some_and(|token| token.header == rejected.header)
        {
            state.token = None;
        }
    }

    /// The login under way, or a new one.
    fn start(self: &Arc<Self>, state: &mut State) -> Login {
        if let Some(login) = &state.login {
            return login.clone();
        }
        let (tokens, login) = (Arc::clone(self), (self.log_in)());
        // Runs as a task of its own, so that it is finished even if whoever asked first gives up.
        let task = tokio::spawn(async move {
            let result = login.await;
            let mut state = tokens.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.login = None;
            if let Ok(token) = &result {
                state.token = Some(token.clone());
            }
            result
        });
        let login = task
            .map(|joined| {
                joined.unwrap_or_else(|_| Err(Failure::unreachable("login failed: it panicked")))
            })
            .boxed()
            .shared();
        state.login = Some(login.clone());
        login
    }
}

impl Token {
    /// The token as the vendor gave it. `None` when it cannot be sent in a header.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut header = HeaderValue::from_str(text).ok()?;
        header.set_sensitive(true);
        let life = life(text).unwrap_or(ASSUMED_LIFE);
        let now = Instant::now();
        Some(Self {
            header,
            renew_at: now + life.saturating_sub(RENEW_BEFORE.min(life / 10)),
            ends_at: now + life,
        })
    }
}

/// What is left of a JWT's life by its `exp`.
fn life(token: &str) -> Option<Duration> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let ends: i64 = serde_json::from_slice::<wire::Claims>(&payload).ok()?.exp?;
    Some(Duration::from_secs(
        u64::try_from(ends - Timestamp::now().as_second()).unwrap_or(0),
    ))
}
