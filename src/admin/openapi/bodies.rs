//! Schemas of the request bodies that [`registration`](super::super::registration) parses field by field, for the
//! description. A test compares the names of the fields.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::words;

/// The registration of a session that the partner's software has begun.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct NewSession {
    /// Suki's id of the session. If it is left out, the service makes one, which must then be passed to Suki's SDK.
    #[schema(min_length = 1, max_length = 512, pattern = r"[^\s\u0085]")]
    session_id: Option<String>,
    /// The id of the session's encounter.
    #[schema(min_length = 1, max_length = 512, pattern = r"[^\s\u0085]")]
    encounter_id: Option<String>,
    /// The kind of session.
    #[schema(value_type = Option<words::NewKind>)]
    kind: Option<String>,
    /// The provider of the session, which determines the identity that reads it.
    #[schema(min_length = 1, max_length = 255, pattern = r"[^\s\u0085]")]
    provider: Option<String>,
    /// When the session started.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When the session ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// The time by which the session's notification should have come.
    #[schema(format = DateTime)]
    deadline: Option<String>,
    /// Data about patient, encounter and provider, which the sinks get with the note. At most 16 KiB. Clinical content.
    context: Option<Map<String, Value>>,
}

/// Changes to a session; at least one field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct SessionChange {
    /// When the session ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// The provider of the session.
    #[schema(min_length = 1, max_length = 255, pattern = r"[^\s\u0085]")]
    provider: Option<String>,
    /// The time by which the session's notification should have come.
    #[schema(format = DateTime)]
    deadline: Option<String>,
}

/// One session, or a list of them.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) enum NewSessions {
    /// One session.
    One(Box<NewSession>),
    /// At most 1000 sessions.
    Many(Vec<NewSession>),
}
