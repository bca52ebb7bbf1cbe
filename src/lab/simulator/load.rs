//! A load: many messages over many connections, as cheaply as possible, since it shares the machine with the service
//! that it measures.
//!
//! It uses plain HTTP/1.1 with keep-alive on hyper's own connections: no pool, no redirects, no TLS. With a rate,
//! messages are sent when they are due, whether or not earlier ones are answered. Latency counts from the time when a
//! message was due, so that a server that stalls cannot hide it (no coordinated omission).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use url::{Position, Url};

use super::sender::{Answer, MAX_ANSWER_BYTES, TIMEOUT};
use super::{Message, Report};
use crate::domain::Clock;

/// The number of requests that are built and signed before the first is sent. With a rate none are prepared, since they
/// would be stale by the time they are due.
const PREPARED: u64 = 20_000;

/// The longest sleep of the pacing thread before it checks whether the load is over.
const PACE_CHECK: Duration = Duration::from_millis(100);

type Body = Full<Bytes>;

/// The parameters of a load.
#[derive(Clone)]
pub struct Load {
    /// The address; only `http`.
    pub url: Url,
    /// The signing secret.
    pub secret: Vec<u8>,
    /// The number of messages.
    pub count: u64,
    /// The messages per second; 0 for as fast as they are answered.
    pub rate: f64,
    /// The number of connections, each of which carries one message at a time.
    pub connections: usize,
}

/// Why a load cannot be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLoad {
    /// The address is not plain HTTP, or has no host.
    #[error("a load needs an address that starts with http://; over https, send one at a time")]
    NotHttp,
    /// There is no connection, or the rate is invalid.
    #[error("a load needs at least one connection, and a rate of 0 or more")]
    BadNumber,
}

impl Load {
    /// Sends `message(0)` to `message(count - 1)`, in about this order, and counts in `done` those that are answered.
    ///
    /// # Errors
    /// [`BadLoad`] when it cannot start. Later errors are in the report.
    pub async fn run(
        &self,
        message: impl Fn(u64) -> Message + Send + Sync + 'static,
        done: Arc<AtomicU64>,
    ) -> Result<Report, BadLoad> {
        if self.connections == 0 || !(self.rate >= 0.0 && self.rate.is_finite()) {
            return Err(BadLoad::BadNumber);
        }
        let target = Target::new(&self.url, &self.secret).ok_or(BadLoad::NotHttp)?;
        let ahead = if self.rate > 0.0 { 0 } else { PREPARED };
        let prepared = (0..self.count.min(ahead))
            .map(|number| target.request(&message(number)))
            .collect();
        let run = Arc::new(Run {
            target,
            message: Box::new(message),
            prepared,
            count: self.count,
            next: AtomicU64::new(0),
            done,
            start: Instant::now(),
            pace: (self.rate > 0.0).then(|| Pace::new(self.rate)),
        });
        let over = CancellationToken::new();
        let pace = spawn_blocking({
            let (run, over) = (Arc::clone(&run), over.clone());
            let connections = self.connections;
            move || run.keep_pace(connections, &over)
        });
        let over = over.drop_guard();
        let workers: JoinSet<Report> = (0..self.connections)
            .map(|_| Worker::new(Arc::clone(&run)).work())
            .collect();
        let mut report = Report::default();
        for part in workers.join_all().await {
            report.add(&part);
        }
        report.elapsed = run.start.elapsed();
        drop(over);
        pace.await.ok();
        Ok(report)
    }
}

/// The state that the workers of one load share.
struct Run {
    target: Target,
    message: Box<dyn Fn(u64) -> Message + Send + Sync>,
    prepared: Vec<Request<Body>>,
    count: u64,
    next: AtomicU64,
    done: Arc<AtomicU64>,
    start: Instant,
    pace: Option<Pace>,
}

/// The messages per second, and a permit for each message that is due.
struct Pace {
    rate: f64,
    due: Semaphore,
}

impl Pace {
    fn new(rate: f64) -> Self {
        let due = Semaphore::new(0);
        Self { rate, due }
    }

