//! `torture`: tests that every notification that was answered 200 is delivered. It sends notifications while it injects
//! faults: it kills and restarts receivers, fills disks, and cuts off the database, the vendor and the sinks. Then it
//! compares what was sent with what was delivered.

mod balance;
mod deliveries;
mod fault;
mod faults;
mod history;
mod inbox;
mod instance;
mod intact;
mod ledger;
mod proof;
mod registrations;
mod rest;
mod sink;
mod stage;
mod traffic;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::balance::Balance;
use self::history::History;
use self::ledger::Ledger;
use self::proof::{Evidence, Rule};
use self::sink::Sink;
use self::stage::Stage;
use crate::lab::simulator::{Mix, Plan};
use crate::terminal::ExitStatus;
use crate::terminal::Progress;
use crate::terminal::Table;
use crate::terminal::emit;
use crate::terminal::note;

const EXAMPLE: &str = "Example:
  suki-receiver torture --seconds 600
  createdb torture && suki-receiver torture --seconds 600 --store postgres://me@127.0.0.1/torture

Exit code 0 when nothing was lost, repeated beyond what is allowed, or changed; else 1.";

/// The kinds of messages that are sent.
const MIX: &str = "success=8,failure=4,timeout=1,cancelled=1,form-filling=1,no-links=1,duplicate=3,bad-signature=1,malformed=1";
/// The kinds of messages that are dropped before they arrive.
const DROPPED: &str = "success=2,no-links=1,form-filling=1";
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The arguments of `torture`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// How long faults are injected
    #[arg(long, value_name = "S", default_value_t = 60)]
    seconds: u64,
    /// Seed that determines the faults and their times [default: a random one, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Notifications a second
    #[arg(long, value_name = "R", default_value_t = 100.0, value_parser = positive)]
    rate: f64,
    /// An empty PostgreSQL database of its own, for two instances [default: the embedded store]
    #[arg(long, value_name = "URL")]
    store: Option<Url>,
}

/// The result of a run.
struct Run {
    seed: u64,
    took: Duration,
    sent: u64,
    history: History,
    ledger: Arc<Ledger>,
    balance: Balance,
    rules: Vec<Rule>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let stage = Stage::build(args.store.as_ref(), seed).await?;
    note!(
        "torture with seed {seed} for {} s; everything lies in {}",
        args.seconds,
        stage.dir.display()
    );
    let run = torture(&args, &stage, seed).await;
    let run = run.with_context(|| format!("seed {seed}; see {}", stage.dir.display()))?;
    emit(run.text().as_bytes())?;
    if run.rules.iter().all(Rule::holds) {
        std::fs::remove_dir_all(&stage.dir).ok();
        return Ok(ExitStatus::Success);
    }
    note!("what went wrong lies in {}", stage.dir.display());
    Ok(ExitStatus::Failure)
}

async fn torture(args: &Args, stage: &Stage, seed: u64) -> anyhow::Result<Run> {
    let start = Instant::now();
    let (ledger, stop) = (Arc::new(Ledger::new()?), CancellationToken::new());
    let plan = Plan::new(&MIX.parse::<Mix>()?, seed);
    let dropped = Plan::new(&DROPPED.parse::<Mix>()?, seed ^ 1);
    let traffic = traffic::run(
        stage,
        (plan, dropped),
        args.rate,
        Arc::clone(&ledger),
        stop.clone(),
    );
    let until = start + Duration::from_secs(args.seconds);
    let faults = async {
        let done = faults::run(stage, seed, until).await;
        stop.cancel();
        done
    };
    let watch = async {
        let mut progress = Progress::new(&[("seconds", args.seconds), ("answered", 0)]);
        while !stop.is_cancelled() {
            progress.set(&[start.elapsed().as_secs(), ledger.acknowledged()]);
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        progress.finish();
    };
    let (sent, history, ()) = tokio::join!(traffic, faults, watch);
    let (sent, history) = (sent?, history?);
    note!("faults are over; waiting for the receivers to come to rest");
    let balance = rest::come_to_rest(stage).await?;
    let findings = rest::check(stage).await?;
    let ends = stage.finish().await?;
    let sinks = [
        Sink {
            name: "the files sink",
            got: deliveries::files(&stage.dir.join("delivered"))?,
            is_counted: false,
        },
        Sink {
            name: "the http sink",
            got: stage.inbox.got(),
            is_counted: true,
        },
    ];
    let rules = proof::rules(Evidence {
        sent: &ledger.lock(),
        history: &history,
        sdp: &stage.vendor.sdp,
        sinks: &sinks,
        balance,
        findings,
        ends,
        is_shared: stage.database.is_some(),
    });
    Ok(Run {
        seed,
        took: start.elapsed(),
        sent,
        history,
        ledger,
        balance,
        rules,
    })
}

impl Run {
    fn text(&self) -> String {
        let sent = self.ledger.lock();
        let mut answers = Table::plain();
        for (answer, count) in &sent.answers {
            answers.row([answer.clone(), count.to_string()]);
        }
        let mut faults = Table::plain();
        for (fault, count) in self.history.counts() {
            faults.row([fault.name().to_owned(), count.to_string()]);
        }
        let mut rules = String::new();
        for rule in &self.rules {
            if rule.holds() {
                rules += &format!("  holds   {}\n", rule.text);
            } else {
                rules += &format!("  BROKEN  {}: {}\n", rule.text, rule.told());
            }
        }
        let Balance {
            done,
            dead,
            quarantined,
            pending,
            spooled,
            expected,
            recovered,
            late,
            awaited,
        } = self.balance;
        format!(
            "Seed {}, {:.0} s, {} notifications sent\n\nAnswers\n{answers}\n\
             Time to a 200: p50 {} ms, p99 {} ms, longest {} ms\n\nFaults\n{faults}\n\
             Store: {done} done + {dead} dead + {quarantined} quarantined + {pending} pending; {spooled} spooled\n\
             Sessions: {expected} expected, {recovered} recovered, {late} recovered and told of later, {awaited} without an end\n\n\
             Proof\n{rules}",
            self.seed,
            self.took.as_secs_f64(),
            self.sent,
            sent.quantile(0.5).as_millis(),
            sent.quantile(0.99).as_millis(),
            sent.longest().as_millis(),
        )
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f64::is_finite(rate) => Ok(rate),
        _ => Err("use a number above 0".to_owned()),
    }
}
