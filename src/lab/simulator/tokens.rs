//! The vendor's tokens: issued as JWTs that its JWKS verifies, checked against what was issued.
//!
//! Who may have one is not decided here.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
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
    /// What was issued, and until when it holds.
    issued: Mutex<HashMap<String, Instant>>,
}

impl Tokens {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            clock: Clock::start(),
            issued: Mutex::default(),
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
        let mut issued = self.issued();
        let start = Instant::now();
        issued.retain(|_, until| *until > start);
        issued.insert(token.clone(), start + self.lifetime);
        Ok(token)
    }

    /// Whether the token was issued here and still holds.
    pub(super) fn is_valid(&self, token: &str) -> bool {
        self.issued()
            .get(token)
            .is_some_and(|until| *until > Instant::now())
    }

    /// Ends every token given out so far.
    pub(super) fn revoke_all(&self) {
        self.issued().clear();
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
