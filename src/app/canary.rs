//! Sends the synthetic notification now and then, as Suki would: signed, to the address that Suki was given. Who receives it
//! verifies it, commits a write and answers; silence is an alert before it costs a note.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use url::Url;

use crate::config::{Config, Proxy};
use crate::domain::Canary as Synthetic;
use crate::lifecycle::{Alert, Alerts, TaskGroup};
use crate::metrics::Metrics;
use crate::net::{ClientOptions, Reach, build_client, describe};
use crate::signature::{GENERATED_AT_HEADER, SIGNATURE_HEADER, Secrets};
use crate::sinks::{CloudEvent, ReloadableSink, Sink, SinkAnswer};

/// So many in a row that are not answered are an alert.
const MISSES: u32 = 2;
/// How much of an answer is read.
const ANSWER_BYTES: usize = 4096;

/// The sender.
pub(super) struct Canary {
    client: reqwest::Client,
    url: Option<Url>,
    path: String,
    every: Duration,
    /// What it is signed with: the first of them; swapped on reload.
    secrets: Arc<ArcSwap<Secrets>>,
    instance: String,
    /// Who is told that it came through.
    sinks: Vec<ReloadableSink>,
    metrics: Metrics,
    alerts: Alerts,
}

impl Canary {
    /// The sender, where one is configured.
    ///
    /// # Errors
    /// When its HTTP client cannot be set up.
    pub(super) fn of(
        config: &Config,
        instance: String,
        sinks: &[(crate::config::SinkConfig, ReloadableSink)],
        secrets: &Arc<ArcSwap<Secrets>>,
        (metrics, alerts): (Metrics, Alerts),
    ) -> anyhow::Result<Option<Self>> {
        if !config.canary.enabled {
            return Ok(None);
        }
        // Its own listener is on this machine; the address that Suki was given may be outside.
        let proxy = match config.canary.url {
            Some(_) => &config.net.proxy,
            None => &Proxy::None,
        };
        let client = build_client(&ClientOptions {
            timeout: config.canary.timeout,
            ca_file: None,
            reach: Reach::Anywhere,
            proxy,
        })
        .context("[canary]")?;
        metrics.knows_canary();
        let told = sinks.iter().filter(|(sink, _)| sink.canary);
        Ok(Some(Self {
            client,
            url: config.canary.url.clone(),
            path: config.server.path.clone(),
            every: config.canary.every,
            secrets: Arc::clone(secrets),
            instance,
            sinks: told.map(|(_, sink)| sink.clone()).collect(),
            metrics,
            alerts,
        }))
    }

    /// Sends until `tasks` stops; `public` is this service's own address.
    pub(super) async fn run(self, public: SocketAddr, tasks: TaskGroup) {
        let url = match self.url.clone() {
            Some(url) => url,
            None => match own(public, &self.path) {
                Some(url) => url,
                None => return,
            },
        };
        let mut misses = 0;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = tasks.stopping() => return,
            }
            let start = Instant::now();
            let sent = tokio::select! {
                sent = self.send(&url) => sent,
                () = tasks.stopping() => return,
            };
            let took = start.elapsed();
            match sent {
                Ok(()) => {
                    misses = 0;
                    self.metrics.canary_answered(took);
                    self.alerts.resolve(Alert::CanarySilent, "");
                    tokio::select! {
                        () = self.tell(took) => {}
                        () = tasks.stopping() => return,
                    }
                }
                Err(reason) => {
                    misses += 1;
                    self.metrics.canary_missed();
                    tracing::warn!(
                        reason,
                        "the synthetic notification was not answered with 200"
                    );
                    if misses >= MISSES {
                        let message = format!(
                            "the synthetic notification is not answered ({reason}): real ones may not arrive either"
                        );
                        self.alerts.raise(Alert::CanarySilent, "", message);
                    }
                }
            }
        }
    }

    async fn send(&self, url: &Url) -> Result<(), String> {
        let (canary, now) = (
            Synthetic::generate(),
            Timestamp::now().as_millisecond().to_string(),
        );
        let signature = self
            .secrets
            .load()
            .sign(&now, canary.body().as_bytes())
            .ok_or("there is no signing secret")?;
        let answer = self
            .client
            .post(url.clone())
            .header(SIGNATURE_HEADER, signature)
            .header(GENERATED_AT_HEADER, now)
            .header("content-type", "application/json")
            .body(canary.body().to_owned())
            .send()
            .await
            .map_err(|error| describe(&error))?;
        let status = answer.status();
        // Another service that answers 200 to everything is no receiver.
        let body = beginning(answer).await;
        match status.as_u16() {
            200 if String::from_utf8_lossy(&body).contains(r#""result":"canary""#) => Ok(()),
            200 => Err("HTTP 200, but not of this service".to_owned()),
            status => Err(format!("HTTP {status}")),
        }
    }

    /// Word of one is worth no second try: the next one follows.
    async fn tell(&self, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let event = CloudEvent::of_canary(took_ms, &self.instance);
        let told = self.sinks.iter().map(|sink| sink.deliver(&event));
        for outcome in futures_util::future::join_all(told).await {
            if let SinkAnswer::Retry { reason, .. } | SinkAnswer::Rejected { reason } = outcome {
                tracing::debug!(%reason, "a sink was not told of the synthetic notification");
            }
        }
    }
}

/// The body of an answer, at least its first part; ours is short.
async fn beginning(mut answer: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body
}

/// This service's own listener, by loopback where it listens everywhere.
fn own(public: SocketAddr, path: &str) -> Option<Url> {
    let host = match public {
        address if !address.ip().is_unspecified() => address.to_string(),
        address => format!("127.0.0.1:{}", address.port()),
    };
    Url::parse(&format!("http://{host}{path}")).ok()
}
