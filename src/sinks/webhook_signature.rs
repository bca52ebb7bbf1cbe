//! Signatures of Standard Webhooks: `v1,base64(HMAC-SHA-256(key, "id.timestamp.body"))`, one for each key.
//!
//! Implements the scheme of <https://www.standardwebhooks.com>; a test checks it against the published example.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::NamedSecret;

/// The keys that sign deliveries. During a rotation there are several, so that the receiver may know any of them.
#[derive(Clone)]
pub struct SigningKeys(Vec<Hmac<Sha256>>);

impl SigningKeys {
    /// Makes keys from secrets: base64 after `whsec_`, or else the bytes as they are.
    ///
    /// # Errors
    /// Names the secret whose base64 is invalid.
    pub fn new(secrets: &[NamedSecret]) -> Result<Self, String> {
        secrets.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// The `webhook-signature` header's value, or `None` without keys.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        let signatures: Vec<String> = self
            .0
            .iter()
            .map(|key| {
                let mut mac = key.clone();
                mac.update(format!("{id}.{timestamp}.").as_bytes());
                mac.update(body);
                format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
            })
            .collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKeys({} [redacted])", self.0.len())
    }
}

fn key(secret: &NamedSecret) -> Result<Hmac<Sha256>, String> {
    let text = secret.secret.expose();
    let bytes = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD.decode(encoded).map_err(|_| {
            format!(
                "secret '{}' starts with whsec_ but the rest is not base64",
                secret.id
            )
        })?,
        None => text.as_bytes().to_vec(),
    };
    Ok(Hmac::new_from_slice(&bytes).expect("HMAC takes a key of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn keys(secrets: &[&str]) -> Result<SigningKeys, String> {
        let named = |secret: &&str| NamedSecret {
            id: "test".to_owned(),
            secret: Secret::literal(*secret),
        };
        SigningKeys::new(&secrets.iter().map(named).collect::<Vec<_>>())
    }

    #[test]
    fn the_published_example_comes_out() {
        let keys = keys(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).expect("a key");
        let signature = keys.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signature.as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn during_a_rotation_there_is_a_signature_for_each_key() {
        let both = keys(&["old", "new"])
            .expect("keys")
            .sign("id", 1, b"body")
            .expect("signed");
        let signatures: Vec<_> = both.split(' ').collect();
        assert_eq!(signatures.len(), 2);
        assert_ne!(signatures[0], signatures[1]);
        assert_eq!(keys(&[]).expect("no keys").sign("id", 1, b"body"), None);
    }

    #[test]
    fn broken_base64_is_named_and_not_shown() {
        let error = keys(&["whsec_!!secret!!"]).expect_err("broken");
        assert!(
            error.contains("'test'") && !error.contains("!!secret!!"),
            "{error}"
        );
    }
}
