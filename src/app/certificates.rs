//! Watches for certificates that expire: a metric for each listener and, from three weeks before the end, a note in
//! `/readyz` and one warning a day.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::admin;
use crate::lifecycle::{Alert, Component};
use crate::net::ServerTls;

/// An operator is warned when a certificate is valid for less than this many seconds.
const SOON: i64 = 21 * DAY;
/// A day in seconds.
const DAY: i64 = 24 * 3600;
/// The interval between warnings in the log.
const EVERY: Duration = Duration::from_secs(24 * 3600);

/// The certificates of the listeners, by listener name.
pub(super) struct Certificates {
    listeners: Vec<(&'static str, ServerTls)>,
    said: Option<Instant>,
}

impl Certificates {
    /// Watches the certificates of these listeners. A listener without TLS has none.
    pub(super) fn of(listeners: [(&'static str, Option<ServerTls>); 2]) -> Self {
        Self {
            listeners: listeners
                .into_iter()
                .filter_map(|(name, tls)| Some((name, tls?)))
                .collect(),
            said: None,
        }
    }

    /// Checks all certificates now.
    pub(super) fn check(&mut self, state: &admin::State) {
        let now = state.clock.now();
        let mut ending = Vec::new();
        for (name, tls) in &self.listeners {
            let not_after = tls.not_after();
            state.metrics.certificate_not_after(name, not_after);
            match warning(name, not_after, now) {
                Some(warning) => {
                    let alerts = &state.alerts;
                    alerts.raise(Alert::CertificateEnding, name, warning.clone());
                    ending.push(warning);
                }
                None => state.alerts.resolve(Alert::CertificateEnding, name),
            }
        }
        if ending.is_empty() {
            state.readiness.set_healthy(Component::Certificate);
            self.said = None;
            return;
        }
        let text = ending.join("; ");
        if self.said.is_none_or(|said| said.elapsed() >= EVERY) {
            tracing::warn!("{text}; install a new one and send SIGHUP");
            self.said = Some(Instant::now());
        }
        state.readiness.set_unhealthy(Component::Certificate, text);
    }
}

/// The warning for a certificate that has ended or ends soon.
fn warning(listener: &str, not_after: Timestamp, now: Timestamp) -> Option<String> {
    let left = not_after.as_second() - now.as_second();
    if left > SOON {
        return None;
    }
    Some(if left < 0 {
        format!("the certificate of the {listener} listener ended at {not_after}")
    } else {
        format!(
            "the certificate of the {listener} listener ends at {not_after}, in {} days",
            left / DAY
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_named_from_three_weeks_before_its_end_on() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let after = |days: i64| Timestamp::from_second(1_800_000_000 + days * DAY).expect("a time");
        assert_eq!(warning("public", after(22), now), None);
        let soon = warning("public", after(21), now).expect("a warning");
        assert!(soon.contains("in 21 days"), "{soon}");
        let late = warning("public", after(-1), now).expect("a warning");
        assert!(late.contains("ended at"), "{late}");
    }
}
