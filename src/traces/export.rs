//! Sends spans to the collector in batches: OTLP over HTTP, as protobuf.
//!
//! When the collector is slow or down, spans are dropped and counted, and nothing else is affected: no work waits for
//! the collector, the log reports the problem at most once a minute, and a stop does not wait for a collector that was
//! already down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::mpsc;
use url::Url;

use super::Traces;
use super::outbox::Outbox;
use super::span::attribute;
use crate::config::Otel;
use crate::lifecycle::TaskGroup;
use crate::metrics::{Metrics, SpansDropped};
use crate::net::{ClientError, ClientOptions, Reach, build_client, describe, read_capped};

/// The limit of spans that wait; further ones are dropped.
const WAITING: usize = 8192;
/// The limit of spans in one call.
const BATCH: usize = 1024;
/// How long a batch waits for more spans.
const GATHER: Duration = Duration::from_secs(1);
/// The waits before the retries of a call that failed temporarily.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// The time that a stop allows for sending the last spans.
const FLUSH: Duration = Duration::from_secs(1);
/// The interval at which the log reports dropped spans at most.
const SAY_EVERY: Duration = Duration::from_secs(60);
/// The limit in bytes of an answer that is read.
const ANSWER: usize = 64 * 1024;

/// The two ends of tracing as configured: the handle that opens spans, and the exporter.
pub struct Setup {
    /// Opens spans.
    pub traces: Traces,
    /// Sends spans, if that is configured.
    pub exporter: Option<Exporter>,
}

impl Setup {
    /// Sets up tracing as configured. `instance` is the name of this instance.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn of(otel: &Otel, instance: &str, metrics: &Metrics) -> Result<Self, ClientError> {
        let Some(endpoint) = &otel.endpoint else {
            return Ok(Self {
                traces: Traces::off(),
                exporter: None,
            });
        };
        let (outbox, spans) = Outbox::new(WAITING, metrics);
        let collector = Collector::new(otel, endpoint.clone(), instance)?;
        metrics.traces();
        Ok(Self {
            traces: Traces::new(outbox, otel.sample),
            exporter: Some(Exporter {
                spans,
                collector,
                metrics: metrics.clone(),
                said: None,
                is_taking: true,
            }),
        })
    }
}

/// Sends spans to the collector.
pub struct Exporter {
    spans: mpsc::Receiver<Span>,
    collector: Collector,
    metrics: Metrics,
    /// When the log last reported dropped spans.
    said: Option<Instant>,
    /// Whether the last call succeeded.
    is_taking: bool,
}

impl Exporter {
    /// Sends spans until `tasks` stops, and then those that are left.
    pub async fn run(mut self, tasks: TaskGroup) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = tasks.stopping() => break,
                () = self.gather(&mut batch) => {}
            }
            if batch.is_empty() {
                // No code is left that opens spans.
                return;
            }
            self.send(batch, &tasks).await;
        }
        if self.is_taking {
            // Spans that are not sent by then are lost, as they are when the process is killed.
            tokio::time::timeout(FLUSH, self.flush()).await.ok();
        }
    }

    /// Waits for a span, and then a short time for further ones. When this future is dropped, the spans that have come
    /// stay in `batch`.
    async fn gather(&mut self, batch: &mut Vec<Span>) {
        self.spans.recv_many(batch, BATCH).await;
        let more = async {
            while batch.len() < BATCH {
                let room = BATCH - batch.len();
                if self.spans.recv_many(batch, room).await == 0 {
                    break;
                }
            }
        };
        tokio::time::timeout(GATHER, more).await.ok();
    }

    async fn flush(&mut self) {
        self.spans.close();
        let mut batch = Vec::new();
        while self.spans.recv_many(&mut batch, BATCH).await > 0 {
            let count = batch.len();
            let result = self.collector.post(std::mem::take(&mut batch)).await;
            self.note(count, result);
        }
    }

    async fn send(&mut self, batch: Vec<Span>, tasks: &TaskGroup) {
        let count = batch.len();
        let mut result = self.collector.post(batch.clone()).await;
        for wait in AGAIN {
            if !matches!(result, Err(Failure { may_pass: true, .. })) {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = tasks.stopping() => break,
            }
            result = self.collector.post(batch.clone()).await;
        }
        self.note(count, result);
    }

    /// Counts exported and dropped spans, and logs when spans are dropped.
    fn note(&mut self, count: usize, result: Result<usize, Failure>) {
        let (dropped, why) = match result {
            Ok(rejected) => (rejected, "it rejected some of them".to_owned()),
            Err(failure) => (count, failure.why),
        };
        let dropped = dropped.min(count);
        self.metrics.spans_exported(count - dropped);
        self.metrics.spans_dropped(SpansDropped::Collector, dropped);
        let was_taking = std::mem::replace(&mut self.is_taking, dropped == 0);
        if self.is_taking {
            if !was_taking {
                tracing::info!("the collector takes spans again");
                self.said = None;
            }
            return;
        }
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::warn!(
                spans = dropped,
                reason = why,
                "the collector at otel.endpoint does not take spans; they are dropped"
            );
        }
    }
}

