//! The vendor's tokens: JWTs that its JWKS verifies. A token is valid if it was issued here and has not expired.
//!
//! This file does not decide who may have a token.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::Clock;

/// The id of the vendor's key (docs/VENDOR.md, "Tokens").
const KEY_ID: &str = "sdp-pub";

/// The signing key, generated once for all simulators of a process because that takes long. Each simulator accepts only
/// the tokens that it has issued.
static SIGNING_KEY: LazyLock<EncodingKey> = LazyLock::new(generate_key);

/// The tokens of one simulator.
pub(super) struct Tokens {
    lifetime: Duration,
    clock: Clock,
    /// The issued tokens.
    issued: Mutex<HashMap<String, Issued>>,
    /// The number of issued tokens of each user.
    counts: Mutex<HashMap<String, usize>>,
}

/// The user of a token, and its expiry.
struct Issued {
    user: String,
    until: Instant,
}

impl Tokens {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            clock: Clock::start(),
            issued: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Issues a token for a user.
    ///
    /// # Errors
    /// When signing fails, which does not happen with the generated key.
    pub(super) fn issue(&self, user: &str) -> Result<String, jsonwebtoken::errors::Error> {
        let now = self.clock.now().as_second();
        let claims = json!({
            "iss": "suki-sdp",
            "sub": user,
            "iat": now,
            "exp": now.saturating_add_unsigned(self.lifetime.as_secs()),
            "jti": Uuid::now_v7().to_string(),
        });
        let header = Header {
            kid: Some(KEY_ID.to_owned()),
            ..Header::new(Algorithm::RS256)
        };
        let token = jsonwebtoken::encode(&header, &claims, &SIGNING_KEY)?;
        *self.counts().entry(user.to_owned()).or_default() += 1;
        let mut issued = self.issued();
        let start = Instant::now();
        issued.retain(|_, issued| issued.until > start);
        let (user, until) = (user.to_owned(), start + self.lifetime);
        issued.insert(token.clone(), Issued { user, until });
        Ok(token)
    }

    /// The user of a token, if it was issued here and is still valid.
    pub(super) fn user_of(&self, token: &str) -> Option<String> {
        let issued = self.issued();
        let issued = issued.get(token)?;
        (issued.until > Instant::now()).then(|| issued.user.clone())
    }

    /// The number of tokens that were issued for a user.
    pub(super) fn count_of(&self, user: &str) -> usize {
        self.counts().get(user).copied().unwrap_or_default()
    }

    /// Invalidates all tokens issued so far.
    pub(super) fn revoke_all(&self) {
        self.issued().clear();
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<String, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The user of a partner token: the `sub` of a JWT, else the text itself. The signature is not checked.
pub(super) fn user_of_partner_token(token: &str) -> String {
    let subject = || {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&payload).ok()?;
        claims.get("sub")?.as_str().map(str::to_owned)
    };
    subject().unwrap_or_else(|| token.to_owned())
}

/// The public keys that verify the tokens.
///
/// # Errors
/// When the key has no public part, which the generated key always has.
pub(super) fn jwks() -> Result<JwkSet, jsonwebtoken::errors::Error> {
    let mut key = Jwk::from_encoding_key(&SIGNING_KEY, Algorithm::RS256)?;
    key.common.key_id = Some(KEY_ID.to_owned());
    key.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(JwkSet { keys: vec![key] })
}

fn generate_key() -> EncodingKey {
    let key = KeyPair::generate(KeySize::Rsa2048).expect("the system gives random numbers");
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("a new key can be written");
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    EncodingKey::from_rsa_pem(pem.as_bytes()).expect("the text just written is a key")
}
