//! What an answer of the vendor's API means for the event: whether to try again.

use std::fmt;
use std::time::Duration;

use super::wire::{self, Bare};
use crate::domain::{Cause, Reason, json};

/// A failed call. Its reason names a status and an error id, and no patient data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub kind: Kind,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// How long the vendor asks to wait.
    pub after: Option<Duration>,
    /// What happened, for operators.
    pub reason: String,
    /// The vendor's error id; `None` when the answer names none or comes from a gateway.
    pub(super) error_id: Option<String>,
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Try again later: this resource is not ready.
    Retry,
    /// Try again later: the API as a whole is down, overloaded, or refuses the login or token.
    Outage,
    /// Not found: within a grace period it may not be ready yet, after that it does not exist.
    NotFound,
    /// Never again: the answer is final.
    Final,
    /// Never again with this identity.
    Identity,
}

impl Failure {
    /// A failure without an error id, for which the vendor did not ask to wait.
    pub(crate) fn new(kind: Kind, status: Option<u16>, reason: impl Into<String>) -> Self {
        Self {
            kind,
            status,
            after: None,
            reason: reason.into(),
            error_id: None,
        }
    }

    /// The failure as a recorded reason.
    pub fn why(&self) -> Reason {
        let cause = match self.kind {
            Kind::Retry => Cause::FetchNotReady,
            Kind::Outage => Cause::FetchOutage,
            Kind::NotFound => Cause::FetchNotFound,
            Kind::Identity => Cause::FetchIdentity,
            // A call that was not made has no HTTP status.
            Kind::Final if self.status.is_none() => Cause::FetchRefusedLink,
            Kind::Final => Cause::FetchFinal,
        };
        Reason::new(cause, self.reason.clone()).answered(self.status)
    }

    /// Whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            Kind::Retry | Kind::Outage | Kind::NotFound => true,
            Kind::Final | Kind::Identity => false,
        }
    }

    /// Whether the API as a whole failed, and not one resource.
    pub fn is_outage(&self) -> bool {
        self.kind == Kind::Outage
    }

    /// Whether the API answered, and the answer is not an outage.
    pub fn is_of_the_api(&self) -> bool {
        self.status.is_some() && !self.is_outage()
    }

    /// Whether the call's token was refused; another token may be accepted.
    pub(super) fn is_token_refused(&self) -> bool {
        self.status == Some(401) && self.kind != Kind::Identity
    }

    /// If the refused token is accepted for other calls, the failure is not an outage of the API but a refusal of this
    /// one call.
    pub(super) fn of_this_call(self, is_good_elsewhere: bool) -> Self {
        if !is_good_elsewhere {
            return self;
        }
        Self {
            kind: Kind::Retry,
            reason: format!(
                "{}, with a token that is accepted for other calls",
                self.reason
            ),
            ..self
        }
    }

    /// Whether the vendor throttles this client.
    pub fn is_throttled(&self) -> bool {
        matches!(self.status, Some(402 | 429))
    }

    /// A call without an answer.
    pub(super) fn unreachable(reason: impl Into<String>) -> Self {
        Self::new(Kind::Outage, None, reason)
    }

    /// An answer that is not a success.
    pub(super) fn of_answer(status: u16, body: &[u8], after: Option<Duration>) -> Self {
        let (error_id, author) = (wire::error_id(body), Author::of(body));
        let kind = kind(status, error_id.as_deref(), author);
        let mut reason = match &error_id {
            Some(id) => format!("HTTP {status} {id}"),
            None => format!("HTTP {status}"),
        };
        let is_foreign =
            kind == Kind::Outage && (300..500).contains(&status) && author != Author::Api;
        if is_foreign {
            reason.push_str(FOREIGN);
        }
        Self {
            after,
            error_id: error_id.filter(|_| !is_foreign),
            ..Self::new(kind, Some(status), reason)
        }
    }

    /// The failure of a success status without content: its body is an error, or it says that there is no content yet.
    pub(super) fn of_success(status: u16, body: &[u8]) -> Option<Self> {
        let failure = |kind, reason: String| Self::new(kind, Some(status), reason);
        match (status, wire::bare_error(body)) {
            // 202 means accepted but not done; 206 is a part, which was not requested.
            (202 | 206, _) => {
                let reason = format!("HTTP {status}: not the whole content yet");
                Some(failure(Kind::Retry, reason))
            }
            (_, None) => None,
            (_, Some(Bare::Coded(code))) => Some(match u16::try_from(code) {
                Ok(said @ 400..=599) => {
                    let failure = Self::of_answer(said, body, None);
                    Self {
                        reason: format!("HTTP {status} with an error: {failure}"),
                        ..failure
                    }
                }
                _ => {
                    let reason = format!("HTTP {status} with an error: code {code}");
                    failure(Kind::Retry, reason)
                }
            }),
            (_, Some(Bare::Foreign)) => {
                let reason = format!("HTTP {status} with an error{FOREIGN}");
                Some(failure(Kind::Outage, reason))
            }
        }
    }

    /// The failure of a success status whose body is not JSON. Text that begins as JSON was truncated. Any other text,
    /// such as a sign-in page, comes from a gateway and not from the API.
    pub(super) fn not_json(status: u16, body: &[u8]) -> Self {
        let begins = json::without_bom(body).trim_ascii_start();
        let kind = match begins.first() {
            Some(b'{' | b'[') => Kind::Retry,
            _ => Kind::Outage,
        };
        Self::new(kind, Some(status), "the answer is not JSON")
    }

    /// A call that was not made, because no attempt could succeed.
    pub(super) fn not_called(reason: impl Into<String>) -> Self {
        Self::new(Kind::Final, None, reason)
    }
}

