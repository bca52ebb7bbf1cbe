//! `events`: reads and replays the store's events from the shell, whether or not a receiver runs. It never creates a
//! store.

mod export;
mod list;
mod pages;
mod purge;
mod replay;
mod requeue;
mod reverify;
mod show;
mod table;
mod which;

use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use jiff::Timestamp;

use self::pages::Pages;
use super::ConfigArgs;
pub(super) use super::user::actor;
use crate::app::stores;
use crate::domain::{Cause, Clock, EventId, EventState, Outcome, Source};
use crate::journal::{self, AuditEntry, Filter, Records};
use crate::terminal::ExitStatus;

const EXAMPLE: &str = "Example:
  suki-receiver events list --state dead
  suki-receiver events show 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11
  suki-receiver events replay 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11 --from deliver --sink ehr
  suki-receiver events replay --state dead --since 24h --dry-run
  suki-receiver events requeue
  suki-receiver events export --since 2026-11-25 > events.jsonl";

/// The arguments of `events`.
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
    /// Take events out of the quarantine that this version can read
    Requeue(requeue::Args),
    /// Remove the content of events, for good, and keep their receipts
    Purge(purge::Args),
    /// Print every matching event as a line of JSON
    Export(export::Args),
    /// Accept requests that were refused while a signing secret was wrong
    Reverify(reverify::Args),
}

/// A filter of events.
#[derive(Debug, Clone, clap::Args)]
struct FilterArgs {
    /// received, retrieving, delivering, done, dead, quarantined or purged; several with commas between them
    #[arg(long, value_delimiter = ',')]
    state: Vec<EventState>,
    /// completed, failed, timed_out, cancelled, skipped or unknown
    #[arg(long)]
    outcome: Option<Outcome>,
    /// Cause of the failure, such as deliver.rejected or fetch.identity
    #[arg(long)]
    cause: Option<Cause>,
    /// Delivered, to be delivered or failed at this sink
    #[arg(long, value_name = "NAME")]
    at_sink: Option<String>,
    /// webhook, reconcile, refresh or cli
    #[arg(long)]
    source: Option<Source>,
    /// Events of this session
    #[arg(long, value_name = "ID")]
    session_id: Option<String>,
    /// Events of this encounter
    #[arg(long, value_name = "ID")]
    encounter_id: Option<String>,
    /// Received at or after this time: 24h (ago), 2026-11-25 or 2026-11-25T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = journal::filter::time)]
    since: Option<Timestamp>,
    /// Received before this time
    #[arg(long, value_name = "TIME", value_parser = journal::filter::time)]
    until: Option<Timestamp>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let loaded = match &args.what {
        // `reverify` needs the signing secrets.
        What::Reverify(args) => args.config.load()?,
        what => what.config().load_store()?,
    };
    let store = stores::guest(&loaded.config).with_context(|| loaded.place())?;
    let config = &loaded.config;
    let result = match args.what {
        What::List(args) => list::run(&*store, args).await,
        What::Show(args) => show::run(&*store, &args).await,
        What::Replay(args) => replay::run(&*store, config, args).await,
        What::Requeue(args) => requeue::run(&*store, args).await,
        What::Purge(args) => purge::run(&*store, args).await,
        What::Export(args) => export::run(&*store, args).await,
        What::Reverify(args) => reverify::run(Arc::clone(&store), config, &args).await,
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
            Self::Requeue(args) => &args.config,
            Self::Purge(args) => &args.config,
            Self::Export(args) => &args.config,
            Self::Reverify(args) => &args.config,
        }
    }
}

impl FilterArgs {
    /// Whether the filter restricts anything.
    fn is_any(&self) -> bool {
        !self.clone().filter().is_empty()
    }

    fn filter(self) -> Filter {
        Filter {
            states: self.state,
            outcome: self.outcome,
            cause: self.cause,
            sink: self.at_sink,
            source: self.source,
            session_id: self.session_id,
            encounter_id: self.encounter_id,
            since: self.since,
            until: self.until,
            ..Filter::default()
        }
    }
}

/// Writes to the audit log what is about to be read or changed. If this fails, it must not be done.
pub(super) async fn audit(
    store: &dyn Records,
    action: String,
    event: Option<EventId>,
) -> anyhow::Result<()> {
    audit_for(store, action, event, None).await
}

/// Like [`audit`], with a reason.
pub(super) async fn audit_for(
    store: &dyn Records,
    action: String,
    event: Option<EventId>,
    reason: Option<String>,
) -> anyhow::Result<()> {
    let entry = AuditEntry {
        at: Clock::start().now(),
        actor: actor(),
        action,
        event,
        reason,
    };
    let written = store.audit(entry).await;
    written.context("cannot write to the audit log, so nothing was done")
}