/// Why a call failed.
struct Failure {
    why: String,
    /// Whether a retry of the same call may succeed.
    may_pass: bool,
}

/// The collector, and the data that every call contains.
struct Collector {
    client: reqwest::Client,
    endpoint: Url,
    headers: HeaderMap,
    resource: Arc<Resource>,
}

impl Collector {
    fn new(otel: &Otel, endpoint: Url, instance: &str) -> Result<Self, ClientError> {
        let client = build_client(&ClientOptions {
            timeout: otel.timeout,
            ca_file: otel.ca_file.as_deref(),
            reach: Reach::Anywhere,
            proxy: &otel.proxy,
        })?;
        let mut headers = HeaderMap::new();
        for (name, secret) in &otel.headers {
            let wrong = || ClientError::Header(format!("otel.headers.{name}"));
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?,
                value,
            );
        }
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        Ok(Self {
            client,
            endpoint,
            headers,
            resource: Arc::new(resource(otel, instance)),
        })
    }

    /// Posts spans, and returns how many of them the collector rejected.
    async fn post(&self, spans: Vec<Span>) -> Result<usize, Failure> {
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some((*self.resource).clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(InstrumentationScope {
                        name: env!("CARGO_PKG_NAME").to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        ..InstrumentationScope::default()
                    }),
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let call = self.client.post(self.endpoint.clone());
        let call = call.headers(self.headers.clone());
        let answer = call.body(request.encode_to_vec()).send().await;
        let answer = answer.map_err(|error| Failure {
            why: describe(&error),
            may_pass: true,
        })?;
        let status = answer.status();
        if !status.is_success() {
            return Err(Failure {
                why: format!("it answers HTTP {}", status.as_u16()),
                may_pass: may_pass(status),
            });
        }
        // An answer that cannot be read counts as one that rejects nothing.
        let body = read_capped(answer, ANSWER).await.unwrap_or_default();
        let said = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let rejected = said
            .partial_success
            .map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or(0))
    }
}

/// Whether OTLP asks a client to retry after this status.
fn may_pass(status: StatusCode) -> bool {
    [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
}

/// The OpenTelemetry resource that describes this service.
fn resource(otel: &Otel, instance: &str) -> Resource {
    let mut attributes: Vec<KeyValue> = [
        ("service.name", otel.service_name.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", instance),
    ]
    .map(|(key, value)| attribute(key, Value::StringValue(value.to_owned())))
    .into();
    for (key, value) in &otel.attributes {
        attributes.retain(|attribute| attribute.key != *key);
        attributes.push(attribute(key, Value::StringValue(value.clone())));
    }
    Resource {
        attributes,
        ..Resource::default()
    }
}

/// Checks that the collector accepts a call without spans.
///
/// # Errors
/// The reason why it does not.
pub async fn check(otel: &Otel) -> Result<(), String> {
    let Some(endpoint) = &otel.endpoint else {
        return Ok(());
    };
    let collector =
        Collector::new(otel, endpoint.clone(), "check").map_err(|error| error.to_string())?;
    let posted = collector.post(Vec::new()).await;
    posted.map(|_| ()).map_err(|failure| failure.why)
}