/// Appended to the reason when the answer is not the API's own.
const FOREIGN: &str = " (not an answer of the API itself; a gateway, firewall or proxy?)";

/// The author of an answer, judged by its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// The API: the body has the vendor's error shape.
    Api,
    /// A gateway or proxy: the body is a page or a line for people, whereas the API writes JSON.
    Gateway,
    /// Unknown.
    Unknown,
}

impl Author {
    fn of(body: &[u8]) -> Self {
        if !json::is_nothing(body) && !json::is_json(body) {
            Self::Gateway
        } else if wire::is_problem(body) {
            Self::Api
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The meaning of each status and error id. Only the API itself can give a final answer about a session. An answer
/// without the vendor's error shape counts if its status concerns the resource; otherwise it is an outage to be waited
/// out.
fn kind(status: u16, error_id: Option<&str>, author: Author) -> Kind {
    let speaks_of_resource = matches!(status, 404 | 409 | 410 | 412 | 422 | 425);
    let is_the_apis = match author {
        Author::Api => true,
        Author::Gateway => false,
        Author::Unknown => speaks_of_resource,
    };
    match (status, error_id) {
        _ if !is_the_apis => Kind::Outage,
        (401, Some("provider_not_registered")) | (403, _) => Kind::Identity,
        // The user must be activated first; until then every attempt fails in the same way.
        (412, Some("provider_user_inactive")) => Kind::Identity,
        (404, _) => Kind::NotFound,
        (409 | 412 | 425, _) => Kind::Retry,
        // 407 always comes from a proxy. A redirect is never followed; it may be a temporary fault of a gateway.
        (300..=399 | 401 | 402 | 407 | 408 | 429 | 499 | 500..=599, _) => Kind::Outage,
        _ => Kind::Final,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_consequence() {
        for (status, id, expected) in [
            (400, Some("invalid_request"), Kind::Final),
            (401, Some("invalid_sdp_token"), Kind::Outage),
            (401, Some("provider_not_registered"), Kind::Identity),
            (402, None, Kind::Outage),
            (403, Some("sbac_denied"), Kind::Identity),
            (404, None, Kind::NotFound),
            (408, None, Kind::Outage),
            (409, None, Kind::Retry),
            (410, None, Kind::Final),
            (412, None, Kind::Retry),
            (412, Some("provider_user_inactive"), Kind::Identity),
            (422, None, Kind::Final),
            (425, None, Kind::Retry),
            (429, None, Kind::Outage),
            (499, Some("request_cancelled"), Kind::Outage),
            (503, None, Kind::Outage),
        ] {
            assert_eq!(kind(status, id, Author::Api), expected, "{status} {id:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_the_apis_own_is_an_outage_and_no_verdict() {
        let page = b" <!DOCTYPE html><title>403</title>".as_slice();
        let waf = br#"{"message":"Forbidden"}"#.as_slice();
        for status in [
            302, 400, 401, 403, 405, 407, 411, 413, 421, 426, 431, 451, 503,
        ] {
            for body in [page, waf, b"", b"denied", br#"{"error":"x"}"#] {
                let failure = Failure::of_answer(status, body, None);
                assert_eq!(failure.kind, Kind::Outage, "{status} {body:?}");
            }
        }
        for (status, expected) in [
            (404, Kind::NotFound),
            (410, Kind::Final),
            (409, Kind::Retry),
        ] {
            for (body, expected) in [
                (page, Kind::Outage),
                (b"default backend - 404", Kind::Outage),
                (b"", expected),
                (waf, expected),
            ] {
                let failure = Failure::of_answer(status, body, None);
                assert_eq!(failure.kind, expected, "{status} {body:?}");
            }
        }
        let own = br#"{"code":401,"message":"provider_not_registered"}"#;
        let failure = Failure::of_answer(401, own, None);
        assert_eq!(failure.error_id.as_deref(), Some("provider_not_registered"));
        let gateways = br#"{"message":"provider_not_registered"}"#;
        assert_eq!(Failure::of_answer(401, gateways, None).error_id, None);
        let own = br#"{"code":403,"message":"sbac_denied: org 7"}"#;
        assert_eq!(Failure::of_answer(403, own, None).kind, Kind::Identity);
        assert_eq!(Failure::not_json(200, page).kind, Kind::Outage);
        assert_eq!(Failure::not_json(200, b"{").kind, Kind::Retry);
        assert_eq!(Failure::not_json(200, b"please sign in").kind, Kind::Outage);
    }

    #[test]
    fn a_success_that_brings_no_content_is_none() {
        let note = br#"{"summary":[{"content":"rest"}]}"#.as_slice();
        let waf = br#"{"message":"Forbidden"}"#.as_slice();
        let not_found = br#"{"code":404,"message":"not_found"}"#.as_slice();
        for (status, body, expected) in [
            (200, note, None),
            (203, note, None),
            (204, b"".as_slice(), None),
            (202, note, Some(Kind::Retry)),
            (206, note, Some(Kind::Retry)),
            (200, not_found, Some(Kind::NotFound)),
            (
                200,
                br#"{"code":403,"message":"sbac_denied"}"#,
                Some(Kind::Identity),
            ),
            (
                200,
                br#"{"code":500,"message":"internal server error"}"#,
                Some(Kind::Outage),
            ),
            (
                200,
                br#"{"code":5,"message":"x","details":[]}"#,
                Some(Kind::Retry),
            ),
            (200, waf, Some(Kind::Outage)),
        ] {
            let failure = Failure::of_success(status, body);
            assert_eq!(
                failure.map(|failure| failure.kind),
                expected,
                "{status} {body:?}"
            );
        }
    }
}
