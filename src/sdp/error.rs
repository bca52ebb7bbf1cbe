//! What an answer of the vendor's API means for the event: try again, or not (design: section 5; vendor.md 4).

use std::fmt;
use std::time::Duration;

/// A call that did not succeed. Its reason names a status and an error id and nothing of a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What to do about it.
    pub kind: Kind,
    /// The answer's status, when there was an answer.
    pub status: Option<u16>,
    /// How long the vendor asks to wait.
    pub after: Option<Duration>,
    /// What happened, for operators.
    pub reason: String,
}

/// What to do about a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Try again later: this resource is not ready.
    Retry,
    /// Try again later: the API as a whole is down, overloaded or does not let us in.
    Outage,
    /// Not found: not ready yet within a grace period, not there after it.
    NotFound,
    /// Never again: the answer is final.
    Final,
    /// Never again with this identity.
    Identity,
}

impl Failure {
    /// Whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        match self.kind {
            Kind::Retry | Kind::Outage | Kind::NotFound => true,
            Kind::Final | Kind::Identity => false,
        }
    }

    /// Whether it tells of the API as a whole rather than of one resource.
    pub fn is_outage(&self) -> bool {
        self.kind == Kind::Outage
    }

    /// A call without an answer.
    pub(super) fn unreachable(reason: impl Into<String>) -> Self {
        Self {
            kind: Kind::Outage,
            status: None,
            after: None,
            reason: reason.into(),
        }
    }

    /// An answer that is no success.
    pub(super) fn of_status(status: u16, error_id: Option<&str>, after: Option<Duration>) -> Self {
        let reason = match error_id {
            Some(id) => format!("HTTP {status} {id}"),
            None => format!("HTTP {status}"),
        };
        Self {
            kind: kind(status, error_id),
            status: Some(status),
            after,
            reason,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The table of vendor.md 4.2 and 4.3.
fn kind(status: u16, error_id: Option<&str>) -> Kind {
    match (status, error_id) {
        (401, Some("provider_not_registered")) | (403, _) => Kind::Identity,
        // The user must be activated first; until then each attempt fails alike.
        (412, Some("provider_user_inactive")) => Kind::Identity,
        (404, _) => Kind::NotFound,
        (409 | 412 | 425, _) => Kind::Retry,
        (401 | 402 | 408 | 429 | 499 | 500..=599, _) => Kind::Outage,
        // A redirect is never followed; it may be a gateway's passing fault.
        (300..=399, _) => Kind::Retry,
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
            assert_eq!(kind(status, id), expected, "{status} {id:?}");
        }
    }
}
