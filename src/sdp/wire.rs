//! The parts of the vendor's JSON that are read. Every field is optional and unknown fields are accepted, because the
//! vendor adds fields without notice.

use std::fmt;

use serde::de::{self, DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};

use crate::domain::json;

/// The body of `POST /api/v1/auth/login`.
#[derive(Serialize)]
pub(super) struct Login<'a> {
    pub(super) partner_id: &'a str,
    pub(super) partner_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider_id: Option<&'a str>,
}

/// The answer to a login.
#[derive(Deserialize)]
pub(super) struct LoggedIn {
    pub(super) suki_token: Option<String>,
}

/// The answer of a status endpoint.
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) status: Option<String>,
}

/// The body of any error: `code` is a number, `message` is an id or `id: details`.
#[derive(Deserialize)]
struct Problem {
    code: Option<Number>,
    message: Option<String>,
}

/// The claims of a JWT that are read.
#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) exp: Option<Number>,
    pub(super) iat: Option<Number>,
}

/// Parses an answer. A byte order mark is skipped, and text that is not UTF-8 is accepted in fields that are not read.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_str(&json::readable(body).0).ok()
}

/// Whether an error's body has the vendor's shape, which distinguishes the API's own answers from those of gateways.
pub(super) fn is_problem(body: &[u8]) -> bool {
    read::<Problem>(body).is_some_and(|problem| problem.code.is_some() && problem.message.is_some())
}

/// An error in the body of a success status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    /// In the vendor's shape, with this code.
    Coded(u64),
    /// In another shape: a gateway wrote it.
    Foreign,
}

/// An object with nothing in it but an error.
#[derive(Default)]
struct BareError {
    code: Option<Value>,
    message: Option<Value>,
    has_error: bool,
}

impl<'de> Deserialize<'de> for BareError {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BareErrorVisitor)
    }
}

/// Stops at the first field that is not part of an error, which for content is its very first field.
struct BareErrorVisitor;

impl<'de> Visitor<'de> for BareErrorVisitor {
    type Value = BareError;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error alone")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<BareError, A::Error> {
        let mut error = BareError::default();
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "code" => error.code = fields.next_value()?,
                "message" => error.message = fields.next_value()?,
                "error" | "errors" => {
                    error.has_error |= fields.next_value::<Option<IgnoredAny>>()?.is_some();
                }
                "details" | "detail" | "error_description" | "statusCode" | "status_code"
                | "requestId" | "request_id" | "timestamp" => {
                    fields.next_value::<IgnoredAny>()?;
                }
                _ => return Err(de::Error::custom("more than an error")),
            }
        }
        Ok(error)
    }
}

/// Parses an object with nothing in it but an error. A code of 0 means that there is no error.
pub(super) fn bare_error(body: &[u8]) -> Option<Bare> {
    // A longer body is more than an error.
    let error: BareError = (body.len() <= 4096).then(|| read(body)).flatten()?;
    if error.message.is_none() && !error.has_error {
        return None;
    }
    let has_message = error.message.is_some_and(|text| text.is_string());
    match error.code.as_ref().and_then(Value::as_u64) {
        Some(0) => None,
        Some(code) if has_message => Some(Bare::Coded(code)),
        Some(_) | None => Some(Bare::Foreign),
    }
}

/// The error id in an error's body. Text that does not look like an id is left out, since it could be anything.
pub(super) fn error_id(body: &[u8]) -> Option<String> {
    let message = read::<Problem>(body)?.message?;
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

    #[test]
    fn only_an_error_alone_is_an_error_that_came_as_a_success() {
        for (body, expected) in [
            (
                r#"{"code":404,"message":"not found"}"#,
                Some(Bare::Coded(404)),
            ),
            (
                r#"{"message":"x","details":[],"code":5}"#,
                Some(Bare::Coded(5)),
            ),
            (r#"{"message":"Forbidden"}"#, Some(Bare::Foreign)),
            (
                r#"{"error":{"code":403,"message":"x"}}"#,
                Some(Bare::Foreign),
            ),
            (
                r#"{"code":"AccessDenied","message":"x"}"#,
                Some(Bare::Foreign),
            ),
            (r#"{"code":0,"message":"ok"}"#, None),
            (r#"{"code":404}"#, None),
            (r#"{"error":null}"#, None),
            (r#"{"code":404,"message":"x","summary":[]}"#, None),
            (r#"{"summary":[{"content":"rest"}]}"#, None),
            ("[]", None),
        ] {
            assert_eq!(bare_error(body.as_bytes()), expected, "{body}");
        }
    }
}
