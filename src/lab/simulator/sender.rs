//! Sends one message at a time, as the vendor does, over HTTP or HTTPS. `load` sends many at a time.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use serde::Deserialize;
use url::Url;

use super::Message;
use crate::domain::Clock;

/// The time limit for an answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// The limit in bytes of an answer's body that is read; a receiver's answers are far smaller.
pub(super) const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Signs messages with one secret and posts them to one address. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Sender {
    client: reqwest::Client,
    url: Url,
    secret: Vec<u8>,
    clock: Clock,
}

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, up to a limit.
    pub body: Bytes,
    /// The time from sending to the end of the answer.
    pub latency: Duration,
}

impl Sender {
    /// A sender that keeps up to `connections` idle connections, and trusts the system's certificate authorities.
    ///
    /// # Errors
    /// When no HTTP client can be made, as when TLS finds no certificates.
    pub fn new(
        url: Url,
        secret: impl Into<Vec<u8>>,
        connections: usize,
    ) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(connections)
            .build()?;
        Ok(Self::with_client(client, url, secret))
    }

    /// A sender with the caller's own client, for other certificates and timeouts.
    pub fn with_client(client: reqwest::Client, url: Url, secret: impl Into<Vec<u8>>) -> Self {
        Self {
            client,
            url,
            secret: secret.into(),
            clock: Clock::start(),
        }
    }

    /// Signs a message, posts it and waits for the answer, whatever its status.
    ///
    /// # Errors
    /// When there is no complete answer: no connection, a broken connection, or no answer in time.
    pub async fn send(&self, message: &Message) -> Result<Answer, reqwest::Error> {
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(message.body.clone());
        let request = message
            .headers(&self.secret, self.clock.now().as_millisecond())
            .into_iter()
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            });
        let start = Instant::now();
        let mut response = request.send().await?;
        let mut body = BytesMut::new();
        while body.len() < MAX_ANSWER_BYTES
            && let Some(chunk) = response.chunk().await?
        {
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status().as_u16(),
            body: body.freeze(),
            latency: start.elapsed(),
        })
    }
}

impl Answer {
    /// The status and, if the body has one, the result word: `200 accepted`, `401`.
    pub fn label(&self) -> String {
        match self.result() {
            Some(result) => format!("{} {result}", self.status),
            None => self.status.to_string(),
        }
    }

    /// The body's `result`: `accepted` or `duplicate`.
    pub fn result(&self) -> Option<&str> {
        #[derive(Deserialize)]
        struct Body<'a> {
            result: Option<&'a str>,
        }
        let body: Body<'_> = serde_json::from_slice(&self.body).ok()?;
        body.result
    }
}
