//! `demo`: runs the whole path on one machine, without account or configuration, and checks that everything is
//! accounted for.

mod balance;
mod facts;
mod inbox;
mod play;
mod report;
mod sample;
mod stage;

use std::time::Instant;

use anyhow::Context;

use self::facts::Facts;
use self::stage::Stage;
use crate::app::telemetry;
use crate::config::{Env, Log};
use crate::lifecycle::Signals;
use crate::terminal::ExitStatus;
use crate::terminal::{emit, note};

const HELP: &str = "Example:
  suki-receiver demo
  suki-receiver demo --events 200 --keep --port 8080

Exit code 0 when all that was sent is accounted for, else 1.";

/// The limit of notifications: beyond it the simulated API forgets calls, so they could not be counted.
const MOST_EVENTS: u64 = 10_000;

/// The arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// How many notifications to send, up to 10000; from 20 on every kind is among them
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=MOST_EVENTS))]
    events: u64,
    /// Leave it running afterwards, until Ctrl-C, to look at it and to send more
    #[arg(long)]
    keep: bool,
    /// Port of the webhook on 127.0.0.1 [default: a free one]
    #[arg(long, value_name = "P")]
    port: Option<u16>,
    /// Show the receiver's log as well
    #[arg(long)]
    verbose: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let _logging = args
        .verbose
        .then(|| telemetry::init(&Log::default(), !Env::process().wants_no_color()))
        .transpose()?;
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let start = Instant::now();
    let stage = Stage::build(args.port.unwrap_or(0)).await?;
    let played = tokio::select! {
        played = play::play(&stage, args.events) => played?,
        signal = signals.stop(async || {}) => {
            stage.stop().await;
            note!("{signal}: stopped before the end");
            return Ok(ExitStatus::Failure);
        }
    };
    let took = start.elapsed();
    let facts = Facts::gather(&stage, &played).await?;
    let checks = balance::checks(&played, &facts);
    emit(report::text(&stage, &played, &facts, &checks, took)?.as_bytes())?;
    let mut is_healthy = checks.iter().all(|check| check.holds);
    if args.keep {
        emit(report::kept(&stage).as_bytes())?;
        let signal = signals.stop(async || {}).await;
        note!("{signal}: stopping");
    }
    if !stage.stop().await {
        note!("not as expected: the receiver did not drain in time");
        is_healthy = false;
    }
    for check in checks.iter().filter(|check| !check.holds) {
        note!("DOES NOT BALANCE: {}", check.text);
    }
    Ok(if is_healthy {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}
