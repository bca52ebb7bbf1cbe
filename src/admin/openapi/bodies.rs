//! The bodies of requests that are read field by field, as the description shows them. They are read in
//! [`registration`](super::super::registration); a test compares the names.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::words;

/// What the partner's software says of a session that it has begun.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct NewSession {
    /// Suki's id of the session. Where it is left out, one is made here, to be given to Suki's SDK.
    #[schema(min_length = 1, max_length = 512)]
    session_id: Option<String>,
    /// Its encounter.
    #[schema(min_length = 1, max_length = 512)]
    encounter_id: Option<String>,
    /// Its kind.
    #[schema(value_type = Option<words::NewKind>)]
    kind: Option<String>,
    /// Whose session it is: chooses the identity that reads it.
    #[schema(min_length = 1, max_length = 255, pattern = r"\S")]
    provider: Option<String>,
    /// When it started.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// By when its notification should have come.
    #[schema(format = DateTime)]
    deadline: Option<String>,
    /// What is known of patient, encounter and provider, handed to the sinks with the note. At most 16 KiB. Clinical content.
    context: Option<Map<String, Value>>,
}

/// What has become known of a session; at least one field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) struct SessionChange {
    /// When it ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Whose session it is.
    #[schema(min_length = 1, max_length = 255, pattern = r"\S")]
    provider: Option<String>,
    /// By when its notification should have come.
    #[schema(format = DateTime)]
    deadline: Option<String>,
}

/// One session, or a list of them.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described")]
pub(in crate::admin) enum NewSessions {
    /// One.
    One(Box<NewSession>),
    /// At most 1000 of them.
    Many(Vec<NewSession>),
}
