//! The alarm of missed notifications: raised by first questions, said while it is on, ended when notifications come again.

use std::sync::Arc;
use std::time::Duration;

use super::alarm::Change;
use super::{Poller, now};
use crate::domain::ExpectedState;
use crate::lifecycle::{Alert, Component};

/// How often the store is asked how many have come.
const LOOK: Duration = Duration::from_secs(2);
/// Least time between two lines of the alarm in the log.
const SAY_EVERY: Duration = Duration::from_secs(300);

/// What the alarm says.
const PUSH_MISSED: &str = "notifications do not come: sessions that have ended are found by asking for them; see that Suki has the right address";

impl Poller {
    /// Looks at the alarm for ever: apart, since it asks the store, however many questions are asked meanwhile.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            self.look_at_the_alarm().await;
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn first_poll(&self, is_missed: bool) {
        let change = self.with(|state| state.alarm.first_poll(is_missed));
        if change == Some(Change::Raised) {
            self.alerts.raise(Alert::PushMissed, "", PUSH_MISSED);
        }
    }

    /// Takes up how many notifications have come, says the alarm while it is on, and ends it once they come again.
    async fn look_at_the_alarm(&self) {
        let rate = self.with(|state| state.pace.rate(now()));
        self.metrics.reconcile_rate(rate);
        let Ok(stats) = self.book.stats().await else {
            return;
        };
        let met = stats.count(ExpectedState::Met);
        let (change, is_raised, missed) = self.with(|state| {
            let alarm = &mut state.alarm;
            (alarm.met(met), alarm.is_raised(), alarm.missed())
        });
        if change == Some(Change::Cleared) {
            tracing::info!("notifications come again; none was missed of late");
            self.readiness.set_healthy(Component::Push);
            self.alerts.resolve(Alert::PushMissed, "");
            self.with(|state| state.said_at = None);
            return;
        }
        if !is_raised {
            return;
        }
        self.readiness.set_unhealthy(Component::Push, PUSH_MISSED);
        let now = now();
        let is_due = self.with(|state| {
            let is_due = state
                .said_at
                .is_none_or(|said| now.duration_since(said) >= SAY_EVERY);
            if is_due {
                state.said_at = Some(now);
            }
            is_due
        });
        if is_due {
            tracing::error!(
                missed,
                recovered = stats.count(ExpectedState::Recovered),
                open = stats.count(ExpectedState::Open) + stats.count(ExpectedState::Polling),
                "notifications do not come: sessions that have ended are found by asking for them"
            );
        }
    }
}
