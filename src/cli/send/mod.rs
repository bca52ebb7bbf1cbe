//! `send`: sends signed notifications, one or a load, as the vendor would send them.

mod expected;
mod late;
mod result;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use url::Url;

use self::expected::Expected;
use self::late::Late;
use super::{healthcheck, input};
use crate::lab::simulator::{Load, Message, Mix, Plan, Report, Sender};
use crate::terminal::ExitStatus;
use crate::terminal::{Progress, TICK};

const HELP: &str = "Example:
  suki-receiver send --url http://127.0.0.1:8080/webhooks/notification --secret-file secret.txt
  suki-receiver send --url … --secret-file … --count 10000 --rate 500 --mix success=6,duplicate=1

Kinds for --mix: success, failure, timeout, cancelled, duplicate, bad-signature, unknown-status,
form-filling, no-links, stale, malformed.

Exit code 1 when a message got no answer, was answered 5xx, or not as its kind should be.";

/// The arguments of `send`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The webhook's address
    #[arg(long, value_name = "U")]
    url: Url,
    /// File that holds the secret
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    /// Send this body, or - for standard input; sent again it should be answered as a duplicate
    #[arg(long, value_name = "FILE", conflicts_with_all = ["mix", "seed"])]
    body: Option<PathBuf>,
    /// Number of messages
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Messages per second; 0 is as fast as they are answered
    #[arg(long, value_name = "R", default_value = "0", value_parser = rate)]
    rate: f64,
    /// Send the last messages later, as PERCENT:DURATION, e.g. 10%:30s
    #[arg(long, value_name = "TEXT")]
    late: Option<Late>,
    /// Number of connections
    #[arg(long, value_name = "C", default_value = "8")]
    connections: NonZeroUsize,
    /// What to send, as kind=weight with commas between [default: success, each a new session]
    #[arg(long, value_name = "TEXT")]
    mix: Option<Mix>,
    /// Seed of sessions and order: the same seed sends the same messages [default: a fresh one]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let secret = input::secret(&args.secret_file)?;
    let expected = Arc::new(Expected::default());
    let message: Box<dyn Fn(u64) -> Message + Send + Sync> = match &args.body {
        Some(file) => {
            let body = Message::new(input::body(Some(file))?);
            Box::new(move |_| body.clone())
        }
        None => planned(&args, Arc::clone(&expected))?,
    };
    let done = Arc::new(AtomicU64::new(0));
    let (in_time, late) = args
        .late
        .map_or((args.count, 0), |late| late.split(args.count));
    let message: Arc<dyn Fn(u64) -> Message + Send + Sync> = Arc::from(message);
    let sending = async {
        let mut report = send(&args, &secret, &message, 0..in_time, &done).await?;
        if late > 0 {
            let by = args.late.map_or(Duration::ZERO, |late| late.by);
            tokio::time::sleep(by).await;
            let later = send(&args, &secret, &message, in_time..args.count, &done).await?;
            report.add(&later);
            report.elapsed += later.elapsed;
        }
        Ok::<_, anyhow::Error>(report)
    };
    let report = shown(sending, args.count, &done).await?;
    let problems = match &args.body {
        Some(_) => expected::problems_of_copies(&report),
        None => expected.problems(&report),
    };
    result::print(&report, &problems, args.json)?;
    Ok(if problems.is_empty() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

/// The messages of a plan. Each message's expected answer is counted when the message is made.
fn planned(
    args: &Args,
    expected: Arc<Expected>,
) -> anyhow::Result<Box<dyn Fn(u64) -> Message + Send + Sync>> {
    let mix = match &args.mix {
        Some(mix) => mix.clone(),
        None => "success".parse()?,
    };
    let plan = Plan::new(&mix, args.seed.unwrap_or_else(rand::random));
    Ok(Box::new(move |number| {
        let planned = plan.message(number);
        expected.note(planned.expect);
        planned.message
    }))
}

/// Sends the messages with these numbers.
async fn send(
    args: &Args,
    secret: &[u8],
    message: &Arc<dyn Fn(u64) -> Message + Send + Sync>,
    numbers: Range<u64>,
    done: &Arc<AtomicU64>,
) -> anyhow::Result<Report> {
    let (message, first) = (Arc::clone(message), numbers.start);
    let (count, message) = (numbers.end - first, move |number| message(first + number));
    if args.url.scheme() != "http" {
        return send_each(args, secret, count, message, done).await;
    }
    let load = Load {
        url: args.url.clone(),
        secret: secret.to_owned(),
        count,
        rate: args.rate,
        connections: args.connections.get(),
    };
    Ok(load.run(message, Arc::clone(done)).await?)
}

/// Sends messages one by one, which is the way for https. With a rate, latency counts from the time when a message was
/// due, as in a load.
async fn send_each(
    args: &Args,
    secret: &[u8],
    count: u64,
    message: impl Fn(u64) -> Message,
    done: &AtomicU64,
) -> anyhow::Result<Report> {
    let sender = sender(args, secret)?;
    let start = Instant::now();
    let (sender, message) = (&sender, &message);
    let mut answers = stream::iter(0..count)
        .map(|number| async move {
            let mut due = None;
            if args.rate > 0.0 {
                let at = start + Duration::from_secs_f64(number as f64 / args.rate);
                tokio::time::sleep_until(at.into()).await;
                due = Some(at);
            }
            let mut answer = sender.send(&message(number)).await;
            if let (Ok(answer), Some(due)) = (&mut answer, due) {
                answer.latency = due.elapsed();
            }
            answer
        })
        .buffer_unordered(args.connections.get());
    let mut report = Report::default();
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(answer) => report.answered(&answer),
            Err(error) => report.failed(&crate::net::describe(&error)),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    report.elapsed = start.elapsed();
    Ok(report)
}

fn sender(args: &Args, secret: &[u8]) -> anyhow::Result<Sender> {
    let url = args.url.clone();
    if !healthcheck::is_loopback(&url) {
        return Ok(Sender::new(url, secret, args.connections.get())?);
    }
    // A certificate for the public name does not match a loopback address, and nobody can be in between.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(true)
        .build()?;
    Ok(Sender::with_client(client, url, secret))
}

/// Waits for `work` and shows its progress.
async fn shown<T>(work: impl Future<Output = T>, count: u64, done: &AtomicU64) -> T {
    if count == 1 {
        return work.await;
    }
    let mut progress = Progress::new(&[("answered", count)]);
    let mut tick = tokio::time::interval(TICK);
    let mut work = std::pin::pin!(work);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = tick.tick() => progress.set(&[done.load(Ordering::Relaxed)]),
        }
    };
    progress.set(&[done.load(Ordering::Relaxed)]);
    progress.finish();
    result
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| *rate >= 0.0 && rate.is_finite())
        .ok_or_else(|| {
            format!("invalid rate '{text}'; expected a number of messages a second, 0 or more")
        })
}
