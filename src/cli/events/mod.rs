//! `events`: the store from the shell, while a receiver runs on it or not. Reads and replays; never makes a store.

mod export;
mod list;
mod pages;
mod replay;
mod show;
mod table;

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use clap::Subcommand;
use jiff::Timestamp;

use self::pages::Pages;
use super::{ConfigArgs, Done};
use crate::admin::filter;
use crate::config::{Config, StoreUrl};
use crate::domain::{Clock, EventId, EventState, Outcome};
use crate::journal::{Access, AuditEntry, Filter, SqliteStore, Store};
use crate::metrics::Metrics;

/// Who reads and changes, in the audit log.
const ACTOR: &str = "cli";
const EXAMPLE: &str = "Example:
  suki-receiver events list --state dead
  suki-receiver events show 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11
  suki-receiver events replay 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11 --from deliver --sink ehr
  suki-receiver events export --since 2025-06-01T00:00:00Z > events.jsonl";

/// What `events` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List events, newest first; no clinical content
    List(list::Args),
    /// Show one event with its links, deliveries and history
    Show(show::Args),
    /// Make an event due again
    Replay(replay::Args),
    /// Print every matching event as a line of JSON
    Export(export::Args),
}

/// Which events.
#[derive(Debug, Clone, clap::Args)]
struct FilterArgs {
    /// received, retrieving, delivering, done, dead or quarantined
    #[arg(long)]
    state: Option<EventState>,
    /// completed, failed, timed_out, cancelled or unknown
    #[arg(long)]
    outcome: Option<Outcome>,
    /// Events of this session
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// Events of this encounter
    #[arg(long, value_name = "ID")]
    encounter_id: Option<String>,
    /// Received at or after this time, e.g. 2025-06-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = filter::time)]
    since: Option<Timestamp>,
    /// Received before this time
    #[arg(long, value_name = "TIME", value_parser = filter::time)]
    until: Option<Timestamp>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Done> {
    let loaded = args.what.config().load()?;
    let store = open(&loaded.config)?;
    let result = match args.what {
        What::List(args) => list::run(&store, args).await,
        What::Show(args) => show::run(&store, &args).await,
        What::Replay(args) => replay::run(&store, &loaded.config, args).await,
        What::Export(args) => export::run(&store, args).await,
    };
    store.close().await;
    result
}

impl What {
    fn config(&self) -> &ConfigArgs {
        match self {
            Self::List(args) => &args.config,
            Self::Show(args) => &args.config,
            Self::Replay(args) => &args.config,
            Self::Export(args) => &args.config,
        }
    }
}

impl FilterArgs {
    fn filter(self) -> Filter {
        Filter {
            state: self.state,
            outcome: self.outcome,
            session_id: self.session_id,
            encounter_id: self.encounter_id,
            since: self.since,
            until: self.until,
        }
    }
}

/// Opens a store that is there. A typing error in a path must not leave an empty one behind.
fn open(config: &Config) -> anyhow::Result<SqliteStore> {
    let StoreUrl::Sqlite(path) = &config.store.url;
    must_exist(path)?;
    let (clock, metrics) = (Clock::start(), Metrics::new());
    SqliteStore::open(path, Access::Guest, config.store.queue, clock, metrics)
        .with_context(|| format!("cannot open the store {}", path.display()))
}

fn must_exist(path: &Path) -> anyhow::Result<()> {
    let is_there = path
        .try_exists()
        .with_context(|| format!("cannot look for the store {}", path.display()))?;
    if !is_there {
        bail!(
            "there is no store at {}; name it with --config FILE or --set store.url=sqlite:PATH",
            path.display()
        );
    }
    Ok(())
}

/// Writes down what is about to be read or changed. Where this fails, it must not be.
async fn audit(store: &SqliteStore, action: String, event: EventId) -> anyhow::Result<()> {
    let entry = AuditEntry {
        at: Clock::start().now(),
        actor: ACTOR.to_owned(),
        action,
        event: Some(event),
    };
    let written = store.audit(entry).await;
    written.context("cannot write to the audit log, so nothing was done")
}

/// Writes a result to standard output; `false` once nobody reads it any more, as behind `| head`.
fn emit(bytes: &[u8]) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("cannot write to standard output"),
    }
}

/// Writes a value as indented JSON.
fn emit_json(value: &impl serde::Serialize) -> anyhow::Result<Done> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    emit(&text)?;
    Ok(Done::Well)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_not_there_is_named_and_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/receiver.db");
        let problem = must_exist(&path).expect_err("there is none").to_string();
        assert!(problem.contains("receiver.db"), "{problem}");
        assert!(!folder.path().join("data").exists());
    }
}
