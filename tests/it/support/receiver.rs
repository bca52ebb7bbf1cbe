//! A whole receiver in this process, on ports of its own, with a store of its own. Stopped and drained by `stop`,
//! or at the end of the test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use suki_receiver::app::{App, RunEnded};
use suki_receiver::config::{
    AdminToken, Config, FilesConfig, Include, NamedSecret, Retry, Role, Secret, SinkConfig,
    SinkTarget, StoreUrl,
};
use suki_receiver::domain::Outcome;
use suki_receiver::journal::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{SECRET, Signed, http, send};
use super::{FailingStore, background, eventually, files_below, until};

/// The operator's token of the tests' receivers.
pub const OPERATOR: &str = "operator-token";

/// A running receiver.
pub struct Receiver {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub dir: PathBuf,
    /// Tells it to stop, and how that went. Nothing once it was stopped.
    running: Option<(oneshot::Sender<()>, JoinHandle<RunEnded>)>,
    _temp: Option<tempfile::TempDir>,
}

impl Receiver {
    /// A receiver with one files sink and no SDP credentials.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same, after a change of its configuration.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let mut receiver = Self::start_in(temp.path(), change).await;
        receiver._temp = Some(temp);
        receiver
    }

    /// The same, in a folder that stays.
    pub async fn start_in(dir: &Path, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_around(dir, change, |store| store).await
    }

    /// The same as [`Receiver::start_with`], and its store fails on demand.
    pub async fn start_failing(change: impl FnOnce(&mut Config)) -> (Self, Arc<FailingStore>) {
        let (temp, store) = (tempfile::tempdir().unwrap(), Arc::new(OnceLock::new()));
        let made = Arc::clone(&store);
        let around = move |inner| {
            let failing: Arc<FailingStore> = FailingStore::around(inner);
            assert!(made.set(Arc::clone(&failing)).is_ok(), "it is opened once");
            failing as Arc<dyn Store>
        };
        let mut receiver = Self::start_around(temp.path(), change, around).await;
        receiver._temp = Some(temp);
        let store = Arc::clone(store.get().unwrap());
        (receiver, store)
    }

    async fn start_around(
        dir: &Path,
        change: impl FnOnce(&mut Config),
        around: impl Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync + 'static,
    ) -> Self {
        let mut config = config(dir);
        change(&mut config);
        let app = background().spawn(App::build_with(config, around));
        let app = app.await.unwrap().unwrap();
        let (public, admin) = (app.public_address().unwrap(), app.admin_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = background().spawn(app.run(async move {
            let _ = stopped.await;
        }));
        Self {
            public,
            admin,
            dir: dir.to_owned(),
            running: Some((stop, running)),
            _temp: None,
        }
    }

    /// The webhook's address.
    pub fn webhook(&self) -> String {
        format!("http://{}/webhooks/notification", self.public)
    }

    /// The folder of the files sink.
    pub fn out(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// A path of the public listener.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(http().get(format!("http://{}{path}", self.public))).await
    }

    /// The metrics' text.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.admin);
        let (_, text) = answer(http().get(url)).await;
        text.as_str().unwrap().to_owned()
    }

    /// A path of the admin listener, as an operator.
    pub async fn admin_get(&self, path: &str) -> (u16, Value) {
        answer(
            http()
                .get(format!("http://{}{path}", self.admin))
                .bearer_auth(OPERATOR),
        )
        .await
    }

    /// A POST to the admin listener, as an operator.
    pub async fn admin_post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = http()
            .post(format!("http://{}{path}", self.admin))
            .bearer_auth(OPERATOR);
        answer(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        )
        .await
    }

    /// Posts this notification, which is accepted; the event's id.
    pub async fn post(&self, body: impl Into<Vec<u8>>) -> String {
        let (status, answer) = Signed::new(body).post(&self.webhook()).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The event by the API.
    pub async fn event(&self, id: &str) -> Value {
        self.admin_get(&format!("/api/v1/events/{id}")).await.1
    }

    /// The event's state by the API.
    pub async fn state_of(&self, id: &str) -> String {
        self.event(id).await["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the event has this state; the event by the API.
    pub async fn becomes(&self, id: &str, state: &str) -> Value {
        eventually(&format!("event {id} is {state}"), || async {
            self.state_of(id).await == state
        })
        .await;
        self.event(id).await
    }

    /// Waits until the files sink has so many events, no more and no less; all of them.
    pub async fn delivers(&self, count: usize) -> Vec<Value> {
        let out = self.out();
        let name = format!("{count} events are delivered");
        until(&name, || files_below(&out).len() == count).await;
        let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        files_below(&out).iter().map(read).collect()
    }

    /// The same of the only event that there is.
    pub async fn delivers_one(&self) -> Value {
        self.delivers(1).await.remove(0)
    }

    /// Drains and says how that went.
    pub async fn stop(mut self) -> RunEnded {
        let (stop, running) = self.running.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap()
    }
}

/// Stops it. A test whose receiver has tasks that do not end in the drain's time fails.
impl Drop for Receiver {
    fn drop(&mut self) {
        let Some((stop, running)) = self.running.take() else {
            return;
        };
        if std::thread::panicking() {
            return running.abort();
        }
        stop.send(()).expect("the receiver ended by itself");
        // No thread of a runtime may wait like this.
        let waiting = std::thread::spawn(|| background().block_on(running));
        let ended = waiting.join().unwrap().expect("the receiver panicked");
        assert_eq!(
            ended,
            RunEnded::Drained,
            "tasks of the receiver do not end in the drain's time"
        );
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    send(request).await.unwrap()
}

/// Ports of its own, short waits, everything below `dir`.
pub fn config(dir: &Path) -> Config {
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".parse().unwrap();
    config.server.instance = "test".to_owned();
    config.server.drain_delay = Duration::ZERO;
    config.server.drain_timeout = Duration::from_secs(10);
    config.admin.listen = "127.0.0.1:0".parse().unwrap();
    config.admin.tokens = vec![
        token("ops", Role::Operator, OPERATOR),
        token("viewer", Role::Viewer, "viewer-token"),
    ];
    config.signature.secrets = vec![NamedSecret {
        id: "test".to_owned(),
        secret: Secret::literal(SECRET),
    }];
    config.store.url = StoreUrl::Sqlite(dir.join("data/receiver.db"));
    config.follow.retry = quick();
    config.sinks = vec![files_sink("archive", dir.join("out"))];
    config
}

/// Retries that a test can wait for.
pub fn quick() -> Retry {
    Retry {
        initial: Duration::from_millis(20),
        max: Duration::from_millis(100),
        give_up_after: Duration::from_secs(600),
    }
}

/// A sink that writes files.
pub fn files_sink(name: &str, dir: PathBuf) -> SinkConfig {
    sink(name, SinkTarget::Files(FilesConfig { dir }))
}

/// A sink with the tests' settings.
pub fn sink(name: &str, target: SinkTarget) -> SinkConfig {
    SinkConfig {
        expect_applied: None,
        alerts: false,
        canary: false,
        name: name.to_owned(),
        events: Outcome::ALL.to_vec(),
        include: Include::Everything,
        max_concurrency: 8,
        retry: quick(),
        target,
    }
}

fn token(name: &str, role: Role, token: &str) -> AdminToken {
    AdminToken {
        sink: None,
        name: name.to_owned(),
        role,
        secret: Secret::literal(token),
    }
}
