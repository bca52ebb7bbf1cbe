//! The partner's side in docs/examples, each as the process that its head says how to start: what the real receiver
//! delivers is kept once, and what is not authentic is refused. The examples' own code is not looked at.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::Sha256;
use suki_receiver::config::{HttpConfig, NamedSecret, Proxy, Secret, SinkTarget};

use crate::support::{PATIENCE, Receiver, all_files_below, failure, http, sink, until};

/// The secret of both sides, in the two forms that there are.
const SECRETS: [&str; 2] = [
    "PHI-secret-of-the-sink",
    "whsec_UEhJLXNlY3JldC1vZi10aGUtc2luaw==",
];

/// The key that both of them are.
const KEY: &[u8] = b"PHI-secret-of-the-sink";

/// How an example is started in docs/examples. C# is not among them: Debian has no .NET.
struct Language {
    command: &'static [&'static str],
}

const PYTHON: Language = Language {
    command: &["python3", "python/receive.py"],
};
const NODE: Language = Language {
    command: &["node", "node/receive.mjs"],
};
const JAVA: Language = Language {
    command: &["java", "java/Receive.java"],
};
/// A running example with a folder of its own.
struct Example {
    child: Child,
    address: SocketAddr,
    said: Arc<Mutex<String>>,
    secret: &'static str,
    temp: tempfile::TempDir,
}

impl Example {
    /// Starts it.
    async fn start(language: &Language, secret: &'static str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("events")).unwrap();
        std::fs::write(temp.path().join("secret"), format!("{secret}\n")).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let (program, words) = language.command.split_first().unwrap();
        let started = Command::new(program)
            .args(words)
            .args([temp.path().join("secret"), temp.path().join("events")])
            .arg(address.port().to_string())
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples"))
            // What starts a program of its own, as `dotnet run` does, is ended with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let started =
            started.map_err(|error| format!("{program}: {error}; tests/run.sh installs it"));
        let mut child = started.unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, written) = (BufReader::new(child.stdout.take().unwrap()), said.clone());
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *written.lock().unwrap() += &format!("{line}\n");
            }
        });
        let example = Self {
            child,
            address,
            said,
            secret,
            temp,
        };
        example.says("listening on").await;
        example
    }

    /// Waits until it has printed this.
    async fn says(&self, part: &str) {
        let name = format!("the example prints '{part}'");
        until(&name, || self.said.lock().unwrap().contains(part)).await;
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("events")
    }

    /// What lies in its folder, half files as well.
    fn kept(&self) -> Vec<PathBuf> {
        all_files_below(&self.folder())
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A receiver that delivers to it.
    async fn receiver(&self) -> Receiver {
        let secret = |id: &str, value: &str| NamedSecret {
            id: id.to_owned(),
            secret: Secret::literal(value),
        };
        let http = HttpConfig {
            template: None,
            url: self.url().parse().unwrap(),
            // As during a rotation: the example's is the second.
            secrets: vec![secret("other", "another"), secret("own", self.secret)],
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            ca_file: None,
            proxy: Proxy::None,
        };
        let sink = sink("ehr", SinkTarget::Http(http));
        Receiver::start_with(|config| config.sinks = vec![sink]).await
    }

    /// Posts this as a delivery of an event; the status.
    async fn post(&self, delivery: &Delivery) -> u16 {
        let request = http()
            .post(self.url())
            .header("webhook-id", delivery.id)
            .header("webhook-timestamp", delivery.timestamp)
            .header("webhook-signature", delivery.signature())
            .body(delivery.body)
            .timeout(PATIENCE);
        request.send().await.unwrap().status().as_u16()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = killpg(
            Pid::from_raw(self.child.id().cast_signed()),
            Signal::SIGKILL,
        );
        let _ = self.child.wait();
    }
}

/// A delivery that the test makes itself.
struct Delivery {
    id: &'static str,
    timestamp: i64,
    body: &'static str,
    key: &'static [u8],
    version: &'static str,
}

impl Delivery {
    /// An authentic one of now.
    fn of_now() -> Self {
        Self {
            id: "01a215b7-2f2e-7612-aee5-c8bbe625e3f0",
            timestamp: jiff::Timestamp::now().as_second(),
            body: r#"{"specversion":"1.0","data":{"note":"á"}}"#,
            key: KEY,
            version: "v1",
        }
    }

