//! Raises an alert while no login to the vendor's API succeeds for an identity.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::lifecycle::{Alert, Alerts};
use crate::sdp;

/// How long every login must fail before the alert is raised, and how often that is checked.
const REFUSED_FOR: Duration = Duration::from_secs(60);
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The identities for which the alert is raised.
pub(super) struct Logins {
    alerts: Alerts,
    raised: BTreeSet<String>,
    started: Instant,
}

/// Checks logins. Never returns.
pub(super) async fn watch(sdp: sdp::Client, alerts: Alerts) {
    let mut logins = Logins::new(alerts, Instant::now());
    loop {
        logins.observe(&sdp.refused(), Instant::now());
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

impl Logins {
    /// Begins with the alerts that were raised when the process before this one ended.
    pub(super) fn new(alerts: Alerts, started: Instant) -> Self {
        let on = alerts.raised().into_iter();
        let on = on.filter(|active| active.alert == Alert::TokenRefused);
        Self {
            raised: on.map(|active| active.about).collect(),
            alerts,
            started,
        }
    }

    /// Raises and resolves alerts. `refused` maps each identity that cannot log in to the time since when.
    pub(super) fn observe(&mut self, refused: &BTreeMap<String, Instant>, now: Instant) {
        for (identity, since) in refused {
            if now.duration_since(*since) >= REFUSED_FOR {
                self.alerts.raise(
                    Alert::TokenRefused,
                    identity,
                    format!("no login to the SDP API as the identity {identity} has succeeded for a minute: events that need it are kept and wait; see the log for the reason"),
                );
                self.raised.insert(identity.clone());
            }
        }
        // Until then there may have been no login at all.
        if now.duration_since(self.started) < REFUSED_FOR {
            return;
        }
        let alerts = &self.alerts;
        self.raised.retain(|identity| {
            let is_refused = refused.contains_key(identity);
            if !is_refused {
                alerts.resolve(Alert::TokenRefused, identity);
            }
            is_refused
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_that_is_refused_for_a_minute_is_an_alert_until_it_is_let_in() {
        let (alerts, start) = (Alerts::default(), Instant::now());
        let mut logins = Logins::new(alerts.clone(), start);
        let refused = BTreeMap::from([("default".to_owned(), start)]);
        logins.observe(&refused, start + REFUSED_FOR / 2);
        assert!(alerts.raised().is_empty());
        logins.observe(&refused, start + REFUSED_FOR);
        let raised = alerts.raised();
        assert_eq!(
            (raised[0].alert, &*raised[0].about),
            (Alert::TokenRefused, "default")
        );
        // The next process takes the alert over, and resolves it only after a login of its own.
        let mut next = Logins::new(alerts.clone(), start + REFUSED_FOR);
        next.observe(&BTreeMap::new(), start + REFUSED_FOR);
        assert_eq!(alerts.raised().len(), 1);
        next.observe(&BTreeMap::new(), start + REFUSED_FOR * 2);
        assert!(alerts.raised().is_empty());
    }
}
