//! The token of the API: cached, renewed before it expires, with one login at a time for all callers. A login that
//! fails, or whose token is refused from the start, is tried again with backoff; until then every caller gets the
//! failure at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use jiff::Timestamp;
use reqwest::header::HeaderValue;

use super::{Failure, wire};
use crate::traces;

/// The assumed lifetime of a token without an expiry time; the vendor's tokens live for an hour.
const ASSUMED_LIFE: Duration = Duration::from_secs(55 * 60);
/// The assumed lifetime of a token that has expired by the local clock and has no issue time. The vendor will refuse it
/// when it has really expired.
const LEAST_LIFE: Duration = Duration::from_secs(5 * 60);
/// The upper limit on a token's lifetime.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// The first and the longest backoff after a failed login.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long a token counts as good after it was accepted.
const RECENTLY: Duration = Duration::from_secs(60);
/// A token is renewed when this much of its lifetime is left, or a tenth of the lifetime if that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(5 * 60);

/// A token to send.
#[derive(Clone)]
pub(super) struct Token {
    /// The header's value, marked as sensitive.
    pub(super) header: HeaderValue,
    renew_at: Instant,
    ends_at: Instant,
    /// `ends_at` in wall time, for people.
    ends_on: Timestamp,
    /// When the vendor last accepted it.
    accepted_at: Arc<Mutex<Option<Instant>>>,
}

type Login = Shared<BoxFuture<'static, Result<Token, Failure>>>;

/// The cached token and the login under way.
pub(super) struct Tokens {
    log_in: Box<dyn Fn() -> BoxFuture<'static, Result<Token, Failure>> + Send + Sync>,
    state: Mutex<State>,
    tell: Box<dyn Fn(Option<Timestamp>) + Send + Sync>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    login: Option<Login>,
    /// Consecutive failed logins.
    failures: u32,
    /// The last login's failure, and the time until which no other login is made.
    waits: Option<(Instant, Failure)>,
    /// Consecutive replacements after which the same call was refused again.
    vain: u32,
    /// The time until which a refusal does not cause another replacement.
    keeps_until: Option<Instant>,
    /// The token that was accepted last for the first time.
    good: Option<Token>,
}

impl State {
    /// Records a failed login.
    fn failed(&mut self, failure: Failure) {
        self.failures = self.failures.saturating_add(1);
        let doubled = FIRST_WAIT.saturating_mul(1 << (self.failures - 1).min(16));
        let jittered = doubled
            .min(LONGEST_WAIT)
            .mul_f64(rand::random_range(0.5..=1.0));
        let asked = failure.after.unwrap_or_default().min(LONGEST_WAIT);
        self.waits = Some((Instant::now() + jittered.max(asked), failure));
    }

    /// Whether this token is the one in use.
    fn is_current(&self, token: &Token) -> bool {
        let current = self.token.as_ref();
        current.is_some_and(|current| current.header == token.header)
    }

    /// The token that is known to be good: it was accepted recently, and is not to be renewed yet.
    fn good(&self, now: Instant) -> Option<&Token> {
        self.good.as_ref().filter(|good| {
            let accepted_at = *good.accepted_at();
            let is_recent = accepted_at.is_some_and(|at| now.duration_since(at) < RECENTLY);
            is_recent && now < good.renew_at
        })
    }

    /// Lets no refusal cause another replacement for a time.
    fn keep(&mut self) {
        let now = Instant::now();
        if self.keeps_until.is_none_or(|until| until <= now) {
            let wait = FIRST_WAIT.saturating_mul(1 << self.vain.min(16));
            self.vain = self.vain.saturating_add(1);
            self.keeps_until = Some(now + wait.min(LONGEST_WAIT));
        }
    }

    /// The failure to return while no login may be made.
    fn waiting(&self, now: Instant) -> Option<Failure> {
        let (until, failure) = self.waits.as_ref().filter(|(until, _)| now < *until)?;
        Some(Failure {
            after: Some(*until - now),
            ..failure.clone()
        })
    }
}

