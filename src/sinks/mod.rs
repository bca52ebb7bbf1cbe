//! The partner's systems. A sink does one thing: it delivers one event and reports the result.
//!
//! When to deliver, how often to try again and what to record is decided by the worker.

mod envelope;
mod files;
mod http;
mod notice;
mod reloadable;
mod sample;
pub mod schema;
mod template;
mod texts;
mod webhook_signature;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::config::{self, SinkTarget};
use crate::domain::{Cause, Document, EventId, Reason};
use crate::net::ClientError;
use crate::traces::SpanContext;

pub use envelope::{Unrenderable, envelope};
pub use files::FilesSink;
pub use http::HttpSink;
pub use reloadable::ReloadableSink;
pub use webhook_signature::SigningKeys;

/// What a sink gets: one CloudEvent, with its id and its time of receipt.
#[derive(Clone)]
pub struct CloudEvent {
    /// The event's id, which is the idempotency key.
    pub id: EventId,
    /// When the notification was received.
    pub received_at: Timestamp,
    /// The envelope as JSON.
    pub envelope: Bytes,
}

/// A sink's answer to a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkAnswer {
    /// The sink has accepted the event.
    Delivered,
    /// The sink may accept it later.
    Retry {
        /// How long the sink asks to wait.
        after: Option<Duration>,
        /// Why.
        reason: Reason,
    },
    /// The sink will never accept this event.
    Rejected {
        /// Why.
        reason: Reason,
    },
}

/// Delivers one event. A panic of the sink counts as a failure that may pass.
pub async fn deliver(sink: &dyn Sink, event: &CloudEvent) -> SinkAnswer {
    let delivery = AssertUnwindSafe(sink.deliver(event)).catch_unwind();
    delivery.await.unwrap_or_else(|_| SinkAnswer::Retry {
        after: None,
        reason: Reason::new(Cause::Internal, "the sink panicked"),
    })
}

/// A system to deliver to.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Delivers one event. The same event may be delivered again: its id is the idempotency key.
    async fn deliver(&self, event: &CloudEvent) -> SinkAnswer;

    /// Removes what an earlier process left unfinished. Called once when deliveries begin, concurrently with them.
    async fn tidy(&self);

    /// Checks whether the sink can be reached, without delivering anything.
    ///
    /// # Errors
    /// What is wrong, in words for operators.
    async fn check(&self) -> Result<(), String>;
}

/// Why a sink cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its folder cannot be used.
    #[error("sink {sink}: cannot use the folder {dir}: {source}")]
    Folder {
        /// The sink.
        sink: String,
        /// The folder.
        dir: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its secrets, headers or template cannot be used.
    #[error("sink {sink}: {why}")]
    Setting {
        /// The sink.
        sink: String,
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Its HTTP client cannot be set up.
    #[error("sink {sink}: {source}")]
    Client {
        /// The sink.
        sink: String,
        /// What is wrong.
        source: ClientError,
    },
}

impl CloudEvent {
    /// Renders a document for a sink that wants `include`, from this instance; `origin` is the span in which its
    /// notification was received, if there is a trace.
    ///
    /// # Errors
    /// [`Unrenderable`] when the document cannot be rendered.
    pub fn of(
        document: &Document,
        include: config::Include,
        (instance, origin): (&str, Option<SpanContext>),
    ) -> Result<Self, Unrenderable> {
        Ok(Self {
            id: document.id,
            received_at: document.received_at,
            envelope: envelope(document, include, (instance, origin))?,
        })
    }
}

impl std::fmt::Debug for CloudEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudEvent")
            .field("id", &self.id)
            .field("envelope", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// Sets up a sink as configured.
///
/// # Errors
/// [`SetupError`], which names the sink.
pub fn build(sink: &config::SinkConfig) -> Result<Box<dyn Sink>, SetupError> {
    Ok(match &sink.target {
        SinkTarget::Files(files) => Box::new(FilesSink::new(&sink.name, files)?),
        SinkTarget::Http(http) => {
            let built = HttpSink::new(&sink.name, http)?;
            try_template(sink, &built)?;
            Box::new(built)
        }
    })
}

/// Renders a sample of each type of event that the sink gets, so that a faulty template fails now and not with the
/// first patient.
fn try_template(sink: &config::SinkConfig, built: &HttpSink) -> Result<(), SetupError> {
    let setting = |why: String| SetupError::Setting {
        sink: sink.name.clone(),
        key: "template",
        why,
    };
    let SinkTarget::Http(config::HttpConfig {
        template: Some(template),
        ..
    }) = &sink.target
    else {
        return Ok(());
    };
    let samples = sample::of(sink).map_err(|error| setting(error.to_string()))?;
    for (kind, event) in samples {
        built.body(&event).map_err(|why| {
            let file = template.file.display();
            setting(format!("{file}: {why}, for {kind}"))
        })?;
    }
    Ok(())
}
