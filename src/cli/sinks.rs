//! `sinks`: lists sinks with their waiting deliveries, pauses and resumes them, and drops or readdresses deliveries.

mod pause;

use anyhow::{Context, bail, ensure};
use clap::Subcommand;

use super::ConfigArgs;
use super::events::{actor, audit};
use super::input::agrees;
use crate::admin::pauses::Sinks;
use crate::admin::replay::known_sinks;
use crate::app::stores;
use crate::config::{Config, SinkConfig};
use crate::journal::Records;
use crate::terminal::ExitStatus;
use crate::terminal::{emit, emit_json, note};

/// The limit of deliveries in one transaction, so that no notification waits long for it.
const BATCH: usize = 200;
const EXAMPLE: &str = "Example:
  suki-receiver sinks list
  suki-receiver sinks pause ehr --reason 'the target is being upgraded'
  suki-receiver sinks resume ehr
  suki-receiver sinks readdress old-ehr --to ehr
  suki-receiver sinks drop old-ehr --dry-run";

/// The arguments of `sinks`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the configured sinks, and others that have waiting deliveries
    List(ListArgs),
    /// Deliver nothing to a sink until it is resumed; its deliveries wait and are not given up
    Pause(pause::Args),
    /// Resume a paused sink: its waiting deliveries are due at once
    Resume(pause::Args),
    /// Give up a sink's outstanding deliveries: they are not made any more
    Drop(DropArgs),
    /// Assign a sink's outstanding deliveries to another sink
    Readdress(ReaddressArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct DropArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The sink, configured or not
    #[arg(value_name = "NAME")]
    sink: String,
    /// Say how many deliveries that would be, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct ReaddressArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The sink whose deliveries are assigned, configured or not
    #[arg(value_name = "NAME")]
    sink: String,
    /// The configured sink that gets them
    #[arg(long, value_name = "NAME")]
    to: String,
    /// Say how many deliveries that would be, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let config = match &args.what {
        What::List(args) => &args.config,
        What::Pause(args) | What::Resume(args) => &args.config,
        What::Drop(args) => &args.config,
        What::Readdress(args) => &args.config,
    };
    let loaded = config.load_store()?;
    let store = stores::guest(&loaded.config).with_context(|| loaded.place())?;
    let config = loaded.config;
    let result = match args.what {
        What::List(args) => list(&*store, &config, args.json).await,
        What::Pause(args) => pause::pause(&*store, &config, args).await,
        What::Resume(args) => pause::resume(&*store, &config, args).await,
        What::Drop(args) => change(&*store, &args.sink, None, args.dry_run, args.yes).await,
        What::Readdress(args) => {
            let known = SinkConfig::names_for_events(&config.sinks);
            known_sinks(std::slice::from_ref(&args.to), &known).map_err(anyhow::Error::msg)?;
            ensure!(args.to != args.sink, "--to must be another sink");
            change(&*store, &args.sink, Some(&args.to), args.dry_run, args.yes).await
        }
    };
    store.close().await;
    result
}

fn names(config: &Config) -> Vec<String> {
    config.sinks.iter().map(|sink| sink.name.clone()).collect()
}

async fn list(store: &dyn Records, config: &Config, as_json: bool) -> anyhow::Result<ExitStatus> {
    let known = names(config);
    let waiting = store.waiting_deliveries(Vec::new()).await?;
    let found = Sinks::of(&known, &waiting, &store.paused().await?);
    if as_json {
        return emit_json(&found);
    }
    if found.sinks.is_empty() {
        note!("no sinks are configured, and nothing waits for one");
        return Ok(ExitStatus::Success);
    }
    let mut text = String::new();
    for sink in found.sinks {
        text += &format!("{}: {} deliveries wait", sink.name, sink.waiting);
        if !sink.configured {
            text += "; not configured";
        }
        if let Some(pause) = sink.paused {
            text += &format!("; paused since {} by {}", pause.since, pause.actor);
            text += &pause
                .reason
                .map_or_else(String::new, |reason| format!(": {reason}"));
        }
        text += "\n";
    }
    emit(text.as_bytes())?;
    Ok(ExitStatus::Success)
}

async fn change(
    store: &dyn Records,
    sink: &str,
    to: Option<&str>,
    dry_run: bool,
    yes: bool,
) -> anyhow::Result<ExitStatus> {
    let waiting = store.waiting_deliveries(Vec::new()).await?;
    let waiting = waiting.iter().find(|waits| waits.sink == sink);
    let count = waiting.map_or(0, |waits| waits.count);
    let action = match to {
        Some(to) => format!("assign to '{to}' what '{sink}' has not received"),
        None => format!("drop what '{sink}' has not received"),
    };
    let total = format!("{count} deliveries wait for '{sink}', beside those that were given up");
    if dry_run {
        emit(format!("would {action}: {total}\n").as_bytes())?;
        return Ok(ExitStatus::Success);
    }
    if !yes && !agrees(&format!("{total}. {action}?")) {
        note!("nothing was changed");
        return Ok(ExitStatus::Failure);
    }
    audit(store, action, None).await?;
    let mut changed = 0;
    loop {
        let actor = actor();
        let done = match to {
            Some(to) => {
                store
                    .readdress(sink.to_owned(), to.to_owned(), BATCH, actor)
                    .await
            }
            None => store.drop_deliveries(sink.to_owned(), BATCH, actor).await,
        };
        match done {
            Ok(0) => break,
            Ok(done) => changed += done,
            Err(error) => bail!("{changed} deliveries were changed, then: {error}"),
        }
    }
    let done = match to {
        Some(to) => format!("{changed} deliveries are for '{to}' now\n"),
        None => format!("{changed} deliveries were dropped\n"),
    };
    emit(done.as_bytes())?;
    Ok(ExitStatus::Success)
}
