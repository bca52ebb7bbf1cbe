//! The real binary as a process: started with an environment of its own, signalled, killed, its log read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use suki_receiver::lab::simulator::own_address;

use super::client::{SECRET, Signed, http};
use super::{PATIENCE, eventually};

/// The path of the binary under test.
pub const EXE: &str = env!("CARGO_BIN_EXE_suki-receiver");

/// A running `suki-receiver serve`.
pub struct Binary {
    child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub dir: PathBuf,
}

impl Binary {
    /// Starts in `dir` with these variables on top of the usual ones, and waits until it is ready.
    pub async fn start(dir: &Path, more: &[(&str, String)]) -> Self {
        let binary = Self::spawn(dir, more);
        let url = format!("http://{}/readyz", binary.public);
        binary.ready(&http(), &url).await;
        binary
    }

    /// The same over HTTPS, asked by a client that trusts it.
    pub async fn start_tls(dir: &Path, more: &[(&str, String)], client: reqwest::Client) -> Self {
        // The certificate is for this name, and the name for this one address, which every test has: its own ports are not
        // this test's alone there, so the system gives a free one.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let public = free.local_addr().unwrap();
        drop(free);
        let binary = Self::spawn_on(&[], dir, public, own_address().unwrap(), more);
        let url = format!("https://localhost:{}/readyz", public.port());
        binary.ready(&client, &url).await;
        binary
    }

    async fn ready(&self, client: &reqwest::Client, url: &str) {
        eventually("the binary is ready", || async {
            client
                .get(url)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// The same, run by another command.
    pub async fn start_under(command: &[String], dir: &Path, more: &[(&str, String)]) -> Self {
        let binary = Self::spawn_under(command, dir, more);
        let url = format!("http://{}/readyz", binary.public);
        binary.ready(&http(), &url).await;
        binary
    }

    /// Starts without waiting.
    pub fn spawn(dir: &Path, more: &[(&str, String)]) -> Self {
        Self::spawn_under(&[], dir, more)
    }

    /// The same, run by another command.
    pub fn spawn_under(command: &[String], dir: &Path, more: &[(&str, String)]) -> Self {
        let (public, admin) = (own_address().unwrap(), own_address().unwrap());
        Self::spawn_on(command, dir, public, admin, more)
    }

    /// Another process with the same configuration, beside this one.
    pub fn spawn_successor(&self, more: &[(&str, String)]) -> Self {
        Self::spawn_on(&[], &self.dir, self.public, self.admin, more)
    }

    /// The same, run by another command on these addresses.
    pub fn spawn_on(
        command: &[String],
        dir: &Path,
        public: SocketAddr,
        admin: SocketAddr,
        more: &[(&str, String)],
    ) -> Self {
        let mut variables: BTreeMap<String, String> = [
            ("SERVER__LISTEN", public.to_string()),
            ("SERVER__DRAIN_DELAY", "100ms".to_owned()),
            ("SERVER__DRAIN_TIMEOUT", "10s".to_owned()),
            ("ADMIN__LISTEN", admin.to_string()),
            ("SIGNATURE__SECRET", SECRET.to_owned()),
            ("SINKS__ARCHIVE__TYPE", "files".to_owned()),
            ("SINKS__ARCHIVE__DIR", dir.join("out").display().to_string()),
            (
                "STORE__URL",
                format!("sqlite:{}", dir.join("data/receiver.db").display()),
            ),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        variables.extend(
            more.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("log"))
            .unwrap();
        let mut line = command.to_vec();
        line.extend([EXE.to_owned(), "serve".to_owned()]);
        let child = Command::new(&line[0])
            .args(&line[1..])
            .current_dir(dir)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .envs(
                variables
                    .into_iter()
                    .map(|(key, value)| (format!("SUKI_RECEIVER__{key}"), value)),
            )
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            public,
            admin,
            dir: dir.to_owned(),
        }
    }

    pub fn webhook(&self) -> String {
        format!("http://{}/webhooks/notification", self.public)
    }

    /// Posts this notification, which is accepted; the event's id.
    pub async fn post(&self, body: impl Into<Vec<u8>>) -> String {
        let (status, answer) = Signed::new(body).post(&self.webhook()).await;
        assert_eq!(status, 200, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// The event by the API.
    pub async fn event(&self, id: &str) -> Value {
        self.api(&format!("/events/{id}")).await
    }

    /// What the API answers to a GET.
    pub async fn api(&self, path: &str) -> Value {
        self.call(http().get(self.api_url(path))).await.1
    }

    /// What the API answers to a POST.
    pub async fn api_post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = http().post(self.api_url(path)).body(body.to_string());
        self.call(request).await
    }

    /// The address of a path of the API.
    pub fn api_url(&self, path: &str) -> String {
        format!("http://{}/api/v1{path}", self.admin)
    }

    /// The operator's token that the service made itself.
    pub fn token(&self) -> String {
        let token = std::fs::read_to_string(self.dir.join("data/admin-token")).unwrap();
        token.trim().to_owned()
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.bearer_auth(self.token()).send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
        )
    }

    /// Waits until the event has this state; the event by the API.
    pub async fn becomes(&self, id: &str, state: &str) -> Value {
        eventually(&format!("event {id} is {state}"), || async {
            self.event(id).await["state"] == state
        })
        .await;
        self.event(id).await
    }

    /// The metrics' text.
    pub async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.admin);
        http().get(url).send().await.unwrap().text().await.unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sets the size, in bytes or `unlimited`, beyond which no file of the process may grow: a write beyond it fails.
    pub fn limit_files(&self, size: &str) {
        let done = Command::new("prlimit")
            .args(["--pid", &self.pid().to_string()])
            .arg(format!("--fsize={size}:unlimited"))
            .status()
            .unwrap();
        assert!(done.success());
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Ends it the hard way.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "the process does not end; its log:\n{}",
                self.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// What it has logged, once `part` is in it. Lines are written behind what they tell of, so a test waits for them.
    pub async fn logs(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.contains(part) {
                return log;
            }
            assert!(Instant::now() < deadline, "no line with '{part}':\n{log}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has rejected requests verified again by the settings of the binary that runs in `dir`; what came of it.
pub fn reverify(dir: &Path) -> Value {
    let url = format!("sqlite:{}", dir.join("data/receiver.db").display());
    let output = Command::new(EXE)
        .args(["events", "reverify", "--json"])
        .current_dir(dir)
        .env_clear()
        .env("SUKI_RECEIVER__SIGNATURE__SECRET", crate::support::SECRET)
        .env("SUKI_RECEIVER__STORE__URL", url)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
