//! What a sender sees while the store fails, and that nothing acknowledged is missing after it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use arc_swap::ArcSwap;
use suki_receiver::config::OnStale;
use suki_receiver::domain::{Clock, EventState, Outcome};
use suki_receiver::journal::Journal;
use suki_receiver::lifecycle::{Readiness, Shutdown};
use suki_receiver::metrics::Metrics;
use suki_receiver::net::{Limits, Listener, bind};
use suki_receiver::signature::{SecretBytes, Secrets};
use suki_receiver::{ingress, sinks, worker};

use super::contract::sqlite;
use crate::support::{
    FailingStore, SECRET, Signed, eventually, failure, files_below, files_sink, http,
};

/// The public listener and a worker on a store that fails on demand.
struct Service {
    store: Arc<FailingStore>,
    url: String,
    dir: tempfile::TempDir,
    tasks: Shutdown,
}

impl Service {
    async fn start() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
        let store = FailingStore::around(sqlite(dir.path(), clock));
        let (journal, wakeups) = Journal::new(store.clone(), Duration::from_millis(200));
        let (metrics, readiness, tasks) =
            (Metrics::new(), Readiness::default(), Shutdown::new("test"));
        let state = ingress::State {
            secrets: Arc::new(ArcSwap::from_pointee(Secrets::new([SecretBytes {
                id: "t",
                key: SECRET.as_bytes(),
            }]))),
            journal: journal.clone(),
            settings: ingress::Settings {
                max_body_bytes: 1 << 20,
                body_timeout: Duration::from_secs(5),
                tolerance: Duration::from_secs(300),
                on_stale: OnStale::Keep,
            },
            clock,
            metrics: metrics.clone(),
            readiness: readiness.clone(),
        };
        let sink = files_sink("archive", dir.path().join("out"));
        worker::spawn(
            worker::Parts {
                journal,
                wakeups,
                sdp: None,
                sinks: vec![(sink.clone(), sinks::build(&sink).unwrap())],
                follow: suki_receiver::config::Follow {
                    lease: Duration::from_millis(500),
                    ..Default::default()
                },
                retention: suki_receiver::config::Retention::default(),
                instance: "test".to_owned(),
                clock,
                metrics,
                readiness: readiness.clone(),
            },
            &tasks,
        );
        let socket = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let limits = Limits {
            max_connections: 100,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
        };
        let listener = Listener {
            name: "test",
            socket,
            tls: None,
            limits,
            metrics: None,
        };
        tasks.spawn(
            "listener",
            listener.serve(ingress::router("/hook", state), readiness, tasks.clone()),
        );
        Self {
            store,
            url,
            dir,
            tasks,
        }
    }

    async fn post(&self, session: &str) -> u16 {
        Signed::new(failure(session))
            .post(&format!("{}/hook", self.url))
            .await
            .0
    }

    async fn ready(&self) -> u16 {
        http()
            .get(format!("{}/readyz", self.url))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    }

    async fn delivered(&self, count: usize) {
        let out = self.dir.path().join("out");
        eventually("everything is delivered", || async {
            files_below(&out).len() == count
        })
        .await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

#[tokio::test]
async fn while_appends_fail_the_answer_is_503_with_retry_after_and_readiness_is_off() {
    let service = Service::start().await;
    service.store.appends_fail.store(true, SeqCst);
    let signed = Signed::new(failure("s"));
    let answer = http()
        .post(format!("{}/hook", service.url))
        .header("X-API-Key", &signed.signature)
        .header("generated-at", &signed.generated_at)
        .body(signed.body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(service.ready().await, 503);
    service.store.appends_fail.store(false, SeqCst);
    assert_eq!(service.post("s").await, 200);
    assert_eq!(service.ready().await, 200);
    service.delivered(1).await;
}

#[tokio::test]
async fn a_store_that_hangs_is_a_503_at_the_deadline() {
    let service = Service::start().await;
    service.store.appends_hang.store(true, SeqCst);
    assert_eq!(service.post("s").await, 503);
    service.store.appends_hang.store(false, SeqCst);
    assert_eq!(service.post("s").await, 200);
    service.delivered(1).await;
}

#[tokio::test]
async fn while_claims_fail_notifications_are_kept_and_delivered_after_it() {
    let service = Service::start().await;
    service.store.claims_fail.store(true, SeqCst);
    for n in 0..5 {
        assert_eq!(service.post(&format!("s{n}")).await, 200);
    }
    service.store.claims_fail.store(false, SeqCst);
    service.delivered(5).await;
}

#[tokio::test]
async fn work_whose_end_cannot_be_written_down_is_done_again_when_its_lease_runs_out() {
    let service = Service::start().await;
    service.store.finishes_fail.store(true, SeqCst);
    assert_eq!(service.post("s").await, 200);
    use suki_receiver::journal::{Filter, Store};
    let list = || {
        service.store.list(
            Filter {
                outcome: Some(Outcome::Failed),
                ..Filter::default()
            },
            10,
            None,
        )
    };
    eventually("it was claimed", || async {
        list().await.unwrap().events[0].state == EventState::Retrieving
    })
    .await;
    service.store.finishes_fail.store(false, SeqCst);
    service.delivered(1).await;
    eventually("it is done", || async {
        list().await.unwrap().events[0].state == EventState::Done
    })
    .await;
}
