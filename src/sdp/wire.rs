//! The vendor's JSON, as far as it is looked into. Everything is optional, nothing unknown is refused: additions come
//! without notice (vendor.md 2.6).

use serde::{Deserialize, Serialize};

/// Body of `POST /api/v1/auth/login` (vendor.md 3.2).
#[derive(Serialize)]
pub(super) struct Login<'a> {
    pub(super) partner_id: &'a str,
    pub(super) partner_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider_id: Option<&'a str>,
}

/// Answer to a login.
#[derive(Deserialize)]
pub(super) struct LoggedIn {
    pub(super) suki_token: Option<String>,
}

/// Answer of a status endpoint (vendor.md 2.3).
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) status: Option<String>,
}

/// Any error's body (vendor.md 2.6): `message` is an id, or `id: details`.
#[derive(Deserialize)]
struct Problem {
    message: Option<String>,
}

/// The part of a JWT that is looked into.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) exp: Option<i64>,
}

/// The error id in an error's body. What does not look like an id is left out, since it could say anything.
pub(super) fn error_id(body: &[u8]) -> Option<String> {
    let message = serde_json::from_slice::<Problem>(body).ok()?.message?;
    let id = message.split(':').next().unwrap_or_default().trim();
    let is_id = (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_id.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_id_is_taken_exact_or_before_a_colon_and_nothing_else_is() {
        assert_eq!(
            error_id(br#"{"code":401,"message":"invalid_sdp_token"}"#).as_deref(),
            Some("invalid_sdp_token")
        );
        assert_eq!(
            error_id(br#"{"message":"sbac_denied: org 7"}"#).as_deref(),
            Some("sbac_denied")
        );
        assert_eq!(error_id(br#"{"message":"Mrs Smith is not here"}"#), None);
        assert_eq!(error_id(b"<html>"), None);
    }
}
