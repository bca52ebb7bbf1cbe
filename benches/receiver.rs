//! The service under measurement: the released binary with an environment of its own, in a folder of its own.
//!
//! A black box: what it has done is asked by its HTTP ports alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use suki_receiver::lab::simulator::own_address;
use url::Url;

use super::process::{Process, http};

/// The binary.
pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_suki-receiver");

/// The secret that notifications are signed with.
pub(crate) const SECRET: &str = "a secret for benchmarks only";

/// What operators' calls carry.
const ADMIN_TOKEN: &str = "a-token-for-benchmarks-only";

/// How long a start or a stop may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How a receiver is set up.
#[derive(Clone)]
pub(crate) struct Settings {
    dir: PathBuf,
    variables: BTreeMap<String, String>,
}

/// A running receiver, killed when this is dropped.
pub(crate) struct Receiver {
    pub(crate) process: Process,
    /// Where notifications go.
    pub(crate) webhook: Url,
    admin: SocketAddr,
}

impl Settings {
    /// The defaults, but for what a benchmark sets: an embedded store in `dir`, no credentials, no sinks.
    pub(crate) fn new(dir: &Path, more: &[(String, String)]) -> Self {
        let settings = Self {
            dir: dir.to_owned(),
            variables: BTreeMap::new(),
        };
        let store = format!("sqlite:{}", settings.file().display());
        let settings = settings
            .set("STORE__URL", store)
            .set("STORE__SPOOL_DIR", dir.join("spool").display().to_string())
            .set("SERVER__DRAIN_DELAY", "0s")
            .set("SERVER__DRAIN_TIMEOUT", "10s")
            .set("SIGNATURE__SECRET", SECRET)
            .set("ADMIN__TOKEN", ADMIN_TOKEN)
            .set("LOG__LEVEL", "warn");
        more.iter()
            .fold(settings, |settings, (key, value)| settings.set(key, value))
    }

    #[must_use]
    pub(crate) fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        let key = format!("SUKI_RECEIVER__{key}");
        self.variables.insert(key, value.into());
        self
    }

    /// Follows the links of what comes.
    #[must_use]
    pub(crate) fn api(self, base: &Url) -> Self {
        self.set("SDP__BASE_URL", base.as_str())
            .set("SDP__AUTH__PARTNER_ID", "bench")
            .set("SDP__AUTH__PARTNER_TOKEN", "bench")
    }

    #[must_use]
    pub(crate) fn http_sink(self, url: &Url) -> Self {
        self.set("SINKS__OUT__TYPE", "http")
            .set("SINKS__OUT__URL", url.as_str())
            .set("SINKS__OUT__SECRET", "a secret for deliveries only")
    }

    #[must_use]
    pub(crate) fn files_sink(self, out: &Path) -> Self {
        self.set("SINKS__OUT__TYPE", "files")
            .set("SINKS__OUT__DIR", out.display().to_string())
    }

    /// Another instance with these settings, in a folder of its own.
    #[must_use]
    pub(crate) fn in_folder(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.dir);
        self.set("STORE__SPOOL_DIR", dir.join("spool").display().to_string())
    }

    /// The file of the embedded store.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join("data/receiver.db")
    }

    /// Starts a receiver and waits until it is ready.
    pub(crate) async fn start(&self) -> anyhow::Result<Receiver> {
        self.start_under(&[]).await
    }

    /// The same, run by another command.
    pub(crate) async fn start_under(&self, command: &[String]) -> anyhow::Result<Receiver> {
        std::fs::create_dir_all(&self.dir)?;
        let (public, admin) = (own_address()?, own_address()?);
        let settings = self
            .clone()
            .set("SERVER__LISTEN", public.to_string())
            .set("ADMIN__LISTEN", admin.to_string());
        let line: Vec<_> = command
            .iter()
            .cloned()
            .chain([EXE.to_owned(), "serve".to_owned()])
            .collect();
        let mut process = Process::start(&self.dir, "receiver", &line, &settings.variables)?;
        let ready = format!("http://{public}/readyz");
        process.ready(&ready, PATIENCE).await?;
        Ok(Receiver {
            process,
            webhook: format!("http://{public}/webhooks/notification").parse()?,
            admin,
        })
    }
}

impl Receiver {
    /// How many deliveries it has made since its start.
    pub(crate) async fn delivered(&self) -> anyhow::Result<u64> {
        self.sum("deliveries_total", r#"result="delivered""#).await
    }

    /// How many events it knows of, in whatever state.
    pub(crate) async fn events(&self) -> anyhow::Result<u64> {
        self.sum("events", "state=").await
    }

    /// How many of them are dead.
    pub(crate) async fn dead(&self) -> anyhow::Result<u64> {
        self.sum("events", "state=\"dead\"").await
    }

    /// Signs in to the console; gives back the cookie.
    pub(crate) async fn sign_in(&self) -> anyhow::Result<String> {
        let request = http()
            .post(format!("http://{}/sign-in", self.admin))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(format!("token={ADMIN_TOKEN}"));
        let answer = request.send().await?;
        let cookie = answer.headers().get("set-cookie").context("no cookie")?;
        let cookie = cookie.to_str()?.split(';').next().unwrap_or_default();
        Ok(cookie.to_owned())
    }

    /// A page of the console, whole.
    pub(crate) async fn page(&self, path: &str, cookie: &str) -> anyhow::Result<String> {
        let request = http()
            .get(format!("http://{}{path}", self.admin))
            .header("cookie", cookie);
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.text().await?)
    }

    /// The id of the newest event.
    pub(crate) async fn newest(&self) -> anyhow::Result<String> {
        let request = http()
            .get(format!("http://{}/api/v1/events?limit=1", self.admin))
            .bearer_auth(ADMIN_TOKEN);
        let page: serde_json::Value =
            serde_json::from_slice(&request.send().await?.bytes().await?)?;
        let id = page["events"][0]["id"].as_str().context("no event")?;
        Ok(id.to_owned())
    }

    /// How often it has asked for an expected session.
    pub(crate) async fn polls(&self) -> anyhow::Result<u64> {
        self.sum("reconcile_polls_total", "result=").await
    }

    /// How many alerts of a type are on.
    pub(crate) async fn alerts(&self, alert: &str) -> anyhow::Result<u64> {
        self.sum("alerts", &format!(r#"type="{alert}""#)).await
    }

    /// Expects sessions, one JSON object a line.
    pub(crate) async fn expect_sessions(&self, lines: String) -> anyhow::Result<()> {
        let url = format!("http://{}/api/v1/sessions", self.admin);
        let request = http()
            .post(url)
            .bearer_auth(ADMIN_TOKEN)
            .header("content-type", "application/x-ndjson")
            .body(lines);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// A metric, added up over all lines that have this among their labels.
    async fn sum(&self, metric: &str, label: &str) -> anyhow::Result<u64> {
        let url = format!("http://{}/metrics", self.admin);
        let text = http().get(url).send().await?.text().await?;
        let begin = format!("suki_receiver_{metric}{{");
        let lines = text.lines().filter_map(|line| {
            let (labels, value) = line.strip_prefix(&begin)?.split_once("} ")?;
            labels.contains(label).then_some(value)
        });
        let values: Vec<f64> = lines.map(str::parse).collect::<Result<_, _>>()?;
        Ok(values.iter().sum::<f64>() as u64)
    }
}
