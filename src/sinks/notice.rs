//! What sinks get that is of no patient: alerts, and word that the synthetic notification came through. The same envelope as
//! a session's.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Delivery;
use crate::domain::EventId;
use crate::lifecycle::{AlertChange, AlertStatus};

/// What stands before the name of what happened.
const PREFIX: &str = "ai.suki.receiver";

impl Delivery {
    /// Word of an alert. Its id follows from what it says: the same one comes when it is delivered again, by a later process
    /// too.
    pub fn of_alert(change: &AlertChange, instance: &str) -> Self {
        let status = match change.status {
            AlertStatus::Raised => "raised",
            AlertStatus::Resolved => "resolved",
        };
        let about = (!change.about.is_empty()).then_some(&change.about);
        let data = json!({
            "key": change.key(),
            "status": status,
            "message": change.message,
            "about": about,
            "since": change.since.to_string(),
            "instance": instance,
        });
        let said = format!("{}\0{status}\0{}", change.key(), change.since);
        let id = EventId::of_content(said.as_bytes());
        notice(id, change.alert.as_str(), about, &data, instance)
    }

    /// Word that the synthetic notification came through, `took_ms` after it was sent.
    pub fn of_canary(took_ms: u64, instance: &str) -> Self {
        let data = json!({"status": "answered", "took_ms": took_ms, "instance": instance});
        notice(EventId::generate(), "canary", None, &data, instance)
    }
}

fn notice(
    id: EventId,
    name: &str,
    subject: Option<&String>,
    data: &Value,
    instance: &str,
) -> Delivery {
    let now = Timestamp::now();
    let mut envelope = json!({
        "specversion": "1.0",
        "id": id.to_string(),
        "source": format!("suki-receiver/{instance}"),
        "type": format!("{PREFIX}.{name}"),
        "time": now.to_string(),
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(subject) = subject {
        envelope["subject"] = subject.clone().into();
    }
    Delivery {
        id,
        received_at: now,
        envelope: Bytes::from(envelope.to_string()),
    }
}
