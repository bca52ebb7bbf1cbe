//! `store check`: checks that every page can be read, that the counts add up, and that a receiver would work on all
//! events in progress.

use anyhow::Context;
use serde_json::json;

use super::super::ConfigArgs;
use crate::app::stores;
use crate::config::{Config, StoreUrl};
use crate::domain::EventState;
use crate::journal::{Error, Examined, Records, Stats, Waiting, orphaned};
use crate::terminal::ExitStatus;
use crate::terminal::{chain, emit, emit_json};

const EXAMPLE: &str = "Example:
  suki-receiver store check
  suki-receiver store check --json | jq .problems";

/// The arguments of `store check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The result of a check.
struct Findings {
    stats: Stats,
    problems: Vec<Problem>,
    spooled: u64,
}

/// A problem that a check has found.
struct Problem {
    text: String,
    /// Whether an operator can solve it with the service's own commands, because the store itself is intact.
    is_for_an_operator: bool,
}

impl Problem {
    fn damage(text: String) -> Self {
        Self {
            text,
            is_for_an_operator: false,
        }
    }

    fn orphaned(orphan: &Waiting) -> Self {
        Self {
            text: orphaned(orphan),
            is_for_an_operator: true,
        }
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let loaded = args.config.load_store()?;
    let findings = findings(&loaded.config)
        .await
        .with_context(|| loaded.place())?;
    let config = loaded.config;
    if args.json {
        emit_json(&findings.json())?;
    } else {
        emit(findings.text(&config).as_bytes())?;
    }
    Ok(if findings.problems.is_empty() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

async fn findings(config: &Config) -> anyhow::Result<Findings> {
    if let StoreUrl::Sqlite(_) = config.store.url {
        let found = match stores::examine_file(config) {
            Ok(found) => found.unwrap_or_default(),
            // A file that cannot even be opened is a finding of the check, not a failure of the command.
            Err(error) if is_unreadable(&error) => Examined {
                problems: vec![chain(&error)],
                ..Examined::default()
            },
            Err(error) => return Err(error),
        };
        return Ok(Findings {
            stats: found.stats,
            problems: all(found.problems, &found.orphans),
            spooled: 0,
        });
    }
    let store = stores::guest(config)?;
    let found = inspect(&*store, config).await;
    store.close().await;
    let mut found = found.context("nothing was checked")?;
    let spool = stores::examine_file(config)?.unwrap_or_default();
    let in_spool = |problem| format!("in the spool: {problem}");
    found
        .problems
        .extend(spool.problems.into_iter().map(in_spool));
    Ok(Findings {
        stats: found.stats,
        problems: all(found.problems, &found.orphans),
        spooled: spool.stats.total(),
    })
}

fn all(damage: Vec<String>, orphans: &[Waiting]) -> Vec<Problem> {
    let damage = damage.into_iter().map(Problem::damage);
    damage
        .chain(orphans.iter().map(Problem::orphaned))
        .collect()
}

/// The counts, and the problems. Counts that cannot be read are a problem; a database that cannot be reached says nothing
/// about the store.
async fn inspect(store: &dyn Records, config: &Config) -> Result<Examined, Error> {
    let mut problems = match store.inspect().await {
        Ok(problems) => problems,
        Err(error @ Error::Unreachable { .. }) => return Err(error),
        Err(error) => vec![format!("it cannot be read to its end: {error}")],
    };
    let stats = store.stats().await.unwrap_or_else(|error| {
        problems.push(format!("its counts cannot be read: {error}"));
        Stats::default()
    });
    let sinks = config.sinks.iter().map(|sink| sink.name.clone()).collect();
    let orphans = store
        .waiting_deliveries(sinks)
        .await
        .unwrap_or_else(|error| {
            problems.push(format!("its deliveries cannot be read: {error}"));
            Vec::new()
        });
    Ok(Examined {
        stats,
        problems,
        orphans,
    })
}

fn is_unreadable(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| matches!(cause.downcast_ref(), Some(Error::Sqlite(_))))
}

impl Findings {
    fn json(&self) -> serde_json::Value {
        let events: serde_json::Map<_, _> = self
            .stats
            .events
            .iter()
            .map(|(state, count)| (state.as_str().to_owned(), (*count).into()))
            .collect();
        json!({
            "ok": self.problems.is_empty(),
            "problems": self.problems.iter().map(|it| &it.text).collect::<Vec<_>>(),
            "events": events,
            "total": self.stats.total(),
            "spooled": self.spooled,
            "refused_kept": self.stats.rejected,
        })
    }

    fn text(&self, config: &Config) -> String {
        let counts: Vec<String> = EventState::ALL
            .iter()
            .map(|state| format!("{} {}", self.stats.count(*state), state.as_str()))
            .collect();
        let mut text = format!(
            "{}: {} events ({})\n",
            config.store.url,
            self.stats.total(),
            counts.join(", ")
        );
        if self.spooled > 0 {
            text += &format!(
                "{} wait in the spool {}\n",
                self.spooled,
                config.store.spool_dir.display()
            );
        }
        for problem in &self.problems {
            text += &format!("problem: {}\n", problem.text);
        }
        text += if self.problems.is_empty() {
            "no fault was found\n"
        } else if self.problems.iter().all(|it| it.is_for_an_operator) {
            "the store is intact; the problems above wait for an operator\n"
        } else {
            "faults were found: keep a copy of the files as they are, then restore a backup or ask for help\n"
        };
        text
    }
}
