//! Forwards alerts: each change is logged, counted, and sent to every sink that takes alerts.

use std::sync::Arc;

use super::Shared;
use super::alert_sender::AlertQueue;
use crate::lifecycle::{AlertStatus, TaskGroup};

/// Logs, counts and forwards changes of alerts until `tasks` stops.
pub(super) async fn run(shared: Arc<Shared>, queues: Vec<AlertQueue>, tasks: TaskGroup) {
    loop {
        let changes = tokio::select! {
            changes = shared.alerts.changes() => changes,
            () = tasks.stopping() => return,
        };
        for change in changes {
            let (alert, about) = (change.alert.as_str(), &*change.about);
            let is_raised = change.status == AlertStatus::Raised;
            shared.metrics.alert(alert, is_raised);
            if is_raised {
                tracing::error!(alert, about, reason = change.message, "alert raised");
            } else {
                tracing::info!(alert, about, "alert resolved");
            }
            let change = Arc::new(change);
            for queue in &queues {
                queue.push(&change);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use async_trait::async_trait;
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::{FilesConfig, Include, Retry, SinkConfig, SinkTarget};
    use crate::domain::Clock;
    use crate::journal::{Access, Journal, SqliteStore};
    use crate::lifecycle::Alerts;
    use crate::metrics::Metrics;
    use crate::sinks::{CloudEvent, Sink, SinkAnswer};
    use crate::worker::ends::Ends;
    use crate::worker::logins::Logins;

    /// A sink that forwards every event to the test.
    struct Collecting(mpsc::UnboundedSender<CloudEvent>);

    #[async_trait]
    impl Sink for Collecting {
        async fn deliver(&self, event: &CloudEvent) -> SinkAnswer {
            self.0.send(event.clone()).ok();
            SinkAnswer::Delivered
        }

        async fn tidy(&self) {}

        async fn check(&self) -> Result<(), String> {
            Ok(())
        }
    }

    fn config() -> SinkConfig {
        SinkConfig {
            name: "on-call".to_owned(),
            events: Vec::new(),
            alerts: true,
            canary: false,
            include: Include::Everything,
            max_concurrency: 1,
            expect_applied: None,
            retry: Retry::default(),
            target: SinkTarget::Files(FilesConfig {
                dir: "unused".into(),
            }),
        }
    }

    #[tokio::test]
    async fn an_identity_that_is_not_let_in_is_reported_to_a_sink_and_kept_for_the_next_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::start();
        let access = Access::Owner {
            longest_wait: Duration::from_secs(60),
        };
        let path = folder.path().join("receiver.db");
        let store = SqliteStore::open(&path, access, 100, clock, Metrics::new()).expect("a store");
        let (journal, _inbox) = Journal::new(Arc::new(store), Duration::from_secs(10), 0, clock);
        let (alerts, tasks) = (Alerts::default(), TaskGroup::new("test"));
        let shared = Arc::new(Shared {
            ends: Ends::spawn(journal.clone(), &tasks),
            journal: journal.clone(),
            clock,
            metrics: Metrics::new(),
            traces: crate::traces::Traces::off(),
            alerts: alerts.clone(),
            instance: Arc::from("test"),
        });
        let (sender, mut delivered) = mpsc::unbounded_channel();
        let sink = Arc::new(Collecting(sender));
        let keeper = (journal.clone(), "test".to_owned());
        let queue = AlertQueue::spawn(&config(), sink, keeper, &[], &tasks);
        tasks.spawn("alerts", run(shared, vec![queue], tasks.clone()));
        let start = Instant::now();
        let refused = BTreeMap::from([("default".to_owned(), start)]);
        Logins::new(alerts, start).observe(&refused, start + Duration::from_secs(60));
        let alert = delivered.recv().await.expect("an alert");
        let envelope: serde_json::Value = serde_json::from_slice(&alert.envelope).expect("JSON");
        assert_eq!(envelope["type"], "ai.suki.receiver.token_refused");
        assert_eq!(envelope["data"]["key"], "token_refused:default");
        let kept = loop {
            match &*journal.records().sent_alerts().await.expect("alerts") {
                [] => tokio::task::yield_now().await,
                kept => break kept.to_vec(),
            }
        };
        assert_eq!((&*kept[0].sink, &*kept[0].about), ("on-call", "default"));
        tasks.stop();
        assert!(
            tasks
                .finished(Instant::now() + Duration::from_secs(10))
                .await
        );
        journal.close().await;
    }
}
