//! `events replay`: makes an event due again. A running receiver finds it by itself.

use anyhow::bail;
use serde_json::json;

use super::{ACTOR, ConfigArgs, Done, audit, emit, emit_json};
use crate::admin::replay;
use crate::config::Config;
use crate::domain::EventId;
use crate::journal::{ReplayFrom, Replayed, Store};

const EXAMPLE: &str = "Example:
  suki-receiver events replay 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11
  suki-receiver events replay 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11 --from deliver --sink ehr";

/// What `events replay` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The event's id
    #[arg(value_name = "ID")]
    id: EventId,
    /// Where to start: retrieve (fetch everything anew) or deliver (what was fetched)
    #[arg(long, value_name = "STEP", default_value = "retrieve", value_parser = replay::from_word)]
    from: ReplayFrom,
    /// Deliver to this sink only (repeatable) [default: all of the event's]
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
    /// Print JSON as the admin API answers it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &dyn Store, config: &Config, args: Args) -> anyhow::Result<Done> {
    let known: Vec<String> = config.sinks.iter().map(|sink| sink.name.clone()).collect();
    replay::known_sinks(&args.sinks, &known).map_err(anyhow::Error::msg)?;
    if store.event(args.id).await?.is_none() {
        bail!(replay::words(Replayed::NotFound));
    }
    audit(store, replay::action(args.from, &args.sinks), args.id).await?;
    let end = store
        .replay(args.id, args.from, args.sinks, ACTOR.to_owned())
        .await?;
    match end {
        Replayed::Scheduled => {}
        Replayed::NotFound | Replayed::NoContent | Replayed::NotRetrieved => {
            bail!(replay::words(end))
        }
    }
    if args.json {
        return emit_json(&json!({"result": replay::words(end), "id": args.id.to_string()}));
    }
    emit(format!("{}: {}\n", args.id, replay::words(end)).as_bytes())?;
    Ok(Done::Well)
}
