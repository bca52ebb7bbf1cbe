//! The least that the job costs: a plain client that makes the same calls as the service and keeps nothing.
//!
//! For each session the six GETs of its notification, all at once, and one POST with what came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use futures_util::future::try_join_all;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use url::Url;

use super::messages::Messages;
use super::process::cpu_of;

/// What came of a run.
pub(crate) struct Done {
    pub(crate) took: Duration,
    pub(crate) cpu: Duration,
}

struct Job {
    client: Client,
    token: String,
    api: Url,
    sink: Url,
    messages: Messages,
    next: AtomicU64,
    count: u64,
}

/// Does the first `count` sessions, `at_once` at a time.
pub(crate) async fn run(
    api: &Url,
    sink: &Url,
    messages: &Messages,
    count: u64,
    at_once: usize,
) -> anyhow::Result<Done> {
    let client = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(at_once * 6)
        .build()?;
    let login = json!({ "partner_id": "bench", "partner_token": "bench" });
    let answer = client
        .post(api.join("/api/v1/auth/login")?)
        .body(login.to_string())
        .send()
        .await?;
    let answer: Value = serde_json::from_slice(&answer.error_for_status()?.bytes().await?)?;
    let job = Arc::new(Job {
        client,
        token: answer["suki_token"]
            .as_str()
            .context("no token")?
            .to_owned(),
        api: api.clone(),
        sink: sink.clone(),
        messages: messages.clone(),
        next: AtomicU64::new(0),
        count,
    });
    let (start, cpu) = (Instant::now(), cpu_of(std::process::id())?);
    let mut workers = JoinSet::new();
    for _ in 0..at_once {
        let job = Arc::clone(&job);
        workers.spawn(async move { job.work().await });
    }
    while let Some(worked) = workers.join_next().await {
        worked??;
    }
    Ok(Done {
        took: start.elapsed(),
        cpu: cpu_of(std::process::id())?.saturating_sub(cpu),
    })
}

impl Job {
    async fn work(&self) -> anyhow::Result<()> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return Ok(());
            }
            self.session(&self.messages.get(number).body).await?;
        }
    }

    async fn session(&self, notification: &[u8]) -> anyhow::Result<()> {
        let read: Value = serde_json::from_slice(notification)?;
        let groups = read["_links"].as_object().into_iter().flatten();
        let hrefs = groups.filter_map(|(_, links)| links[0]["href"].as_str());
        let bodies = try_join_all(hrefs.map(|href| self.fetch(href))).await?;
        anyhow::ensure!(
            bodies.len() == 6,
            "a notification has {} links",
            bodies.len()
        );
        let mut out = format!(r#"{{"subject":{},"notification":"#, read["session_id"]).into_bytes();
        out.extend_from_slice(notification);
        out.extend_from_slice(br#","resources":["#);
        out.extend_from_slice(&bodies.join(&b','));
        out.extend_from_slice(b"]}");
        let request = self
            .client
            .post(self.sink.clone())
            .header(CONTENT_TYPE, "application/json");
        request.body(out).send().await?.error_for_status()?;
        Ok(())
    }

    async fn fetch(&self, href: &str) -> anyhow::Result<Bytes> {
        let request = self
            .client
            .get(self.api.join(href)?)
            .header("sdp_suki_token", &self.token);
        Ok(request.send().await?.error_for_status()?.bytes().await?)
    }
}
