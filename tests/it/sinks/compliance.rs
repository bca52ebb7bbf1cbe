//! What every type of sink owes, tried on each of them with the real binary: the table at the end names them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use suki_receiver::lab::simulator::Canned;

use crate::support::{
    Binary, HttpReceiver, SECRET, Vendor, completed, eventually, failure, files_below,
    post_until_refused, until,
};

/// The secret of the sinks that have one.
const SINK_SECRET: &str = "PHI-secret-of-the-sink";

/// The far end of one type of sink, which the receiver knows as `subject`.
trait FarEnd: Sized {
    /// In a folder of the test's own, and able to take deliveries.
    async fn start(dir: &Path) -> Self;

    /// What sets the sink up, by the keys in its section.
    fn settings(&self) -> Vec<(&'static str, String)>;

    /// The documents that it has, as they came. One that came twice may stand here twice.
    fn documents(&self) -> Vec<Vec<u8>>;

    /// Takes nothing until it is mended.
    fn breaks(&self);

    /// Takes deliveries again.
    fn is_mended(&self);

    /// Refuses what comes, for good.
    fn refuses(&self);

    /// What a refusal is told as.
    const REFUSAL: &str;

    /// What has to be set for a refusal to be one.
    fn where_it_refuses() -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The events that it has.
    fn ids(&self) -> BTreeSet<String> {
        let id = |document: &Vec<u8>| {
            let event: Value = serde_json::from_slice(document).unwrap();
            event["id"].as_str().unwrap().to_owned()
        };
        self.documents().iter().map(id).collect()
    }
}

/// `type = "files"`: a folder, which is moved away while it is broken.
struct Files {
    above: PathBuf,
}

impl Files {
    fn away(&self) -> PathBuf {
        self.above.with_extension("away")
    }
}

impl FarEnd for Files {
    async fn start(dir: &Path) -> Self {
        let above = dir.join("subject");
        std::fs::create_dir(&above).unwrap();
        Self { above }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let dir = self.above.join("out").display().to_string();
        vec![("TYPE", "files".to_owned()), ("DIR", dir)]
    }

    fn documents(&self) -> Vec<Vec<u8>> {
        let files = files_below(&self.above);
        files
            .iter()
            .map(|file| std::fs::read(file).unwrap())
            .collect()
    }

    fn breaks(&self) {
        std::fs::rename(&self.above, self.away()).unwrap();
        std::fs::write(&self.above, "in the way").unwrap();
    }

    fn is_mended(&self) {
        std::fs::remove_file(&self.above).unwrap();
        std::fs::rename(self.away(), &self.above).unwrap();
    }

    fn refuses(&self) {
        self.breaks();
    }

    const REFUSAL: &str = "cannot write the file: File exists";

    /// A folder refuses nothing for good: the sink's patience has to end.
    fn where_it_refuses() -> Vec<(&'static str, String)> {
        vec![("SINKS__SUBJECT__RETRY__GIVE_UP_AFTER", "300ms".to_owned())]
    }
}

/// `type = "http"`: an endpoint, which quotes what it got when it takes nothing.
struct Http {
    endpoint: HttpReceiver,
}

impl Http {
    fn answers(&self, status: StatusCode) {
        let answer = move |_| (status, "PHI-quoted").into_response();
        self.endpoint.answers(answer);
    }
}

impl FarEnd for Http {
    async fn start(_: &Path) -> Self {
        let endpoint = HttpReceiver::start().await;
        Self { endpoint }
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TYPE", "http".to_owned()),
            ("URL", format!("{}?token=PHI-query", self.endpoint.url())),
            ("SECRET", SINK_SECRET.to_owned()),
        ]
    }

    fn documents(&self) -> Vec<Vec<u8>> {
        self.endpoint
            .taken()
            .iter()
            .map(|taken| taken.body.to_vec())
            .collect()
    }

    fn breaks(&self) {
        self.answers(StatusCode::SERVICE_UNAVAILABLE);
    }

    fn is_mended(&self) {
        self.answers(StatusCode::OK);
    }

    fn refuses(&self) {
        self.answers(StatusCode::UNPROCESSABLE_ENTITY);
    }

    const REFUSAL: &str = "HTTP 422";
}

/// A receiver that delivers to the far end, and beside it to the folder `out`.
async fn receiver(dir: &Path, far_end: &impl FarEnd, more: &[(&'static str, String)]) -> Binary {
    let quick = [("RETRY__INITIAL", "20ms"), ("RETRY__MAX", "100ms")];
    let quick = quick.map(|(key, value)| (key, value.to_owned()));
    let of_sink = far_end.settings().into_iter().chain(quick);
    let mut settings: Vec<(String, String)> = of_sink
        .map(|(key, value)| (format!("SINKS__SUBJECT__{key}"), value))
        .collect();
    settings.extend(
        more.iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone())),
    );
    settings.push((
        "LOG__LEVEL".to_owned(),
        "info,suki_receiver=debug".to_owned(),
    ));
    let settings: Vec<(&str, String)> = settings
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    Binary::start(dir, &settings).await
}

