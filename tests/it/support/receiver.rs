//! A whole receiver in this process, on ports of its own, with a store of its own. Stopped and drained by `stop`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use suki_receiver::app::{App, Ended};
use suki_receiver::config::{
    AdminToken, Config, FilesSink, Include, NamedSecret, Retry, Role, Secret, Sink, SinkTarget,
    StoreUrl,
};
use suki_receiver::domain::Outcome;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::client::{SECRET, http};

/// The operator's token of the tests' receivers.
pub const OPERATOR: &str = "operator-token";

/// A running receiver.
pub struct Receiver {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Ended>,
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
        let mut config = config(dir);
        change(&mut config);
        let app = App::build(config).await.unwrap();
        let (public, admin) = (app.public_address().unwrap(), app.admin_address().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(app.run(async move {
            let _ = stopped.await;
        }));
        Self {
            public,
            admin,
            dir: dir.to_owned(),
            stop: Some(stop),
            running,
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
        http().get(url).send().await.unwrap().text().await.unwrap()
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

    /// The event's state by the API.
    pub async fn state_of(&self, id: &str) -> String {
        let (_, event) = self.admin_get(&format!("/api/v1/events/{id}")).await;
        event["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Drains and says how that went.
    pub async fn stop(mut self) -> Ended {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.running).await.unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
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
pub fn files_sink(name: &str, dir: PathBuf) -> Sink {
    sink(name, SinkTarget::Files(FilesSink { dir }))
}

/// A sink with the tests' settings.
pub fn sink(name: &str, target: SinkTarget) -> Sink {
    Sink {
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
        name: name.to_owned(),
        role,
        secret: Secret::literal(token),
    }
}
