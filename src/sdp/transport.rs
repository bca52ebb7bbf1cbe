//! Makes calls to the vendor's API within their limits: concurrency, rate, timeout, body size.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::RequestBuilder;
use reqwest::header::{ACCEPT, HeaderValue};
use tokio::sync::Semaphore;
use url::Url;

use super::Failure;
use super::exchange::{Fetched, exchange};
use crate::config::Sdp;
use crate::domain::json;
use crate::metrics::Metrics;
use crate::net::{ClientError, ClientOptions, Reach, build_client};
use crate::traces::{self, Span};

const TOKEN_HEADER: &str = "sdp_suki_token";
const PROVIDER_HEADER: &str = "sdp_provider_id";

/// How often a call that gives way checks whether it may go on.
const GIVE_WAY: Duration = Duration::from_millis(20);

/// Counts a waiting call until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Records the answer of a call in its span.
fn answered(span: &mut Span, result: &Result<Fetched, Failure>) {
    let status = match result {
        Ok(fetched) => Some(fetched.status),
        Err(failure) => failure.status,
    };
    span.text("http.request.method", "GET");
    if let Some(status) = status {
        span.number("http.response.status_code", status);
    }
    if result.is_err() {
        let unanswered = || "no_answer".to_owned();
        span.failed(status.map_or_else(unanswered, |status| status.to_string()));
    }
}

/// What all calls share.
pub(super) struct Transport {
    /// The HTTP client for the API.
    pub(super) api: reqwest::Client,
    elsewhere: reqwest::Client,
    permits: Semaphore,
    rate: Option<DefaultDirectRateLimiter>,
    /// A rate limiter with a tenth of that rate.
    share: Option<DefaultDirectRateLimiter>,
    /// The number of calls that wait for `rate`.
    waiting: AtomicUsize,
    max_body_bytes: usize,
    metrics: Metrics,
}

impl Transport {
    pub(super) fn new(config: &Sdp, metrics: Metrics) -> Result<Self, ClientError> {
        let options = |reach| ClientOptions {
            timeout: config.timeout,
            ca_file: config.ca_file.as_deref(),
            reach,
            proxy: &config.proxy,
        };
        Ok(Self {
            api: build_client(&options(Reach::Anywhere))?,
            elsewhere: build_client(&options(Reach::PublicOnly))?,
            permits: Semaphore::new(config.max_concurrency),
            rate: NonZeroU32::new(config.max_requests_per_second).map(|rate| {
                RateLimiter::direct(Quota::per_second(rate).allow_burst(NonZeroU32::MIN))
            }),
            share: (config.max_requests_per_second > 0)
                .then(|| {
                    let every = Duration::from_secs(10) / config.max_requests_per_second;
                    Some(RateLimiter::direct(Quota::with_period(every)?))
                })
                .flatten(),
            waiting: AtomicUsize::new(0),
            max_body_bytes: config.max_body_bytes,
            metrics,
        })
    }

    /// Waits while calls for notifications wait for the rate limit, apart from a tenth of the rate. So polls of
    /// sessions without a notification come last but are not starved.
    pub(super) async fn give_way(&self) {
        let Some(share) = &self.share else { return };
        while self.waiting.load(Ordering::Relaxed) > 0 && share.check().is_err() {
            tokio::time::sleep(GIVE_WAY).await;
        }
    }

    /// Fetches a URL of the API, with a token and, for single-token partners, the provider's id.
    pub(super) async fn get(
        &self,
        url: Url,
        token: HeaderValue,
        provider: Option<&HeaderValue>,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let request = self.api.get(url).header(TOKEN_HEADER, token);
        let request = match provider {
            Some(provider) => request.header(PROVIDER_HEADER, provider.clone()),
            None => request,
        };
        self.call(request, endpoint).await
    }

    /// Fetches a URL of another host, which never gets the token.
    pub(super) async fn get_elsewhere(&self, url: Url) -> Result<Fetched, Failure> {
        self.call(self.elsewhere.get(url), "elsewhere").await
    }

    async fn call(
        &self,
        request: RequestBuilder,
        endpoint: &'static str,
    ) -> Result<Fetched, Failure> {
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| Failure::unreachable("the client is closed"))?;
        if let Some(rate) = &self.rate {
            let _waits = Waiting::enter(&self.waiting);
            rate.until_ready().await;
        }
        let start = Instant::now();
        let mut span = traces::child(traces::Kind::Client, || format!("GET {endpoint}"));
        let result = exchange(
            request.header(ACCEPT, "application/json"),
            self.max_body_bytes,
        )
        .await;
        answered(&mut span, &result);
        drop(span);
        let code = match &result {
            Ok(fetched) => fetched.status.to_string(),
            Err(failure) => failure
                .status
                .map_or_else(|| "none".to_owned(), |status| status.to_string()),
        };
        self.metrics.sdp_request(endpoint, &code, start.elapsed());
        let fetched = result?;
        if let Some(failure) = Failure::of_success(fetched.status, &fetched.body) {
            return Err(failure);
        }
        // A proxy's page must not be delivered as the note.
        if !json::is_nothing(&fetched.body) && !json::is_json(&fetched.body) {
            return Err(Failure::not_json(fetched.status, &fetched.body));
        }
        Ok(fetched)
    }
}