impl Tokens {
    /// An empty cache; `log_in` gets a token.
    pub(super) fn new(
        log_in: impl Fn() -> BoxFuture<'static, Result<Token, Failure>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            log_in: Box::new(log_in),
            state: Mutex::default(),
            tell: Box::new(|_| {}),
        }
    }

    /// Calls `tell` with the token's expiry time whenever there is a new token, and with `None` when there is none.
    pub(super) fn reporting_expiry(
        self,
        tell: impl Fn(Option<Timestamp>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            tell: Box::new(tell),
            ..self
        }
    }

    /// A valid token. Logs in if there is none. A token that expires soon is returned at once and renewed in the
    /// background.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Token, Failure> {
        let login = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            match state.token.clone() {
                Some(token) if now < token.renew_at => return Ok(token),
                Some(token) if now < token.ends_at => {
                    if state.waiting(now).is_none() {
                        tokio::spawn(self.start(&mut state));
                    }
                    return Ok(token);
                }
                Some(_) | None => match state.waiting(now) {
                    Some(failure) => return Err(failure),
                    None => self.start(&mut state),
                },
            }
        };
        // All callers wait for the same login, which runs as a task of its own.
        let mut waiting = traces::child(traces::Kind::Internal, || "await login".to_owned());
        let result = login.await;
        if result.is_err() {
            waiting.failed("login");
        }
        result
    }

    /// Records that the vendor accepted this token.
    pub(super) fn accepted(&self, token: &Token) {
        let before = token.accepted_at().replace(Instant::now());
        if before.is_none() {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.failures = 0;
            state.good = Some(token.clone());
        }
    }

    /// Records that a call was refused with this token. Returns whether the call is to be repeated with another token.
    pub(super) fn refused(&self, token: &Token, failure: &Failure) -> bool {
        let is_kept = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state
                .keeps_until
                .is_some_and(|until| Instant::now() < until)
        };
        if !is_kept {
            self.reject(token, failure);
        }
        !is_kept
    }

    /// Whether other calls are accepted with this token, or with another one of this login, so that a refusal concerns only
    /// the call that was refused.
    pub(super) fn are_good_elsewhere(&self, token: &Token) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        token.was_accepted() || state.good(Instant::now()).is_some()
    }

    /// Records that the call refused with `old` was refused with `new` as well. If tokens are accepted for other calls, the
    /// token is not the reason: one that is known to be good is used again, and for a time with backoff a refusal causes no
    /// login. Returns whether that is so.
    pub(super) fn replaced_in_vain(&self, old: &Token, new: &Token, failure: &Failure) -> bool {
        if !self.are_good_elsewhere(old) {
            self.reject(new, failure);
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_current(new) {
            self.use_good(&mut state);
        }
        state.keep();
        true
    }

    /// Records that the call refused with one token succeeded with another.
    pub(super) fn replaced(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.vain, state.keeps_until) = (0, None);
    }

    /// Drops this token, which the vendor does not accept or no longer accepts, unless it was replaced meanwhile. If no
    /// token is ever accepted, logging in again does not help: from the second such token on, each counts as a failed
    /// login. A token that was never accepted does not count while another one is known to be good: only a call that is
    /// refused with every token may have tried it.
    fn reject(&self, rejected: &Token, failure: &Failure) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_current(rejected) {
            return;
        }
        if !rejected.was_accepted() && self.use_good(&mut state) {
            return state.keep();
        }
        state.token = None;
        (self.tell)(None);
        match (rejected.was_accepted(), state.failures) {
            (true, _) => {}
            (false, 0) => state.failures = 1,
            (false, _) => state.failed(failure.clone()),
        }
    }

    /// Uses the token that is known to be good, if there is one.
    fn use_good(&self, state: &mut State) -> bool {
        let Some(good) = state.good(Instant::now()).cloned() else {
            return false;
        };
        (self.tell)(Some(good.ends_on));
        state.token = Some(good);
        true
    }

    /// The login under way, or a new one.
    fn start(self: &Arc<Self>, state: &mut State) -> Login {
        if let Some(login) = &state.login {
            return login.clone();
        }
        let (tokens, login) = (Arc::clone(self), (self.log_in)());
        // In a task of its own, so that the login completes even if its first caller gives up.
        let task = tokio::spawn(async move {
            let result = login.await;
            let mut state = tokens.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.login = None;
            match &result {
                Ok(token) => {
                    state.token = Some(token.clone());
                    (tokens.tell)(Some(token.ends_on));
                    state.waits = None;
                }
                Err(failure) => state.failed(failure.clone()),
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
    /// Whether the vendor has accepted it for any call.
    pub(super) fn was_accepted(&self) -> bool {
        self.accepted_at().is_some()
    }

    fn accepted_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.accepted_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The token as the vendor issued it. `None` when it cannot be sent in a header.
    pub(super) fn new(text: &str) -> Option<Self> {
        let mut header = HeaderValue::from_str(text).ok()?;
        header.set_sensitive(true);
        let life = life(text).unwrap_or(ASSUMED_LIFE);
        let now = Instant::now();
        Some(Self {
            header,
            renew_at: now + life.saturating_sub(RENEW_BEFORE.min(life / 10)),
            ends_at: now + life,
            ends_on: Timestamp::now()
                .saturating_add(life)
                .unwrap_or(Timestamp::MAX),
            accepted_at: Arc::default(),
        })
    }
}

/// The remaining lifetime of a JWT according to its `exp`. If it has expired by the local clock, that clock may be
/// wrong, so the whole lifetime from `iat` to `exp` is used.
fn life(token: &str) -> Option<Duration> {
    let payload = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1)?.trim_end_matches('='))
        .ok()?;
    let claims: wire::Claims = wire::read(&payload)?;
    let seconds = |claim: Option<serde_json::Number>| claim.and_then(|number| number.as_f64());
    let (ends, began) = (seconds(claims.exp)?, seconds(claims.iat));
    let left = |from: f64| {
        Duration::try_from_secs_f64((ends - from).min(LONGEST_LIFE.as_secs_f64()))
            .ok()
            .filter(|left| !left.is_zero())
    };
    #[allow(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 stay far below 2^52"
    )]
    let now = Timestamp::now().as_millisecond() as f64 / 1000.0;
    // A new token that has almost expired by the local clock is also a sign that the clock is wrong.
    Some(match (left(now), began.and_then(left)) {
        (Some(left), Some(whole)) if left < whole / 10 => whole,
        (Some(left), _) => left,
        (None, Some(whole)) => whole,
        (None, None) => LEAST_LIFE,
    })
}

#[cfg(test)]
mod tests;
