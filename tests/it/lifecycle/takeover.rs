//! What an instance on a shared database works on is its own while it lives, and another's soon after.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use suki_receiver::lab::simulator::Proxy;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::{Binary, Database, HttpReceiver, Signed, failure, until};

const EVENTS: usize = 20;

/// A sink that takes connections and never answers.
struct Silent {
    address: SocketAddr,
    /// Whether each connection that it took is still open.
    open: Arc<Mutex<Vec<bool>>>,
}

impl Silent {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::<Mutex<Vec<bool>>>::default();
        let all = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let at = {
                    let mut all = all.lock().unwrap();
                    all.push(true);
                    all.len() - 1
                };
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes).await.ok();
                    all.lock().unwrap()[at] = false;
                });
            }
        });
        Self { address, open }
    }

    fn open(&self) -> usize {
        let open = self.open.lock().unwrap();
        open.iter().filter(|is_open| **is_open).count()
    }
}

/// An instance that delivers to the sink at this address alone.
async fn instance(dir: &Path, database: &Database, sink: &str) -> Binary {
    std::fs::create_dir(dir).unwrap();
    let settings = [
        ("STORE__URL", database.url()),
        ("STORE__POOL_SIZE", "3".to_owned()),
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", sink.to_owned()),
        ("SINKS__EHR__TIMEOUT", "10m".to_owned()),
        ("SINKS__EHR__MAX_CONCURRENCY", EVENTS.to_string()),
        ("SINKS__ARCHIVE__EVENTS", "[\"unknown\"]".to_owned()),
    ];
    Binary::start(dir, &settings).await
}

async fn post(instance: &Binary, count: usize) {
    for n in 0..count {
        let signed = Signed::new(failure(&format!("s{n}")));
        assert_eq!(signed.post(&instance.webhook()).await.0, 200);
    }
}

/// One instance holds deliveries that do not end, and another could make them.
struct Stage {
    silent: Silent,
    endpoint: HttpReceiver,
    first: Binary,
    _second: Binary,
    _database: Database,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Self {
        let database = Database::create().await;
        let dir = tempfile::tempdir().unwrap();
        let (silent, endpoint) = (Silent::start().await, HttpReceiver::start().await);
        let sink = format!("http://{}/", silent.address);
        let first = instance(&dir.path().join("a"), &database, &sink).await;
        post(&first, EVENTS).await;
        until("it holds all", || silent.open() == EVENTS).await;
        let sink = endpoint.url().to_string();
        let second = instance(&dir.path().join("b"), &database, &sink).await;
        Self {
            silent,
            endpoint,
            first,
            _second: second,
            _database: database,
            _dir: dir,
        }
    }

    async fn is_taken_over(&self) {
        until("the other one delivers all", || {
            self.endpoint.received().len() == EVENTS
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_killed_instance_held_is_delivered_by_another_within_seconds() {
    let stage = Stage::set().await;
    assert_eq!(stage.endpoint.received().len(), 0, "its owner lives");
    stage.first.signal(Signal::SIGKILL);
    stage.is_taken_over().await;
}

#[tokio::test]
async fn an_instance_that_stood_still_for_too_long_drops_what_others_have_taken_over() {
    let stage = Stage::set().await;
    stage.first.signal(Signal::SIGSTOP);
    stage.is_taken_over().await;
    assert_eq!(stage.silent.open(), EVENTS, "it stands still");
    stage.first.signal(Signal::SIGCONT);
    until("it drops them", || stage.silent.open() == 0).await;
    let signed = Signed::new(failure("later"));
    assert_eq!(signed.post(&stage.first.webhook()).await.0, 200);
}

#[tokio::test]
async fn an_instance_that_cannot_reach_its_database_stops_before_others_begin() {
    let database = Database::create().await;
    let proxy = Proxy::start(database.address()).await.unwrap();
    let (dir, silent) = (tempfile::tempdir().unwrap(), Silent::start().await);
    let settings = [
        ("STORE__URL", database.url_by(proxy.address())),
        ("STORE__POOL_SIZE", "3".to_owned()),
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", format!("http://{}/", silent.address)),
        ("SINKS__EHR__TIMEOUT", "10m".to_owned()),
        ("SINKS__ARCHIVE__EVENTS", "[\"unknown\"]".to_owned()),
    ];
    let binary = Binary::start(dir.path(), &settings).await;
    post(&binary, 1).await;
    until("it delivers", || silent.open() == 1).await;
    proxy.stall();
    until("it drops what it was doing", || silent.open() == 0).await;
}
