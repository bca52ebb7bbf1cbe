//! Sessions of signed-in visitors. A session exists only in a cookie, which is made from an admin token.
//!
//! The cookie is signed with a key that is derived from the token, so every instance can check it, and it becomes
//! invalid when the token is rotated. Its contents are not secret: the token's name, the times at which it was made and
//! last used, and a random number.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use lru::LruCache;
use sha2::Sha256;

use crate::admin::{Caller, Tokens};
use crate::config::Console;

/// The number of signed-out sessions that are remembered; the oldest are forgotten first. A session also expires by
/// itself.
const SIGNED_OUT: usize = 10_000;
/// A cookie is renewed when its time of last use is older than this.
const RENEW_AFTER: Duration = Duration::from_secs(60);

/// The session of a signed-in visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// The token's name.
    name: String,
    /// When the session began, in Unix seconds.
    since: i64,
    seen: i64,
    number: u128,
}

/// The settings and the signed-out sessions with which cookies are checked. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    settings: Console,
    /// Whether the listener speaks HTTPS.
    is_secure: bool,
    signed_out: Arc<Mutex<LruCache<u128, ()>>>,
}

impl Sessions {
    pub(super) fn new(settings: Console, is_secure: bool) -> Self {
        let most = NonZeroUsize::new(SIGNED_OUT).unwrap_or(NonZeroUsize::MIN);
        Self {
            settings,
            is_secure,
            signed_out: Arc::new(Mutex::new(LruCache::new(most))),
        }
    }

    /// The cookie's name. Its prefix makes browsers refuse the cookie if another host has set it, or if it was set
    /// without encryption.
    fn cookie(&self) -> &'static str {
        if self.is_secure {
            "__Host-suki"
        } else {
            "suki"
        }
    }

    /// Begins a session.
    pub(super) fn begin(&self, name: &str, now: Timestamp) -> Session {
        Session {
            name: name.to_owned(),
            since: now.as_second(),
            seen: now.as_second(),
            number: rand::random(),
        }
    }

    /// The session in the cookie of a request, if it is valid, and its caller.
    pub(super) fn find(
        &self,
        headers: &HeaderMap,
        tokens: &Tokens,
        now: Timestamp,
    ) -> Option<(Session, Caller)> {
        let session = Session::read(cookie(headers, self.cookie())?, tokens)?;
        let age =
            |since: i64| Duration::from_secs(u64::try_from(now.as_second() - since).unwrap_or(0));
        let is_over = age(session.since) >= self.settings.max_session
            || age(session.seen) >= self.settings.idle_timeout;
        let mut signed_out = self
            .signed_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if is_over || signed_out.get(&session.number).is_some() {
            return None;
        }
        let (_, caller) = tokens.named(&session.name)?;
        Some((session, caller.clone()))
    }

    /// The header that renews a session's cookie, if a renewal is due.
    pub(super) fn renewed(
        &self,
        session: &Session,
        tokens: &Tokens,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let unused = now.as_second() - session.seen;
        if unused < i64::try_from(RENEW_AFTER.as_secs()).unwrap_or(0) {
            return None;
        }
        let session = Session {
            seen: now.as_second(),
            ..session.clone()
        };
        self.header(&session, tokens)
    }

    /// The header that sets a session's cookie.
    pub(super) fn header(&self, session: &Session, tokens: &Tokens) -> Option<HeaderValue> {
        let value = session.write(tokens)?;
        self.set(&value, self.settings.max_session.as_secs())
    }

    /// Ends a session, and returns the header that removes its cookie.
    pub(super) fn end(&self, session: &Session) -> Option<HeaderValue> {
        let mut signed_out = self
            .signed_out
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        signed_out.put(session.number, ());
        self.set("", 0)
    }

    /// How long a session lasts without a request.
    pub(super) fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout
    }

    fn set(&self, value: &str, seconds: u64) -> Option<HeaderValue> {
        let name = self.cookie();
        let secure = if self.is_secure { "; Secure" } else { "" };
        let header =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
        HeaderValue::from_str(&header).ok()
    }
}

