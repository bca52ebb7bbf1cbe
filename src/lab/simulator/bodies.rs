//! The bodies of notifications in the vendor's form (docs/VENDOR.md, "Links"): alphabetical keys, relative links.
//!
//! The caller supplies the source of randomness, so the same source gives the same body.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use uuid::Builder;

use super::{Kind, Session};

/// The characters that are percent-encoded in a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Makes bodies with relative links. If there is a base, some links are absolute.
#[derive(Debug, Clone, Default)]
pub(super) struct Bodies {
    base: Option<String>,
}

impl Bodies {
    pub(super) fn below(base: impl Into<String>) -> Self {
        let base = base.into().trim_end_matches('/').to_owned();
        Self { base: Some(base) }
    }

    /// The body of a message that is no duplicate, and its session.
    pub(super) fn original(&self, kind: Kind, random: &mut StdRng) -> (Value, Session) {
        let id = uuid(random);
        let encounter = encounter_id(random);
        let session = match kind {
            Kind::FormFilling => Session::form_filling(&id),
            Kind::Failure | Kind::Timeout => Session::ambient(&id).with_status("failed"),
            Kind::Cancelled => Session::ambient(&id).with_status("aborted"),
            _ => Session::ambient(&id),
        };
        let body = match kind {
            Kind::FormFilling => {
                let links = self.form_filling_links(&id, random);
                return (
                    json!({ "_links": links, "session_id": id, "status": "success" }),
                    session,
                );
            }
            Kind::Failure => json!({
                "encounter_id": encounter,
                "error_code": "ERROR_CODE_TRANSCRIPTION",
                "error_detail": "Error in transcription",
                "session_id": id,
                "status": "failure",
            }),
            Kind::Timeout | Kind::Cancelled => {
                json!({ "encounter_id": encounter, "session_id": id })
            }
            Kind::NoLinks => {
                json!({ "encounter_id": encounter, "session_id": id, "status": "success" })
            }
            _ => json!({
                "_links": self.ambient_links(&id, &encounter, random),
                "additional_info": { "priority": if random.random_bool(0.2) { "high" } else { "normal" } },
                "encounter_id": encounter,
                "session_id": id,
                "sessions": if random.random_bool(0.5) { vec![id.clone()] } else { Vec::new() },
                "status": if kind == Kind::UnknownStatus { "needs_review" } else { "success" },
            }),
        };
        (body, session.in_encounter(encounter))
    }

    fn ambient_links(&self, id: &str, encounter: &str, random: &mut StdRng) -> Value {
        let session = format!("/api/v1/ambient/session/{id}");
        let encounter = format!("/api/v1/ambient/encounter/{}", encoded(encounter));
        let mut link = |of: &str, name: &str| self.link(&format!("{of}/{name}"), name, random);
        json!({
            "contents": [link(&session, "content")],
            "encounter_content": [link(&encounter, "content")],
            "encounter_structured_data": [link(&encounter, "structured-data")],
            "status": [link(&session, "status")],
            "structured_data": [link(&session, "structured-data")],
            "transcripts": [link(&session, "transcript")],
        })
    }

    fn form_filling_links(&self, id: &str, random: &mut StdRng) -> Value {
        let session = format!("/api/v1/form-filling/session/{id}");
        let mut link = |name: &str| self.link(&format!("{session}/{name}"), name, random);
        json!({ "status": [link("status")], "structured_data": [link("structured-data")] })
    }

    fn link(&self, path: &str, name: &str, random: &mut StdRng) -> Value {
        let is_absolute = random.random_bool(0.25);
        let base = self
            .base
            .as_deref()
            .filter(|_| is_absolute)
            .unwrap_or_default();
        json!({
            "href": format!("{base}{path}"),
            "method": "GET",
            "name": name.replace('-', "_"),
            "type": "application/json",
        })
    }
}

/// An id, percent-encoded for a path.
pub(super) fn encoded(id: &str) -> String {
    utf8_percent_encode(id, ENCODED).to_string()
}

/// The same body again: in the same bytes, with different white space, or with its keys in another order.
pub(super) fn rewritten(body: &Value, random: &mut StdRng) -> String {
    match random.random_range(0..3) {
        0 => body.to_string(),
        1 => format!("{body:#}\n"),
        _ => {
            let fields = body.as_object().into_iter().flatten().rev();
            let fields: Vec<_> = fields
                .map(|(key, value)| format!("{}:{value}", json!(key)))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
    }
}

/// A body that is no notification: cut off, not an object, or without a session.
pub(super) fn malformed(random: &mut StdRng) -> String {
    let id = uuid(random);
    match random.random_range(0..3) {
        0 => format!(r#"{{"session_id":"{id}","status":"succ"#),
        1 => json!([{ "session_id": id }]).to_string(),
        _ => json!({ "encounter_id": id, "status": "success" }).to_string(),
    }
}

fn uuid(random: &mut StdRng) -> String {
    Builder::from_random_bytes(random.random())
        .into_uuid()
        .to_string()
}

/// An encounter's id: usually a UUID, sometimes one of the free strings that the vendor allows (docs/VENDOR.md,
/// "Identifiers").
fn encounter_id(random: &mut StdRng) -> String {
    let id = uuid(random);
    if random.random_ratio(1, 8) {
        format!("visité {}/{}", &id[..8], &id[9..13])
    } else {
        id
    }
}
