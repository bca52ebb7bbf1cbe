//! Sends the synthetic notification at intervals, as Suki would: signed, to the address that Suki was given. The
//! service at that address verifies it, commits a write and answers. If it does not answer, an alert is raised before a
//! note is lost.

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

/// An alert is raised after this many unanswered notifications in a row.
const MISSES: u32 = 2;
/// At most this much of an answer's body is read.
const ANSWER_BYTES: usize = 4096;

/// The sender of synthetic notifications.
pub(super) struct Canary {
    client: reqwest::Client,
    url: Option<Url>,
    path: String,
    every: Duration,
    /// The signing secrets, swapped on reload. The first one signs.
    secrets: Arc<ArcSwap<Secrets>>,
    instance: String,
    /// The sinks that are told when a synthetic notification was answered.
    sinks: Vec<ReloadableSink>,
    metrics: Metrics,
    alerts: Alerts,
}

impl Canary {
    /// The sender, if one is configured.
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
        // The service's own listener is on this machine and needs no proxy; the address that Suki was given may be
        // outside.
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
        let informed = sinks.iter().filter(|(sink, _)| sink.canary);
        Ok(Some(Self {
            client,
            url: config.canary.url.clone(),
            path: config.server.path.clone(),
            every: config.canary.every,
            secrets: Arc::clone(secrets),
            instance,
            sinks: informed.map(|(_, sink)| sink.clone()).collect(),
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
                        () = self.report(took) => {}
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
        // The body is checked too: another service may answer 200 to everything.
        let body = beginning(answer).await;
        match status.as_u16() {
            200 if String::from_utf8_lossy(&body).contains(r#""result":"canary""#) => Ok(()),
            200 => Err("HTTP 200, but not of this service".to_owned()),
            status => Err(format!("HTTP {status}")),
        }
    }

    /// Tells the sinks. A delivery that fails is not retried, because the next synthetic notification follows soon.
    async fn report(&self, took: Duration) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let event = CloudEvent::of_canary(took_ms, &self.instance);
        let deliveries = self.sinks.iter().map(|sink| sink.deliver(&event));
        for outcome in futures_util::future::join_all(deliveries).await {
            if let SinkAnswer::Retry { reason, .. } | SinkAnswer::Rejected { reason } = outcome {
                tracing::debug!(%reason, "a sink was not told of the synthetic notification");
            }
        }
    }
}

/// The beginning of an answer's body, up to about [`ANSWER_BYTES`]. This service's own answer is shorter.
async fn beginning(mut answer: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    body
}

/// The address of this service's own listener: loopback when it listens on all addresses.
fn own(public: SocketAddr, path: &str) -> Option<Url> {
    let host = match public {
        address if !address.ip().is_unspecified() => address.to_string(),
        address => format!("127.0.0.1:{}", address.port()),
    };
    Url::parse(&format!("http://{host}{path}")).ok()
}
