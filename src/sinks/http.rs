//! Posts events to the partner's URL: CloudEvents in structured mode, signed according to Standard Webhooks.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode};
use url::Url;

use super::template::Template;
use super::{CloudEvent, SetupError, SigningKeys, Sink, SinkAnswer};
use crate::config;
use crate::domain::{Cause, Reason};
use crate::net::{
    ClientOptions, NoAnswer, Reach, build_client, describe, no_answer, read_capped, retry_after,
};
use crate::traces;

/// The trace header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";
/// An answer's body is read up to this size and discarded, so that the connection can be reused.
const ANSWER_BYTES: usize = 64 * 1024;

/// Delivers events by HTTP.
#[derive(Debug, Clone)]
pub struct HttpSink {
    client: Client,
    url: Url,
    headers: HeaderMap,
    keys: SigningKeys,
    /// Renders the body, if it is not the envelope itself.
    template: Option<Template>,
}

impl HttpSink {
    /// A sink that posts to `config.url`. Does not connect yet.
    ///
    /// # Errors
    /// When a secret, a header or the CA file cannot be used.
    pub fn new(name: &str, config: &config::HttpConfig) -> Result<Self, SetupError> {
        let setting = |key: &'static str, why: String| SetupError::Setting {
            sink: name.to_owned(),
            key,
            why,
        };
        let options = ClientOptions {
            timeout: config.timeout,
            ca_file: config.ca_file.as_deref(),
            reach: Reach::Anywhere,
            proxy: &config.proxy,
        };
        let client = build_client(&options).map_err(|source| SetupError::Client {
            sink: name.to_owned(),
            source,
        })?;
        let mut headers = HeaderMap::new();
        let content_type = match &config.template {
            None => HeaderValue::from_static("application/cloudevents+json"),
            Some(template) => HeaderValue::from_str(&template.content_type).map_err(|_| {
                setting(
                    "content_type",
                    "content_type has characters that an HTTP header cannot contain".to_owned(),
                )
            })?,
        };
        headers.insert(CONTENT_TYPE, content_type);
        let template = config.template.as_deref().map(read_template).transpose();
        let template = template.map_err(|why| setting("template", why))?;
        for (header, value) in &config.headers {
            let wrong = || {
                setting(
                    "headers",
                    format!("header {header} has characters that an HTTP header cannot contain"),
                )
            };
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(header).map_err(|_| wrong())?, value);
        }
        let keys = SigningKeys::new(&config.secrets).map_err(|why| setting("secret", why))?;
        Ok(Self {
            client,
            url: config.url.clone(),
            headers,
            keys,
            template,
        })
    }

    /// The body to post.
    pub(super) fn body(&self, event: &CloudEvent) -> Result<Bytes, String> {
        match &self.template {
            None => Ok(event.envelope.clone()),
            Some(template) => template.render(&event.envelope),
        }
    }
}

fn read_template(config: &config::Template) -> Result<Template, String> {
    let file = config.file.display();
    let text = std::fs::read_to_string(&config.file)
        .map_err(|error| format!("cannot read the template {file}: {error}"))?;
    Template::new(&text, &config.content_type).map_err(|why| format!("{file}: {why}"))
}

#[async_trait]
impl Sink for HttpSink {
    async fn deliver(&self, event: &CloudEvent) -> SinkAnswer {
        let (id, timestamp) = (event.id.to_string(), Timestamp::now().as_second());
        // A failure is final: another attempt would render the same.
        let body = match self.body(event) {
            Ok(body) => body,
            Err(why) => {
                let reason = Reason::new(Cause::DeliverUnrenderable, why);
                return SinkAnswer::Rejected { reason };
            }
        };
        let mut request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone());
        if let Some(signature) = self.keys.sign(&id, timestamp, &body) {
            request = request.header("webhook-signature", signature);
        }
        // A `traceparent` header from the configuration takes precedence.
        if let Some(span) = traces::current()
            && !self.headers.contains_key(TRACEPARENT)
        {
            request = request.header(TRACEPARENT, span.traceparent());
        }
        let request = request
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .body(body);
        match request.send().await {
            Err(error) => SinkAnswer::Retry {
                after: None,
                reason: Reason::new(unanswered(&error), describe(&error)),
            },
            Ok(answer) => {
                let (status, after) = (answer.status(), retry_after(answer.headers()));
                // The body is not used: it may quote the note.
                read_capped(answer, ANSWER_BYTES).await.ok();
                traces::on_current(|span| {
                    span.number("http.response.status_code", status.as_u16());
                });
                outcome(status, after)
            }
        }
    }

    /// An HTTP request leaves nothing behind.
    async fn tidy(&self) {}

    async fn check(&self) -> Result<(), String> {
        // Any answer shows that the address resolves, connects and speaks TLS as expected.
        match self.client.head(self.url.clone()).send().await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("cannot reach the sink: {}", describe(&error))),
        }
    }
}

/// The cause of a call without an answer.
fn unanswered(error: &reqwest::Error) -> Cause {
    match no_answer(error) {
        NoAnswer::Timeout => Cause::DeliverTimeout,
        NoAnswer::Tls => Cause::DeliverTls,
        NoAnswer::Unreachable => Cause::DeliverUnreachable,
    }
}

/// Only a 2xx is a success. A status that rejects this content is final; any other failure may be fixed at the other
/// end.
fn outcome(status: StatusCode, after: Option<std::time::Duration>) -> SinkAnswer {
    if status.is_success() {
        return SinkAnswer::Delivered;
    }
    let status = status.as_u16();
    let cause = match status {
        400 | 410 | 413 | 422 => Cause::DeliverRejected,
        401 | 403 | 407 => Cause::DeliverAuth,
        408 | 504 => Cause::DeliverTimeout,
        500..=599 => Cause::DeliverHttp5xx,
        _ => Cause::DeliverHttp4xx,
    };
    let reason = Reason::new(cause, format!("HTTP {status}")).answered(Some(status));
    if cause == Cause::DeliverRejected {
        SinkAnswer::Rejected { reason }
    } else {
        SinkAnswer::Retry { after, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_but_a_2xx_is_a_success() {
        for status in [200, 201, 202, 204] {
            assert_eq!(
                outcome(StatusCode::from_u16(status).expect("a status"), None),
                SinkAnswer::Delivered
            );
        }
        for status in [302, 401, 403, 404, 408, 409, 429, 500, 503] {
            let outcome = outcome(StatusCode::from_u16(status).expect("a status"), None);
            assert!(matches!(outcome, SinkAnswer::Retry { .. }), "{status}");
        }
        for status in [400, 410, 413, 422] {
            let outcome = outcome(StatusCode::from_u16(status).expect("a status"), None);
            assert!(matches!(outcome, SinkAnswer::Rejected { .. }), "{status}");
        }
    }
}
