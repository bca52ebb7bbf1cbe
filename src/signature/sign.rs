//! Signs as the vendor does: for the simulator, the load generator, the canary and `sign`.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(super) type HmacSha256 = Hmac<Sha256>;

/// The value of `X-API-Key` for a body sent at `generated_at` (decimal Unix milliseconds): lower-case hex.
pub fn sign(secret: &[u8], generated_at: &str, body: &[u8]) -> String {
    signature(keyed(secret), generated_at, body)
}

/// As [`sign`], with a MAC that was keyed before.
pub(super) fn signature(mut mac: HmacSha256, generated_at: &str, body: &[u8]) -> String {
    for part in [generated_at.as_bytes(), b":", body] {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}

pub(super) fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length")
}
