//! Made-up events, one of each type that a sink gets. Its template must render them before anything is delivered.

use bytes::Bytes;
use jiff::Timestamp;

use super::{CloudEvent, Unrenderable};
use crate::config::SinkConfig;
use crate::domain::{
    Document, EncounterId, EventId, LinkGroup, Outcome, Resource, Sequence, SessionId, Source,
};
use crate::lifecycle::{Alert, AlertChange, AlertStatus};

/// The instance name in the samples.
const INSTANCE: &str = "sample";

/// A sample of each type of event that this sink gets, with its description.
///
/// # Errors
/// When a sample cannot be rendered.
pub(super) fn of(sink: &SinkConfig) -> Result<Vec<(String, CloudEvent)>, Unrenderable> {
    let mut samples = Vec::new();
    for outcome in &sink.events {
        let event = CloudEvent::of(&document(*outcome), sink.include, (INSTANCE, None))?;
        samples.push((format!("a session that is {outcome}"), event));
    }
    if sink.alerts {
        for status in [AlertStatus::Raised, AlertStatus::Resolved] {
            let event = CloudEvent::of_alert(&alert(status), INSTANCE);
            samples.push(("an alert".to_owned(), event));
        }
    }
    if sink.canary {
        let event = CloudEvent::of_canary(12, INSTANCE);
        samples.push(("a synthetic notification".to_owned(), event));
    }
    Ok(samples)
}

fn document(outcome: Outcome) -> Document {
    let is_completed = outcome == Outcome::Completed;
    let status = match outcome {
        Outcome::Completed => Some("success"),
        Outcome::Failed => Some("failure"),
        Outcome::TimedOut | Outcome::Cancelled | Outcome::Skipped | Outcome::Unknown => None,
    };
    let (session, encounter) = ("sample-session", "sample-encounter");
    let notification = serde_json::json!({
        "session_id": session, "encounter_id": encounter, "status": status,
        "error_code": (outcome == Outcome::Failed).then_some("sample_error"),
    });
    let note = serde_json::json!({"summary": [
        {"title": "ASSESSMENT AND PLAN", "loinc_code": "18776-5", "content": "A sample."},
    ]});
    let resource = Resource {
        group: LinkGroup::new("contents"),
        href: "/api/v1/ambient/session/sample-session/content".to_owned(),
        http_status: 200,
        fetched_at: Timestamp::UNIX_EPOCH,
        body: Bytes::from(note.to_string()),
    };
    Document {
        id: EventId::of_content(session.as_bytes()),
        received_at: Timestamp::UNIX_EPOCH,
        session_id: SessionId::new(session).expect("an id"),
        encounter_id: EncounterId::new(encounter),
        status: status.map(str::to_owned),
        outcome,
        error_code: (outcome == Outcome::Failed).then(|| "sample_error".to_owned()),
        session_status: is_completed.then(|| "completed".to_owned()),
        source: Source::Webhook,
        revision: 1,
        replaces: None,
        stale: false,
        notification: Some(Bytes::from(notification.to_string())),
        expected: None,
        sequence: Some(Sequence {
            session: 1,
            encounter: Some(1),
        }),
        resources: is_completed.then_some(resource).into_iter().collect(),
        missing: Vec::new(),
    }
}

fn alert(status: AlertStatus) -> AlertChange {
    AlertChange {
        alert: Alert::SinkExhausted,
        about: "sample".to_owned(),
        status,
        message: "a sample".to_owned(),
        since: Timestamp::UNIX_EPOCH,
    }
}
