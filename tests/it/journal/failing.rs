//! What a sender sees while the store fails, and that nothing acknowledged is missing after it.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use arc_swap::ArcSwap;
use suki_receiver::config::{Config, OnStale};
use suki_receiver::domain::{Clock, EventState, Outcome};
use suki_receiver::journal::{Bounds, Journal};
use suki_receiver::lifecycle::{Readiness, Shutdown};
use suki_receiver::metrics::Metrics;
use suki_receiver::net::{Limits, Listener, Sockets};
use suki_receiver::signature::{SecretBytes, Secrets};
use suki_receiver::{ingress, sdp, sinks, worker};
use tokio_util::sync::CancellationToken;

use super::contract::sqlite;
use crate::support::{
    FailingStore, SECRET, Signed, Vendor, completed, eventually, failure, files_below, files_sink,
    http,
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
        Self::start_following(None).await
    }

    /// The same, with the vendor's API to follow links at.
    async fn start_following(vendor: Option<&Vendor>) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
        let store = FailingStore::around(sqlite(dir.path(), clock));
        let (journal, wakeups) = Journal::new(store.clone(), Duration::from_millis(200));
        let (metrics, readiness, tasks) =
            (Metrics::new(), Readiness::default(), Shutdown::new("test"));
        let (state, _) = ingress::State::new(ingress::Parts {
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
                max_buffered_bytes: 1 << 28,
                refused: Bounds {
                    requests: 0,
                    bytes: 0,
                },
            },
            clock,
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            tasks: tasks.clone(),
        });
        let sink = files_sink("archive", dir.path().join("out"));
        worker::spawn(
            worker::Parts {
                refresh: suki_receiver::config::Refresh::default(),
                journal,
                wakeups,
                sdp: vendor.map(client),
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
        let any = "127.0.0.1:0".parse().unwrap();
        let (socket, _) = Sockets::bind(any, any).unwrap().listen().unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let limits = Limits {
            max_connections: 100,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            linger: Duration::from_secs(2),
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
            listener.serve(
                ingress::router("/hook", state),
                readiness,
                CancellationToken::new(),
                tasks.clone(),
            ),
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

/// A client of this API.
fn client(vendor: &Vendor) -> sdp::Client {
    let mut config = Config::default();
    vendor.follow(&mut config);
    let auth = config.sdp.auth.clone().unwrap();
    sdp::Client::new(&config.sdp, &auth, Vec::new(), Metrics::new()).unwrap()
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

#[tokio::test]
async fn a_fetched_link_that_cannot_be_written_down_at_once_is_delivered_all_the_same() {
    let vendor = Vendor::start().await;
    let service = Service::start_following(Some(&vendor)).await;
    service.store.records_fail.store(true, SeqCst);
    vendor.faults("transcript=slow:300ms");
    let body = completed("s", &vendor.completed("s"));
    let (status, _) = Signed::new(body)
        .post(&format!("{}/hook", service.url))
        .await;
    assert_eq!(status, 200);
    service.delivered(1).await;
    let file = &files_below(&service.dir.path().join("out"))[0];
    let event: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let groups: Vec<_> = event["data"]["resources"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(
        groups,
        ["contents", "status", "structured_data", "transcripts"]
    );
}
