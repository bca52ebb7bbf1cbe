//! The console in a real browser: Chromium, driven by chromedriver. `tests/run.sh` installs both, and axe-core, where they
//! are missing.

mod console;
mod pictures;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use axum::http;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::support::eventually;

/// A name of this machine that browsers do not take for it, so that they trust plain HTTP to it less.
pub const ELSEWHERE: &str = "console.example";

/// A browser of its own, closed with the test.
pub struct Browser {
    pub client: Client,
    driver: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub async fn start() -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing; tests/run.sh installs it (Debian: chromium-driver)");
        let profile = tempfile::tempdir().unwrap();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let options = json!({
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", folder,
                format!("--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"),
            ]},
        });
        let Value::Object(options) = options else {
            unreachable!()
        };
        let driver_url = format!("http://127.0.0.1:{port}");
        let client = Mutex::new(None);
        eventually("the browser is there", || async {
            let connector = HttpConnector::new();
            let mut builder = ClientBuilder::new(connector);
            let connected = builder
                .capabilities(options.clone())
                .connect(&driver_url)
                .await;
            *client.lock().unwrap() = connected.ok();
            client.lock().unwrap().is_some()
        })
        .await;
        Self {
            client: client.into_inner().unwrap().unwrap(),
            driver,
            _profile: profile,
        }
    }

    pub async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The page's text, or what part of it this names.
    pub async fn text(&self, selector: &str) -> Result<String, CmdError> {
        self.client.find(Locator::Css(selector)).await?.text().await
    }

    /// Waits until a part of the page says so.
    pub async fn says(&self, selector: &str, words: &str) {
        eventually(&format!("{selector} says '{words}'"), async || {
            self.text(selector)
                .await
                .is_ok_and(|text| text.contains(words))
        })
        .await;
    }

    /// Presses keys as somebody does who has no mouse: on whatever has the focus.
    pub async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(keys).await.unwrap();
    }

    /// Goes on by the tabulator until what has the focus says so.
    pub async fn tab_to(&self, words: &str) {
        for _ in 0..80 {
            let focused = self.client.active_element().await.unwrap();
            // The page as a whole, or a part that can be scrolled, is nothing to press.
            let tag = focused.tag_name().await.unwrap_or_default();
            let text = match &*tag {
                "a" | "button" | "summary" => focused.text().await.unwrap_or_default(),
                _ => String::new(),
            };
            let label = focused.attr("aria-label").await.unwrap_or_default();
            let name = focused.attr("name").await.unwrap_or_default();
            if text.contains(words)
                || label.as_deref() == Some(words)
                || name.as_deref() == Some(words)
            {
                return;
            }
            self.press("\u{e004}").await;
        }
        panic!("no tabulator leads to '{words}'");
    }

    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// The width of the page. A window of Chromium cannot be as narrow as a telephone.
    pub async fn set_width(&self, width: u32) {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        let command = Chromium {
            path: "goog/cdp/execute",
            body: json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}),
        };
        self.client.issue_cmd(command).await.unwrap();
    }

    /// What axe-core finds wrong with the page, by WCAG 2.2 A and AA.
    pub async fn violations(&self) -> Vec<String> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/axe/package/axe.min.js");
        let axe = std::fs::read_to_string(&path)
            .unwrap_or_else(|_| panic!("{} is missing; tests/run.sh fetches it", path.display()));
        self.run(&axe).await;
        let script = "const done = arguments[0];
            const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa'];
            axe.run(document, {runOnly: {type: 'tag', values: tags}}).then(
                (found) => done(found.violations.flatMap((rule) =>
                    rule.nodes.map((node) => rule.id + ': ' + node.target + ': ' + node.failureSummary))),
                (error) => done(['axe: ' + error]));";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        let found = found.as_array().unwrap().iter();
        found.map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    /// What the browser's console has complained about: what failed to load, what the policy forbids, what broke.
    pub async fn complaints(&self) -> Vec<String> {
        let command = Chromium {
            path: "se/log",
            body: json!({"type": "browser"}),
        };
        let log = self.client.issue_cmd(command).await.unwrap();
        let lines = log.as_array().unwrap().iter();
        lines
            .filter(|line| line["level"] == "SEVERE")
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect()
    }

    pub async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        self.driver.kill().unwrap();
        self.driver.wait().unwrap();
    }
}

/// A command that only Chromium knows.
#[derive(Debug)]
struct Chromium {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Chromium {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that failed leaves no browser behind.
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}
