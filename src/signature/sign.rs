//! Signs as the vendor does: for the simulator, the load generator and `sign`.

use hmac::Mac;

use super::secrets::keyed;

/// The value of `X-API-Key` for a body sent at `generated_at` (decimal Unix milliseconds): lower-case hex.
pub fn sign(secret: &[u8], generated_at: &str, body: &[u8]) -> String {
    let mut mac = keyed(secret);
    mac.update(generated_at.as_bytes());
    mac.update(b":");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}
