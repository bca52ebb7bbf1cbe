//! At the start, takes over the alerts that an earlier process reported to the sinks, so that the sinks are told when
//! these alerts are resolved.

use crate::config::Config;
use crate::journal::{Journal, SentAlert};
use crate::lifecycle::{ActiveAlert, Alert, Alerts};
use crate::metrics::Metrics;

/// Takes over the reported alerts. An alert whose cause is no longer watched with this configuration is resolved.
pub(super) async fn take_over(
    config: &Config,
    journal: &Journal,
    (alerts, metrics): (&Alerts, &Metrics),
) -> Vec<SentAlert> {
    let sent = match journal.records().sent_alerts().await {
        Ok(sent) => sent,
        Err(error) => {
            tracing::warn!(error = %error, "cannot read the reported alerts; their resolutions will not be reported");
            return Vec::new();
        }
    };
    for one in &sent {
        // There is one record per sink, so the same alert may occur several times.
        let Ok(alert) = one.alert.parse::<Alert>() else {
            continue;
        };
        if alerts.is_raised(alert, &one.about) {
            continue;
        }
        alerts.take_over(ActiveAlert {
            alert,
            about: one.about.clone(),
            since: one.since,
            message: one.message.clone(),
        });
        metrics.alert_taken_over(alert.as_str());
    }
    for ActiveAlert { alert, about, .. } in alerts.raised() {
        if !is_watched(config, alert, &about) {
            alerts.resolve(alert, &about);
        }
    }
    sent
}

/// Whether an alert is raised and resolved with this configuration.
fn is_watched(config: &Config, alert: Alert, about: &str) -> bool {
    match alert {
        Alert::DeadEvents => true,
        Alert::PushMissed => config.reconcile.enabled && config.sdp.has_credentials(),
        Alert::SinkExhausted => config.sinks.iter().any(|sink| sink.name == about),
        Alert::AppliedOverdue => {
            let mut sinks = config.sinks.iter();
            sinks.any(|sink| sink.name == about && sink.expect_applied.is_some())
        }
        Alert::TokenRefused => {
            let identities = config.sdp.all_identities();
            identities.iter().any(|identity| identity.name == about)
        }
        Alert::CertificateEnding => match about {
            "public" => config.server.tls.is_some(),
            _ => config.admin.tls.is_some(),
        },
        Alert::CanarySilent => config.canary.enabled,
    }
}
