//! Servers that a benchmark compares with or delivers to, each in a process of its own: this binary, run once more.
//!
//! They verify nothing and keep nothing that is not asked for later.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt;
use suki_receiver::lab::simulator::{Endpoint, own_address};
use tokio::net::TcpListener;
use url::Url;

use super::process::{Process, http};
use super::receiver::{EXE, PATIENCE};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Reads the body and answers as the service does.
    Bare,
    /// Takes deliveries and tells when they came.
    Sink,
}

/// A running one, killed when this is dropped.
pub(crate) struct Helper {
    /// Keeps it running.
    _process: Process,
    pub(crate) url: Url,
}

/// As large as the service's own answer.
const ANSWER: &str = r#"{"result":"accepted","id":"0193d1a0-7c3e-7d4a-9b1e-3f2a1c5d7e90"}"#;

/// When each session came first, in microseconds since 1970, by the session's id.
type Arrivals = Arc<Mutex<HashMap<String, u64>>>;

/// Is such a server until it is killed.
pub(crate) async fn serve(kind: Kind, address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    let router = match kind {
        Kind::Bare => Router::new().route("/", get(async || "").post(answer)),
        Kind::Sink => Router::new()
            .route("/", get(count).post(take).delete(forget))
            .route("/arrivals", get(list))
            .with_state(Arrivals::default()),
    };
    Ok(axum::serve(listener, router).await?)
}

/// Starts one and waits until it answers.
pub(crate) async fn start(dir: &Path, kind: Kind) -> anyhow::Result<Helper> {
    let own = std::env::current_exe()?.display().to_string();
    let address = own_address()?;
    let name = format!("{kind:?}").to_lowercase();
    let line = [
        own,
        "--bench".into(),
        "--serve".into(),
        name.clone(),
        "--at".into(),
        address.to_string(),
    ];
    let url: Url = format!("http://{address}/").parse()?;
    let mut process = Process::start(dir, &name, &line, [])?;
    process.ready(url.as_str(), PATIENCE).await?;
    Ok(Helper {
        _process: process,
        url,
    })
}

/// Starts a simulated API at this address. It knows every session, but for what further arguments say.
pub(crate) async fn simulator(
    dir: &Path,
    address: SocketAddr,
    arguments: &[&str],
) -> anyhow::Result<Helper> {
    let mut line = [EXE, "simulate", "--listen"].map(str::to_owned).to_vec();
    line.push(address.to_string());
    line.extend(arguments.iter().map(|&argument| argument.to_owned()));
    let url: Url = format!("http://{address}/").parse()?;
    let mut process = Process::start(dir, "simulator", &line, [])?;
    // It makes its signing key with the first answer of this kind.
    process
        .ready(url.join(Endpoint::Jwks.path())?.as_str(), PATIENCE)
        .await?;
    Ok(Helper {
        _process: process,
        url,
    })
}

impl Helper {
    /// How many sessions have come to a sink, and when the last new one came.
    pub(crate) async fn count(&self) -> anyhow::Result<(u64, Duration)> {
        let text = self.get("").await?;
        let (count, last) = text.split_once(' ').context("no sink")?;
        Ok((count.parse()?, Duration::from_micros(last.parse()?)))
    }

    /// When each session came to a sink, since 1970.
    pub(crate) async fn arrivals(&self) -> anyhow::Result<HashMap<String, Duration>> {
        let text = self.get("arrivals").await?;
        let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines
            .map(|(session, at)| Ok((session.to_owned(), Duration::from_micros(at.parse()?))))
            .collect()
    }

    /// Lets a sink forget what has come.
    pub(crate) async fn reset(&self) -> anyhow::Result<()> {
        let client = http();
        client
            .delete(self.url.clone())
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let client = http();
        let answer = client.get(self.url.join(path)?).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}

/// Now, since 1970: what two processes of one machine can compare.
pub(crate) fn wall() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

async fn answer(body: Bytes) -> impl IntoResponse {
    std::hint::black_box(body);
    ([(CONTENT_TYPE, "application/json")], ANSWER)
}

async fn take(State(arrivals): State<Arrivals>, body: Bytes) -> StatusCode {
    let at = wall().as_micros() as u64;
    let Some(session) = subject(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    lock(&arrivals).entry(session.to_owned()).or_insert(at);
    StatusCode::NO_CONTENT
}

async fn count(State(arrivals): State<Arrivals>) -> String {
    let arrivals = lock(&arrivals);
    let last = arrivals.values().max().copied().unwrap_or_default();
    format!("{} {last}", arrivals.len())
}

async fn list(State(arrivals): State<Arrivals>) -> String {
    let arrivals = lock(&arrivals);
    arrivals
        .iter()
        .map(|(session, at)| format!("{session} {at}\n"))
        .collect()
}

async fn forget(State(arrivals): State<Arrivals>) {
    lock(&arrivals).clear();
}

/// The session that a delivery is about; found without reading the whole, which would cost more than all else here.
fn subject(body: &[u8]) -> Option<&str> {
    const KEY: &[u8] = br#""subject":""#;
    let start = body.windows(KEY.len()).position(|part| part == KEY)? + KEY.len();
    let length = body[start..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[start..start + length]).ok()
}

fn lock(arrivals: &Arrivals) -> MutexGuard<'_, HashMap<String, u64>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}
