//! Watches the alarm for missed notifications: first polls raise it, it is logged while it is raised, and it is cleared
//! when notifications arrive again.

use std::sync::Arc;
use std::time::Duration;

use super::alarm::{Alarm, Change};
use super::{Poller, now};
use crate::domain::ExpectedState;
use crate::journal;
use crate::lifecycle::{Alert, Component};

/// How often the store is queried for the number of met sessions.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The shortest time between two log lines of the alarm.
const REPORT_EVERY: Duration = Duration::from_secs(300);

/// The alert's message.
const PUSH_MISSED: &str = "notifications do not come: sessions that have ended are found only by polling; check that Suki has the right address";

impl Poller {
    /// Watches the alarm. Never returns. A task of its own, because it queries the store at its own interval, however
    /// many sessions are polled.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            self.look_at_the_alarm().await;
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Raises the alarm if the instance that polled before had raised it. Only the instance that polls knows what was
    /// missed.
    pub(super) async fn take_over_alarm(&self) -> Result<(), journal::Error> {
        let sent = self.sessions.sent_alerts().await?;
        if sent
            .iter()
            .any(|sent| sent.alert == Alert::PushMissed.as_str())
        {
            let most = self.settings.alarm.first_polls;
            self.with(|state| state.alarm = Alarm::raised(most));
            self.alerts.raise(Alert::PushMissed, "", PUSH_MISSED);
        }
        Ok(())
    }

    pub(super) fn first_poll(&self, is_missed: bool) {
        let change = self.with(|state| state.alarm.first_poll(is_missed));
        if change == Some(Change::Raised) {
            self.alerts.raise(Alert::PushMissed, "", PUSH_MISSED);
        }
    }

    /// Updates the alarm with the number of met sessions, logs it while it is raised, and resolves the alert once it is
    /// cleared.
    async fn look_at_the_alarm(&self) {
        let rate = self.with(|state| state.pace.rate(now()));
        self.metrics.reconcile_rate(rate);
        let Ok(stats) = self.sessions.stats().await else {
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
            self.with(|state| state.reported_at = None);
            return;
        }
        if !is_raised {
            return;
        }
        self.readiness.set_unhealthy(Component::Push, PUSH_MISSED);
        let now = now();
        let is_due = self.with(|state| {
            let is_due = state
                .reported_at
                .is_none_or(|at| now.duration_since(at) >= REPORT_EVERY);
            if is_due {
                state.reported_at = Some(now);
            }
            is_due
        });
        if is_due {
            tracing::error!(
                missed,
                recovered = stats.count(ExpectedState::Recovered),
                open = stats.count(ExpectedState::Open) + stats.count(ExpectedState::Polling),
                "notifications do not come: sessions that have ended are found only by polling"
            );
        }
    }
}
