//! The vendor's tokens: issued as JWTs that its JWKS verifies, checked against what was issued.
//!
//! Who may have one is not decided here.

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

/// Made once for all simulators of a process, since it takes long and they tell tokens apart by what they issued.
static SIGNING_KEY: LazyLock<EncodingKey> = LazyLock::new(generate_key);

/// The tokens of one simulator.
pub(super) struct Tokens {
    lifetime: Duration,
    clock: Clock,
    /// What was issued.
    issued: Mutex<HashMap<String, Issued>>,
    /// How many were issued for each user.
    counts: Mutex<HashMap<String, usize>>,
}

/// Who a token is for, and until when it holds.
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

    /// A new token for a user.
    ///
    /// # Errors
    /// When signing fails, which it does not with a key of our own.
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

    /// The user of a token that was issued here and still holds.
    pub(super) fn user_of(&self, token: &str) -> Option<String> {
        let issued = self.issued();
        let issued = issued.get(token)?;
        (issued.until > Instant::now()).then(|| issued.user.clone())
    }

    /// How many tokens were issued for a user.
    pub(super) fn count_of(&self, user: &str) -> usize {
        self.counts().get(user).copied().unwrap_or_default()
    }

    /// Ends every token given out so far.
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

/// Who a partner token is for: the `sub` of a JWT, else the text itself. Its signature is not looked at.
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
/// When the key has no public part, which ours has.
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