/// How many attempts to deliver to the sink ended like this.
async fn attempts(receiver: &Binary, result: &str) -> u64 {
    let metrics = receiver.metrics().await;
    let counted = metrics.lines().find(|line| {
        line.starts_with("suki_receiver_deliveries_total{")
            && line.contains("sink=\"subject\"")
            && line.contains(&format!("result=\"{result}\""))
    });
    counted.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// Neither what was delivered nor a secret stands in the log or in the metrics, though the log tells of these events.
async fn keeps_to_itself(receiver: &Binary, ids: &[String]) {
    let metrics = receiver.metrics().await;
    for id in ids {
        receiver.logs(id).await;
        assert!(!metrics.contains(id), "{id} is a label");
    }
    let log = receiver.log();
    for private in ["PHI", SECRET, SINK_SECRET] {
        assert!(!log.contains(private), "the log has {private}:\n{log}");
        assert!(!metrics.contains(private), "{private}:\n{metrics}");
    }
}

async fn what_is_delivered_is_the_events_document<F: FarEnd>() {
    let (vendor, dir) = (Vendor::start().await, tempfile::tempdir().unwrap());
    let far_end = F::start(dir.path()).await;
    let receiver = receiver(dir.path(), &far_end, &vendor.variables()).await;
    let body = String::from_utf8(completed("s", &vendor.completed("s"))).unwrap();
    let note = r#"{"summary":[{"content":"PHI-note"}]}"#;
    vendor
        .sdp
        .answer_with("/session/s/content", Canned::json(note));
    let id = receiver.post(body.clone()).await;
    receiver.becomes(&id, "done").await;
    let [document] = &far_end.documents()[..] else {
        panic!("it comes once");
    };
    let text = std::str::from_utf8(document).unwrap();
    assert!(text.contains(&body), "the notification as it came: {text}");
    let event: Value = serde_json::from_str(text).unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], id);
    assert_eq!(event["type"], "ai.suki.session.completed");
    assert_eq!(event["subject"], "s");
    assert_eq!(event["data"]["missing"], json!([]));
    let resources = &event["data"]["resources"];
    for group in ["contents", "status", "structured_data", "transcripts"] {
        assert!(resources[group][0]["body"].is_object(), "{group}: {text}");
    }
    let beside = &files_below(&dir.path().join("out"))[0];
    assert!(
        std::fs::read(beside).unwrap() == *document,
        "every sink gets the same bytes"
    );
    assert!(text.contains(note), "the note as it came: {text}");
    keeps_to_itself(&receiver, &[id]).await;
}

async fn what_fails_for_a_time_comes_later_and_is_counted<F: FarEnd>() {
    let dir = tempfile::tempdir().unwrap();
    let far_end = F::start(dir.path()).await;
    let receiver = receiver(dir.path(), &far_end, &[]).await;
    far_end.breaks();
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(receiver.post(failure(&format!("s{n}"))).await);
    }
    eventually("it is tried again", || async {
        attempts(&receiver, "retry").await > 3
    })
    .await;
    assert_eq!(attempts(&receiver, "delivered").await, 0);
    for id in &ids {
        assert_eq!(receiver.event(id).await["state"], "delivering");
    }
    far_end.is_mended();
    for id in &ids {
        receiver.becomes(id, "done").await;
    }
    assert_eq!(far_end.ids(), ids.iter().cloned().collect());
    assert_eq!(attempts(&receiver, "delivered").await, 3);
    keeps_to_itself(&receiver, &ids).await;
}

async fn what_is_refused_for_good_is_dead_with_its_reason<F: FarEnd>() {
    let dir = tempfile::tempdir().unwrap();
    let far_end = F::start(dir.path()).await;
    let receiver = receiver(dir.path(), &far_end, &F::where_it_refuses()).await;
    far_end.refuses();
    let id = receiver.post(failure("s")).await;
    let event = receiver.becomes(&id, "dead").await;
    let deliveries = event["deliveries"].as_array().unwrap();
    let mut to_it = deliveries
        .iter()
        .filter(|delivery| delivery["sink"] == "subject");
    let delivery = to_it.next().unwrap();
    assert_eq!(delivery["state"], "dead", "{event}");
    let told = delivery["last_error"].as_str().unwrap();
    assert!(told.contains(F::REFUSAL), "{told}");
    assert_eq!(far_end.documents().len(), 0);
    assert_eq!(attempts(&receiver, "delivered").await, 0);
    keeps_to_itself(&receiver, &[id]).await;
}

async fn what_was_acknowledged_comes_though_a_kill_is_in_the_middle<F: FarEnd>() {
    let dir = tempfile::tempdir().unwrap();
    let far_end = F::start(dir.path()).await;
    let first = receiver(dir.path(), &far_end, &[]).await;
    let senders = [0, 1].map(|n| post_until_refused(&first.webhook(), n));
    until("some are delivered", || far_end.ids().len() > 10).await;
    // From here on some are on their way for sure.
    far_end.breaks();
    eventually("some are not delivered", || async {
        attempts(&first, "retry").await > 0
    })
    .await;
    first.kill();
    let mut ids = Vec::new();
    for sender in senders {
        ids.extend(sender.await.unwrap());
    }
    far_end.is_mended();
    let before = far_end.ids();
    assert!(
        ids.iter().any(|id| !before.contains(id)),
        "the kill is not in the middle"
    );
    let again = receiver(dir.path(), &far_end, &[]).await;
    until("all are delivered", || {
        let delivered = far_end.ids();
        ids.iter().all(|id| delivered.contains(id))
    })
    .await;
    keeps_to_itself(&again, &ids[..1]).await;
}

/// Tries all of the above on each type of sink.
macro_rules! on_each {
    (@ $far_end:ident [$($test:ident)+]) => {
        $(#[tokio::test]
        async fn $test() {
            super::$test::<super::$far_end>().await;
        })+
    };
    ($tests:tt $($name:ident: $far_end:ident,)+) => {
        $(mod $name { on_each!(@ $far_end $tests); })+
    };
}

on_each! {
    [
        what_is_delivered_is_the_events_document
        what_fails_for_a_time_comes_later_and_is_counted
        what_is_refused_for_good_is_dead_with_its_reason
        what_was_acknowledged_comes_though_a_kill_is_in_the_middle
    ]
    // Each type of sink, and what stands at its far end.
    files: Files,
    http: Http,
}
