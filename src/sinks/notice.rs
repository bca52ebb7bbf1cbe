//! The events for sinks that concern no patient: alerts, and reports that a canary, the synthetic notification, was
//! answered. They have the same envelope as a session's event.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use super::CloudEvent;
use super::texts::{always, datacontenttype, one_of, one_of_texts, specversion};
use crate::domain::EventId;
use crate::lifecycle::{Alert, AlertChange, AlertStatus};

/// The prefix of the event type.
const PREFIX: &str = "ai.suki.receiver";

/// The name in the event type of a canary report.
const CANARY: &str = "canary";

/// An alert as a sink gets it: a CloudEvents 1.0 object. `id` is the idempotency key.
#[derive(Serialize, ToSchema)]
pub(super) struct Notice<'a> {
    data: Data<'a>,
    /// The media type of `data`.
    #[schema(schema_with = datacontenttype)]
    datacontenttype: &'static str,
    /// The event's id; the same for every delivery of this event.
    #[schema(format = "uuid")]
    id: String,
    /// `suki-receiver/` and the name of the instance.
    #[schema(pattern = "^suki-receiver/")]
    source: String,
    /// The version of CloudEvents.
    #[schema(schema_with = specversion)]
    specversion: &'static str,
    /// Which sink or listener the alert is about; absent if it is about the whole service.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    /// When the event was made.
    #[schema(format = DateTime)]
    time: String,
    /// `ai.suki.receiver.` and the name of the alert, or `canary`.
    #[schema(schema_with = types)]
    r#type: String,
}

/// What happened.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = NoticeData)]
enum Data<'a> {
    /// An alert was raised or resolved.
    Alert {
        /// Which sink or listener the alert is about; null if it is about the whole service.
        #[schema(required)]
        about: Option<&'a str>,
        /// The name of the instance.
        instance: &'a str,
        /// Identifies the alert: the same for every repetition, and from every instance.
        key: String,
        /// The alert in a sentence.
        message: &'a str,
        /// When it was raised.
        #[schema(format = DateTime)]
        since: String,
        /// Whether the alert was raised or resolved.
        #[schema(schema_with = statuses)]
        status: &'static str,
    },
    /// The canary was answered.
    Canary {
        /// The name of the instance.
        instance: &'a str,
        /// Always `answered`.
        #[schema(schema_with = answered)]
        status: &'static str,
        /// The time from sending to the answer.
        took_ms: u64,
    },
}

fn types() -> Schema {
    let names = Alert::ALL.iter().map(|alert| alert.as_str());
    let types = names.chain([CANARY]).map(notice_type);
    one_of_texts(types.collect())
}

fn statuses() -> Schema {
    one_of(AlertStatus::ALL.iter().map(|status| status.as_str()))
}

fn answered() -> Schema {
    always("answered")
}

fn notice_type(name: &str) -> String {
    format!("{PREFIX}.{name}")
}

impl CloudEvent {
    /// The event of an alert. Its id is derived from its content, so the same id is sent when it is delivered again,
    /// even by a later process.
    pub fn of_alert(change: &AlertChange, instance: &str) -> Self {
        let about = (!change.about.is_empty()).then_some(change.about.as_str());
        let status = change.status.as_str();
        let key = change.key();
        let data = Data::Alert {
            about,
            key: key.clone(),
            instance,
            message: &change.message,
            since: change.since.to_string(),
            status,
        };
        let said = format!("{key}\0{status}\0{}", change.since);
        let id = EventId::of_content(said.as_bytes());
        notice(id, change.alert.as_str(), about, data, instance)
    }

    /// The event that reports a canary's answer, `took_ms` after it was sent.
    pub fn of_canary(took_ms: u64, instance: &str) -> Self {
        let data = Data::Canary {
            instance,
            status: "answered",
            took_ms,
        };
        notice(EventId::generate(), CANARY, None, data, instance)
    }
}

fn notice(
    id: EventId,
    name: &str,
    subject: Option<&str>,
    data: Data<'_>,
    instance: &str,
) -> CloudEvent {
    let now = Timestamp::now();
    let notice = Notice {
        data,
        datacontenttype: "application/json",
        id: id.to_string(),
        source: format!("suki-receiver/{instance}"),
        specversion: "1.0",
        subject,
        time: now.to_string(),
        r#type: notice_type(name),
    };
    let envelope = serde_json::to_vec(&notice).expect("texts and numbers are JSON");
    CloudEvent {
        id,
        received_at: now,
        envelope: Bytes::from(envelope),
    }
}