impl Session {
    fn read(value: &str, tokens: &Tokens) -> Option<Self> {
        let (signed, signature) = value.rsplit_once('.')?;
        let mut parts = signed.split('.');
        let name = BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let session = Self {
            name: String::from_utf8(name).ok()?,
            since: parts.next()?.parse().ok()?,
            seen: parts.next()?.parse().ok()?,
            number: u128::from_str_radix(parts.next()?, 16).ok()?,
        };
        let signature = hex::decode(signature).ok()?;
        session
            .signer(signed, tokens)?
            .verify_slice(&signature)
            .is_ok()
            .then_some(session)
    }

    fn write(&self, tokens: &Tokens) -> Option<String> {
        let name = BASE64_URL_SAFE_NO_PAD.encode(&self.name);
        let signed = format!("{name}.{}.{}.{:032x}", self.since, self.seen, self.number);
        let signature = self.signer(&signed, tokens)?.finalize().into_bytes();
        Some(format!("{signed}.{}", hex::encode(signature)))
    }

    fn signer(&self, signed: &str, tokens: &Tokens) -> Option<Hmac<Sha256>> {
        let (hash, _) = tokens.named(&self.name)?;
        let mut key = Hmac::<Sha256>::new_from_slice(&hash).ok()?;
        key.update(b"console session");
        let mut signer = Hmac::<Sha256>::new_from_slice(&key.finalize().into_bytes()).ok()?;
        signer.update(signed.as_bytes());
        Some(signer)
    }
}

/// The value of the cookie with this name.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AdminToken, Role, Secret};

    fn tokens(secret: &str) -> Tokens {
        Tokens::new(&[AdminToken {
            name: "ann".to_owned(),
            role: Role::Viewer,
            sink: None,
            secret: Secret::literal(secret),
        }])
    }

    fn with(cookie: &HeaderValue) -> HeaderMap {
        let cookie = cookie.to_str().expect("text");
        let pair = cookie.split(';').next().expect("a pair");
        HeaderMap::from_iter([(
            header::COOKIE,
            HeaderValue::from_str(pair).expect("a value"),
        )])
    }

    fn after(now: Timestamp, seconds: i64) -> Timestamp {
        Timestamp::from_second(now.as_second() + seconds).expect("a time")
    }

    #[test]
    fn a_session_stands_until_it_is_idle_old_signed_out_or_its_token_is_rotated() {
        let (sessions, known) = (Sessions::new(Console::default(), false), tokens("one"));
        let now = Timestamp::now();
        let session = sessions.begin("ann", now);
        let headers = with(&sessions.header(&session, &known).expect("a cookie"));
        let found = |headers: &HeaderMap, tokens: &Tokens, at| {
            let found = sessions.find(headers, tokens, at);
            found.map(|(_, caller)| caller.name)
        };
        assert_eq!(found(&headers, &known, now).as_deref(), Some("ann"));
        assert_eq!(found(&headers, &known, after(now, 30 * 60)), None, "idle");
        assert_eq!(found(&headers, &tokens("two"), now), None, "rotated");
        let mut used = session.clone();
        used.seen = after(now, 12 * 3600 - 1).as_second();
        let headers = with(&sessions.header(&used, &known).expect("a cookie"));
        assert!(found(&headers, &known, after(now, 12 * 3600 - 1)).is_some());
        assert_eq!(found(&headers, &known, after(now, 12 * 3600)), None, "old");
        sessions.end(&session);
        assert_eq!(found(&headers, &known, now), None, "signed out");
    }

    #[test]
    fn what_a_cookie_holds_cannot_be_changed() {
        let (sessions, known) = (Sessions::new(Console::default(), true), tokens("one"));
        let session = sessions.begin("ann", Timestamp::now());
        let cookie = sessions.header(&session, &known).expect("a cookie");
        let cookie = cookie.to_str().expect("text");
        assert!(
            cookie.starts_with("__Host-suki=") && cookie.ends_with("; Secure"),
            "{cookie}"
        );
        let later = cookie.replace(&format!(".{}.", session.since), ".1.");
        let headers = with(&HeaderValue::from_str(&later).expect("a value"));
        assert!(sessions.find(&headers, &known, Timestamp::now()).is_none());
    }
}
