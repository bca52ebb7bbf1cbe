//! The vendor's signature: hex(HMAC-SHA-256(secret, `generated-at` + ":" + raw body)).
//!
//! Only this folder can make a [`Verified`], so a function that takes one can never be given unverified bytes.

mod claim;
mod secrets;
mod sign;
mod verify;

pub use claim::Claim;
pub use secrets::{SecretBytes, Secrets};
pub use sign::sign;
pub use verify::{SentBody, Verified, VerifyError, verify};

/// The header that holds the signature. The vendor chose its name; it does not hold a key.
pub const SIGNATURE_HEADER: &str = "x-api-key";

/// The header that holds the time of sending, in decimal Unix milliseconds. It is signed as received.
pub const GENERATED_AT_HEADER: &str = "generated-at";