    fn signature(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key).unwrap();
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        let bytes = mac.finalize().into_bytes();
        format!("{},{}", self.version, STANDARD.encode(bytes))
    }
}

/// What the receiver delivers twice is there once, byte for byte.
async fn keeps_an_event_once_though_it_is_delivered_twice(language: &Language) {
    for secret in SECRETS {
        let example = Example::start(language, secret).await;
        let receiver = example.receiver().await;
        let id = receiver.post(failure("s")).await;
        receiver.becomes(&id, "done").await;
        let file = example.folder().join(format!("{id}.json"));
        assert_eq!(example.kept(), std::slice::from_ref(&file));
        let first = std::fs::read(&file).unwrap();
        let envelope: Value = serde_json::from_slice(&first).unwrap();
        assert_eq!(envelope["id"], id);
        let (path, again) = (
            format!("/api/v1/events/{id}/replay"),
            json!({"from": "deliver"}),
        );
        let (status, answer) = receiver.admin_post(&path, again).await;
        assert!((200..300).contains(&status), "{answer}");
        example.says(&format!("kept before: {id}")).await;
        receiver.becomes(&id, "done").await;
        assert_eq!(example.kept(), std::slice::from_ref(&file));
        assert_eq!(std::fs::read(&file).unwrap(), first);
    }
}

/// Each of these differs in one thing from a delivery that is taken.
async fn refuses_what_is_not_authentic_or_old(language: &Language) {
    let example = Example::start(language, SECRETS[0]).await;
    let (now, minutes) = (Delivery::of_now().timestamp, 60);
    let change = |change: fn(&mut Delivery)| {
        let mut delivery = Delivery::of_now();
        change(&mut delivery);
        delivery
    };
    let at = |timestamp| Delivery {
        timestamp,
        ..Delivery::of_now()
    };
    for (what, delivery) in [
        ("another key", change(|one| one.key = b"another")),
        ("another version", change(|one| one.version = "v2")),
        ("an old timestamp", at(now - 6 * minutes)),
        ("a timestamp to come", at(now + 6 * minutes)),
    ] {
        assert_eq!(example.post(&delivery).await, 401, "{what}");
    }
    let unsigned = http().post(example.url()).body("{}").send().await.unwrap();
    assert_eq!(unsigned.status(), 401, "no header at all");
    let elsewhere = change(|one| one.id = "../../01a215b7-2f2e-7612-aee5-c8bbe62");
    assert_eq!(example.post(&elsewhere).await, 400, "an id that is a path");
    assert_eq!(example.kept(), Vec::<PathBuf>::new());
    assert_eq!(
        example.post(&Delivery::of_now()).await,
        204,
        "as it should be"
    );
    assert_eq!(example.kept().len(), 1);
}

/// While its folder is away nothing is taken, and the receiver delivers when it is back.
async fn takes_nothing_that_it_cannot_keep(language: &Language) {
    let example = Example::start(language, SECRETS[0]).await;
    let receiver = example.receiver().await;
    std::fs::remove_dir(example.folder()).unwrap();
    let id = receiver.post(failure("s")).await;
    example.says(&format!("not kept: {id}")).await;
    assert_ne!(receiver.state_of(&id).await, "done");
    std::fs::create_dir(example.folder()).unwrap();
    receiver.becomes(&id, "done").await;
    assert_eq!(example.kept().len(), 1);
}

macro_rules! in_each {
    ($($language:ident: $constant:ident),*) => {$(
        mod $language {
            use super::*;

            #[tokio::test]
            async fn keeps_an_event_once_though_it_is_delivered_twice() {
                super::keeps_an_event_once_though_it_is_delivered_twice(&$constant).await;
            }

            #[tokio::test]
            async fn refuses_what_is_not_authentic_or_old() {
                super::refuses_what_is_not_authentic_or_old(&$constant).await;
            }

            #[tokio::test]
            async fn takes_nothing_that_it_cannot_keep() {
                super::takes_nothing_that_it_cannot_keep(&$constant).await;
            }
        }
    )*};
}

in_each!(python: PYTHON, node: NODE, java: JAVA);