    /// The time at which a message is due, from the start.
    fn offset(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}

impl Run {
    /// Adds a permit for each message when it is due, and finally one for each connection, so that it notices the end.
    /// Runs on its own thread, since the runtime's timer has a resolution of only a millisecond.
    fn keep_pace(&self, connections: usize, over: &CancellationToken) {
        let Some(pace) = &self.pace else { return };
        let mut given = 0;
        while given < self.count && !over.is_cancelled() {
            let due = (self.start.elapsed().as_secs_f64() * pace.rate) as u64 + 1;
            let due = due.clamp(given, self.count);
            pace.due.add_permits((due - given) as usize);
            given = due;
            let wait = pace.offset(given).saturating_sub(self.start.elapsed());
            thread::sleep(wait.min(PACE_CHECK));
        }
        pace.due.add_permits(connections);
    }

    /// The next message and the time from which its latency counts; `None` when all are taken.
    async fn take(&self) -> Option<(Request<Body>, Instant)> {
        if let Some(pace) = &self.pace {
            pace.due.acquire().await.ok()?.forget();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.count {
            return None;
        }
        let request = match self.prepared.get(number as usize) {
            Some(request) => request.clone(),
            None => self.target.request(&(self.message)(number)),
        };
        let since = match &self.pace {
            Some(pace) => self.start + pace.offset(number),
            None => Instant::now(),
        };
        Some((request, since))
    }
}

/// The target of the messages, prepared for building requests.
struct Target {
    authority: String,
    host: String,
    path: String,
    secret: Vec<u8>,
    clock: Clock,
}

impl Target {
    fn new(url: &Url, secret: &[u8]) -> Option<Self> {
        if url.scheme() != "http" {
            return None;
        }
        Some(Self {
            authority: format!("{}:{}", url.host_str()?, url.port_or_known_default()?),
            host: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            path: url[Position::BeforePath..Position::AfterQuery].to_owned(),
            secret: secret.to_owned(),
            clock: Clock::start(),
        })
    }

    fn request(&self, message: &Message) -> Request<Body> {
        let request = Request::post(&self.path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json");
        message
            .headers(&self.secret, self.clock.now().as_millisecond())
            .into_iter()
            .fold(request, |request, (name, value)| {
                request.header(name, value)
            })
            .body(Full::new(message.body.clone()))
            .expect("the parts of a URL and hex make a request")
    }
}

/// One connection, which is reopened whenever it breaks, with the results of its messages.
struct Worker {
    run: Arc<Run>,
    connection: Option<SendRequest<Body>>,
    /// The task that drives the connection's I/O.
    driver: JoinSet<()>,
    report: Report,
}

impl Worker {
    fn new(run: Arc<Run>) -> Self {
        Self {
            run,
            connection: None,
            driver: JoinSet::new(),
            report: Report::default(),
        }
    }

    async fn work(mut self) -> Report {
        while let Some((request, since)) = self.run.take().await {
            let outcome = match timeout(TIMEOUT, self.exchange(request)).await {
                Ok(outcome) => outcome,
                Err(_) => Err("no answer in time".to_owned()),
            };
            match outcome {
                Ok((status, body)) => self.report.answered(&Answer {
                    status,
                    body,
                    latency: since.elapsed(),
                }),
                Err(error) => self.report.failed(&error),
            }
            self.run.done.fetch_add(1, Ordering::Relaxed);
        }
        self.report
    }

    /// Sends a request and reads its answer. The connection is kept only if both succeed.
    async fn exchange(&mut self, request: Request<Body>) -> Result<(u16, Bytes), String> {
        let mut connection = match self.usable().await {
            Some(open) => open,
            None => self
                .connect()
                .await
                .map_err(|error| format!("connect: {error}"))?,
        };
        let response = connection
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        self.connection = Some(connection);
        Ok((status, body.to_bytes()))
    }

    /// The connection of the last exchange, if it is still open.
    async fn usable(&mut self) -> Option<SendRequest<Body>> {
        let mut open = self.connection.take()?;
        open.ready().await.ok()?;
        Some(open)
    }

    async fn connect(&mut self) -> io::Result<SendRequest<Body>> {
        let stream = TcpStream::connect(&self.run.target.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        self.driver.abort_all();
        self.driver = JoinSet::new();
        self.driver.spawn(async move {
            // The code that waits for the answer notices a broken connection.
            connection.await.ok();
        });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests;
