//! One process whose database is cut off: the spool takes the notifications, and nothing is lost or done twice.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use suki_receiver::lab::simulator::Proxy;

use crate::support::{Binary, Database, Signed, eventually, failure, files_below, http, until};

/// A receiver behind a proxy to a database of its own.
struct Cabled {
    binary: Binary,
    proxy: Proxy,
    _database: Database,
    dir: tempfile::TempDir,
}

impl Cabled {
    /// Starts it, with the proxy doing so from the beginning.
    async fn start(prepare: impl FnOnce(&Proxy)) -> Self {
        let (database, dir) = (Database::create().await, tempfile::tempdir().unwrap());
        let proxy = Proxy::start(database.address()).await.unwrap();
        prepare(&proxy);
        let settings = settings(dir.path(), &database.url_by(proxy.address()));
        Self {
            binary: Binary::start(dir.path(), &settings).await,
            proxy,
            _database: database,
            dir,
        }
    }

    async fn post(&self, session: &str) -> u16 {
        let signed = Signed::new(failure(session));
        signed.post(&self.binary.webhook()).await.0
    }

    async fn report(&self) -> (u16, Value) {
        let url = format!("http://{}/readyz", self.binary.public);
        let answer = http().get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
        )
    }

    async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.binary.admin);
        let text = http().get(url).send().await.unwrap().text().await.unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().parse().unwrap()
    }

    async fn is_spooling(&self) {
        eventually("readyz says that the spool is in use", || async {
            let (status, report) = self.report().await;
            status == 200
                && report["status"] == "degraded"
                && report["notes"].to_string().contains("spool")
        })
        .await;
    }

    async fn is_well_again(&self) {
        eventually("the spool is empty and the database in use", || async {
            let (_, report) = self.report().await;
            !report["notes"].to_string().contains("spool")
                && self.metric("suki_receiver_spool_events ").await == 0.0
        })
        .await;
    }

    /// So many sessions come out, each as one event.
    async fn delivers(&self, count: usize) {
        until("everything is delivered", || {
            self.delivered().len() >= count
        })
        .await;
        let mut sessions: Vec<String> = self
            .delivered()
            .iter()
            .map(|file| {
                let event: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
                event["subject"].as_str().unwrap().to_owned()
            })
            .collect();
        let events = sessions.len();
        sessions.sort();
        sessions.dedup();
        assert_eq!((sessions.len(), events), (count, count));
    }

    /// The files that are whole: one for each event.
    fn delivered(&self) -> Vec<std::path::PathBuf> {
        let mut files = files_below(&self.dir.path().join("out"));
        files.retain(|file| {
            file.extension()
                .is_some_and(|extension| extension == "json")
        });
        files
    }
}

/// The deadline is for the spool's disk as well, so it must be long enough for that of a busy machine.
const DEADLINE: Duration = Duration::from_secs(2);

fn settings(dir: &Path, url: &str) -> [(&'static str, String); 5] {
    [
        ("STORE__URL", url.to_owned()),
        ("STORE__SPOOL_DIR", dir.join("spool").display().to_string()),
        ("STORE__DEADLINE", format!("{}s", DEADLINE.as_secs())),
        ("STORE__POOL_SIZE", "3".to_owned()),
        ("FOLLOW__LEASE", "2s".to_owned()),
    ]
}

#[tokio::test]
async fn while_the_database_is_cut_or_silent_every_answer_is_200_and_all_is_delivered_once() {
    let s = Cabled::start(|_| {}).await;
    assert_eq!(s.post("before").await, 200);
    let mut sent = 1;
    for (name, fault) in [
        ("cut", Proxy::cut as fn(&Proxy)),
        ("silent", Proxy::stall),
        ("cut again", Proxy::cut),
    ] {
        fault(&s.proxy);
        for n in 0..20 {
            assert_eq!(s.post(&format!("{name}-{n}")).await, 200, "{name}");
            sent += 1;
        }
        s.is_spooling().await;
        assert!(s.metric("suki_receiver_spool_events ").await > 0.0);
        s.proxy.restore();
        assert_eq!(s.post(&format!("after {name}")).await, 200);
        sent += 1;
        s.is_well_again().await;
    }
    s.delivers(sent).await;
    s.binary.logs("they go to the local spool").await;
    s.binary.logs("the store takes notifications again").await;
}

#[tokio::test]
async fn a_database_whose_connections_are_half_closed_costs_no_notification() {
    let s = Cabled::start(|_| {}).await;
    for n in 0..10 {
        assert_eq!(s.post(&format!("before-{n}")).await, 200);
        s.proxy.half_close();
        assert_eq!(s.post(&format!("after-{n}")).await, 200);
    }
    s.is_well_again().await;
    s.delivers(20).await;
}

#[tokio::test]
async fn a_notification_that_is_slow_to_be_kept_is_one_event_whoever_kept_it() {
    let s = Cabled::start(|_| {}).await;
    // Longer than the deadline, so that the database keeps what the spool was given as well.
    s.proxy.delay(DEADLINE + Duration::from_millis(100));
    for n in 0..5 {
        assert_eq!(s.post(&format!("slow-{n}")).await, 200);
    }
    s.is_spooling().await;
    s.proxy.restore();
    s.is_well_again().await;
    s.delivers(5).await;
}

#[tokio::test]
async fn it_starts_while_its_database_is_down_and_delivers_when_it_is_there() {
    let s = Cabled::start(Proxy::cut).await;
    for n in 0..10 {
        assert_eq!(s.post(&format!("s{n}")).await, 200);
    }
    s.is_spooling().await;
    s.proxy.restore();
    s.is_well_again().await;
    s.delivers(10).await;
}

#[tokio::test]
async fn what_is_in_the_spool_survives_a_kill() {
    let s = Cabled::start(|_| {}).await;
    s.proxy.cut();
    for n in 0..10 {
        assert_eq!(s.post(&format!("s{n}")).await, 200);
    }
    let Cabled {
        binary,
        proxy,
        _database,
        dir,
    } = s;
    binary.kill();
    proxy.restore();
    let settings = settings(dir.path(), &_database.url_by(proxy.address()));
    let s = Cabled {
        binary: Binary::start(dir.path(), &settings).await,
        proxy,
        _database,
        dir,
    };
    s.delivers(10).await;
}

#[tokio::test]
async fn only_when_database_and_spool_both_fail_is_the_answer_503() {
    let s = Cabled::start(|_| {}).await;
    s.proxy.cut();
    assert_eq!(s.post("spooled").await, 200);
    s.binary.limit_files("16384");
    eventually("the answer is 503", || async {
        s.post("refused").await == 503
    })
    .await;
    eventually("it is not ready", || async { s.report().await.0 == 503 }).await;
    s.binary.limit_files("unlimited");
    eventually("the spool takes it", || async {
        s.post("later").await == 200
    })
    .await;
    s.proxy.restore();
    s.is_well_again().await;
    let out = s.dir.path().join("out");
    until("both are delivered", || files_below(&out).len() >= 2).await;
}
