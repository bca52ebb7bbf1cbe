//! Alerts, of which an operator should be told at once. Each alert is raised once, however often its cause is seen, and
//! resolved once. An alert contains only counts and names from the configuration, and nothing about a patient or a
//! session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::domain::worded;

worded! {
    /// The kinds of alert. Sinks get each as the type `ai.suki.receiver.` followed by its word.
    Alert, "alert" {
        /// Sessions have ended whose notifications did not come.
        PushMissed = "push_missed",
        /// Events were given up and wait for an operator.
        DeadEvents = "dead_events",
        /// A sink's deliveries were given up.
        SinkExhausted = "sink_exhausted",
        /// The vendor's API does not let the service in.
        TokenRefused = "token_refused",
        /// A listener's certificate has ended or ends soon.
        CertificateEnding = "certificate_ending",
        /// A sink's target has not confirmed in time that it applied events.
        AppliedOverdue = "applied_overdue",
        /// The synthetic notification is not answered.
        CanarySilent = "canary_silent",
    }
}

worded! {
    /// Whether an alert is active.
    AlertStatus, "alert status" {
        /// The alert was raised and is active.
        Raised = "raised",
        /// The alert is not active any more.
        Resolved = "resolved",
    }
}

/// A change of an alert, to be reported to the sinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertChange {
    /// The kind.
    pub alert: Alert,
    /// The sink, listener or identity that the alert is about; empty for the service as a whole.
    pub about: String,
    /// Whether it was raised or resolved.
    pub status: AlertStatus,
    /// A sentence that describes the alert.
    pub message: String,
    /// When it was raised.
    pub since: Timestamp,
}

/// An active alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveAlert {
    /// The kind.
    pub alert: Alert,
    /// The sink, listener or identity that the alert is about; empty for the service as a whole.
    pub about: String,
    /// When it was raised.
    pub since: Timestamp,
    /// A sentence that describes the alert.
    pub message: String,
}

impl AlertChange {
    /// A key that is the same whenever this alert is raised, and on every instance. A recipient uses it to recognise an
    /// alert that it already has.
    pub fn key(&self) -> String {
        match &*self.about {
            "" => self.alert.as_str().to_owned(),
            about => format!("{}:{about}", self.alert.as_str()),
        }
    }
}

/// The active alerts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Alerts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    raised: BTreeMap<(Alert, String), (Timestamp, String)>,
    /// Changes that were not reported yet. An alert that is raised and resolved in the meantime adds two changes.
    unreported: Vec<AlertChange>,
}

impl Alerts {
    /// Raises an alert, unless it is already active.
    pub fn raise(&self, alert: Alert, about: &str, message: impl Into<String>) {
        let (key, message, since) = ((alert, about.to_owned()), message.into(), Timestamp::now());
        let mut state = self.lock();
        if state.raised.contains_key(&key) {
            return;
        }
        state.raised.insert(key, (since, message.clone()));
        state.unreported.push(AlertChange {
            alert,
            about: about.to_owned(),
            status: AlertStatus::Raised,
            message,
            since,
        });
        drop(state);
        self.0.changed.notify_one();
    }

    /// Takes over an alert that was active when the previous process ended. It is not reported again; its resolution
    /// will be.
    pub fn take_over(&self, active: ActiveAlert) {
        let mut state = self.lock();
        state
            .raised
            .entry((active.alert, active.about))
            .or_insert((active.since, active.message));
    }

    /// Whether an alert is active.
    pub fn is_raised(&self, alert: Alert, about: &str) -> bool {
        self.lock().raised.contains_key(&(alert, about.to_owned()))
    }

    /// Resolves an alert, if it is active.
    pub fn resolve(&self, alert: Alert, about: &str) {
        let mut state = self.lock();
        let Some((since, message)) = state.raised.remove(&(alert, about.to_owned())) else {
            return;
        };
        state.unreported.push(AlertChange {
            alert,
            about: about.to_owned(),
            status: AlertStatus::Resolved,
            message,
            since,
        });
        drop(state);
        self.0.changed.notify_one();
    }

    /// The changes since the last call, in their order. Waits until there is at least one.
    pub async fn changes(&self) -> Vec<AlertChange> {
        loop {
            let changed = self.0.changed.notified();
            let unreported = std::mem::take(&mut self.lock().unreported);
            if !unreported.is_empty() {
                return unreported;
            }
            changed.await;
        }
    }

    /// The active alerts.
    pub fn raised(&self) -> Vec<ActiveAlert> {
        let state = self.lock();
        let raised = state.raised.iter();
        raised
            .map(|((alert, about), (since, message))| ActiveAlert {
                alert: *alert,
                about: about.clone(),
                since: *since,
                message: message.clone(),
            })
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alert_is_told_of_once_and_its_end_once() {
        let alerts = Alerts::default();
        for _ in 0..3 {
            alerts.raise(
                Alert::SinkExhausted,
                "ehr",
                "deliveries to ehr were given up",
            );
        }
        alerts.resolve(Alert::SinkExhausted, "archive");
        let told = alerts.changes().await;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].status, AlertStatus::Raised);
        for _ in 0..3 {
            alerts.resolve(Alert::SinkExhausted, "ehr");
        }
        let told = alerts.changes().await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].status, &*told[0].about),
            (AlertStatus::Resolved, "ehr")
        );
        assert!(alerts.raised().is_empty());
    }

    #[tokio::test]
    async fn one_that_is_taken_over_is_not_told_of_again_but_its_end_is() {
        let (alerts, since) = (Alerts::default(), Timestamp::UNIX_EPOCH);
        alerts.take_over(ActiveAlert {
            alert: Alert::DeadEvents,
            about: String::new(),
            since,
            message: "3 events".to_owned(),
        });
        alerts.raise(Alert::DeadEvents, "", "3 events");
        alerts.resolve(Alert::DeadEvents, "");
        let told = alerts.changes().await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].status, told[0].since),
            (AlertStatus::Resolved, since)
        );
        assert_eq!(told[0].key(), "dead_events");
    }
}
