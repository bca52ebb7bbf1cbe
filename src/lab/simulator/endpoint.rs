//! The simulated endpoints: a table of names and paths that routing, faults and the record of calls share.
//!
//! The answers of the endpoints are in `api`.

use std::fmt;
use std::str::FromStr;

/// One endpoint of the vendor's API (docs/VENDOR.md, "Endpoints").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Exchanges a partner's token for one of the vendor's.
    Login,
    /// The vendor's public keys.
    Jwks,
    /// The state of an ambient session.
    Status,
    /// The note of an ambient session.
    Content,
    /// The transcript of an ambient session.
    Transcript,
    /// The structured data of an ambient session.
    StructuredData,
    /// The recordings of a session of either kind: the vendor has only the ambient path.
    Recording,
    /// The note of an encounter.
    EncounterContent,
    /// The structured data of an encounter.
    EncounterStructuredData,
    /// The state of a form-filling session.
    FormStatus,
    /// The structured data of a form-filling session.
    FormStructuredData,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 11] = [
        Self::Login,
        Self::Jwks,
        Self::Status,
        Self::Content,
        Self::Transcript,
        Self::StructuredData,
        Self::Recording,
        Self::EncounterContent,
        Self::EncounterStructuredData,
        Self::FormStatus,
        Self::FormStructuredData,
    ];

    /// The endpoint's name in a fault.
    pub fn as_str(self) -> &'static str {
        self.name_and_path().0
    }

    /// The endpoint's path in axum's notation.
    pub fn path(self) -> &'static str {
        self.name_and_path().1
    }

    /// The endpoint with this path in axum's notation.
    pub(super) fn of_matched(path: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.path() == path)
    }

    fn name_and_path(self) -> (&'static str, &'static str) {
        match self {
            Self::Login => ("login", "/api/v1/auth/login"),
            Self::Jwks => ("jwks", "/api/auth/.well-known/jwks-pub.json"),
            Self::Status => ("status", "/api/v1/ambient/session/{id}/status"),
            Self::Content => ("content", "/api/v1/ambient/session/{id}/content"),
            Self::Transcript => ("transcript", "/api/v1/ambient/session/{id}/transcript"),
            Self::StructuredData => (
                "structured-data",
                "/api/v1/ambient/session/{id}/structured-data",
            ),
            Self::Recording => ("recording", "/api/v1/ambient/session/{id}/recording"),
            Self::EncounterContent => (
                "encounter-content",
                "/api/v1/ambient/encounter/{id}/content",
            ),
            Self::EncounterStructuredData => (
                "encounter-structured-data",
                "/api/v1/ambient/encounter/{id}/structured-data",
            ),
            Self::FormStatus => (
                "form-filling-status",
                "/api/v1/form-filling/session/{id}/status",
            ),
            Self::FormStructuredData => (
                "form-filling-structured-data",
                "/api/v1/form-filling/session/{id}/structured-data",
            ),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|endpoint| endpoint.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                format!("unknown endpoint '{text}'; expected any, {names}")
            })
    }
}
