//! What an operator should be told of at once: each alert is raised once, however often its cause is seen, and resolved
//! once. Counts and names of the configuration alone; nothing of a patient or a session.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

/// The kinds of alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Alert {
    /// Sessions have ended and no notification came.
    PushMissed,
    /// Events were given up and wait for an operator.
    DeadEvents,
    /// A sink's deliveries were given up.
    SinkExhausted,
    /// The vendor's API does not let the service in.
    TokenRefused,
    /// A listener's certificate ends soon.
    CertificateEnding,
    /// A sink's target has not confirmed in time what it applied.
    AppliedOverdue,
    /// The synthetic notification does not arrive.
    CanarySilent,
}

impl Alert {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::PushMissed,
        Self::DeadEvents,
        Self::SinkExhausted,
        Self::TokenRefused,
        Self::CertificateEnding,
        Self::AppliedOverdue,
        Self::CanarySilent,
    ];

    /// The last part of the type that sinks get: `ai.suki.receiver.` and this.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PushMissed => "push_missed",
            Self::DeadEvents => "dead_events",
            Self::SinkExhausted => "sink_exhausted",
            Self::TokenRefused => "token_refused",
            Self::CertificateEnding => "certificate_ending",
            Self::AppliedOverdue => "applied_overdue",
            Self::CanarySilent => "canary_silent",
        }
    }

    /// The kind of this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alert| alert.as_str() == word)
    }
}

/// Whether an alert is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertStatus {
    /// Since it was raised.
    Raised,
    /// Not any more.
    Resolved,
}

/// A change that somebody is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertChange {
    /// The kind.
    pub alert: Alert,
    /// Which sink or listener it is about; empty for the service as a whole.
    pub about: String,
    /// Whether it is on now.
    pub status: AlertStatus,
    /// What it is, in a sentence.
    pub message: String,
    /// When it was raised.
    pub since: Timestamp,
}

impl AlertChange {
    /// What is the same each time that this is on, on every instance: by it a receiver tells what it knows already.
    pub fn key(&self) -> String {
        match &*self.about {
            "" => self.alert.as_str().to_owned(),
            about => format!("{}:{about}", self.alert.as_str()),
        }
    }
}

/// The alerts that are on. Cheap to clone.
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
    /// Changes that nobody was told of. One that is raised and resolved in between is told of twice.
    untold: Vec<AlertChange>,
}

impl Alerts {
    /// Raises an alert, unless it is on.
    pub fn raise(&self, alert: Alert, about: &str, message: impl Into<String>) {
        let (key, message, since) = ((alert, about.to_owned()), message.into(), Timestamp::now());
        let mut state = self.lock();
        if state.raised.contains_key(&key) {
            return;
        }
        state.raised.insert(key, (since, message.clone()));
        state.untold.push(AlertChange {
            alert,
            about: about.to_owned(),
            status: AlertStatus::Raised,
            message,
            since,
        });
        drop(state);
        self.0.changed.notify_one();
    }

    /// Takes over an alert that was on when the process before ended: nobody is told of it again, and its end is told.
    pub fn take_over(&self, alert: Alert, about: String, since: Timestamp, message: String) {
        let mut state = self.lock();
        state
            .raised
            .entry((alert, about))
            .or_insert((since, message));
    }

    /// Whether an alert is on.
    pub fn is_raised(&self, alert: Alert, about: &str) -> bool {
        self.lock().raised.contains_key(&(alert, about.to_owned()))
    }

    /// Resolves an alert, if it is on.
    pub fn resolve(&self, alert: Alert, about: &str) {
        let mut state = self.lock();
        let Some((since, message)) = state.raised.remove(&(alert, about.to_owned())) else {
            return;
        };
        state.untold.push(AlertChange {
            alert,
            about: about.to_owned(),
            status: AlertStatus::Resolved,
            message,
            since,
        });
        drop(state);
        self.0.changed.notify_one();
    }

    /// The changes since the last call, in their order. Waits until there are some.
    pub async fn changes(&self) -> Vec<AlertChange> {
        loop {
            let changed = self.0.changed.notified();
            let untold = std::mem::take(&mut self.lock().untold);
            if !untold.is_empty() {
                return untold;
            }
            changed.await;
        }
    }

    /// The alerts that are on: kind, what each is about, since when, and what it is.
    pub fn raised(&self) -> Vec<(Alert, String, Timestamp, String)> {
        let state = self.lock();
        let raised = state.raised.iter();
        raised
            .map(|((alert, about), (since, message))| {
                (*alert, about.clone(), *since, message.clone())
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
        alerts.take_over(
            Alert::DeadEvents,
            String::new(),
            since,
            "3 events".to_owned(),
        );
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
