//! `events replay`: makes events due again. A running receiver finds them by itself.

use super::which::{Outcome, WhichArgs, Words};
use super::{ConfigArgs, actor, audit};
use crate::admin::replay;
use crate::config::{Config, SinkConfig};
use crate::domain::EventId;
use crate::journal::{Records, ReplayFrom, Replayed, addressees};
use crate::terminal::ExitStatus;

const EXAMPLE: &str = "Example:
  suki-receiver events replay 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11
  suki-receiver events replay 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11 --from deliver --sink ehr
  suki-receiver events replay --state dead --since 24h --dry-run
  suki-receiver events replay --state dead --since 24h --rate 5";

/// The arguments of `events replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Where to start: retrieve (fetch everything anew) or deliver (what was fetched)
    #[arg(long, value_name = "STEP", default_value = "retrieve", value_parser = replay::from_word)]
    from: ReplayFrom,
    /// Deliver to this sink only (repeatable) [default: all of the event's]
    #[arg(long = "sink", value_name = "NAME")]
    sinks: Vec<String>,
}

pub(super) async fn run(
    store: &dyn Records,
    config: &Config,
    args: Args,
) -> anyhow::Result<ExitStatus> {
    let known = SinkConfig::names_for_events(&config.sinks);
    replay::known_sinks(&args.sinks, &known).map_err(anyhow::Error::msg)?;
    let (from, sinks) = (args.from, args.sinks);
    let words = Words {
        verb: "replay",
        state: None,
        is_final: false,
    };
    args.which
        .each(store, words, async |id| {
            one(store, id, from, &sinks, &known).await
        })
        .await
}

async fn one(
    store: &dyn Records,
    id: EventId,
    from: ReplayFrom,
    wanted: &[String],
    known: &[String],
) -> anyhow::Result<Outcome> {
    let Some(detail) = store.event(id).await? else {
        return Ok(Outcome::Skipped(
            replay::words(Replayed::NotFound).to_owned(),
        ));
    };
    let sinks = match addressees(from, wanted, &detail.sinks(), known) {
        Ok(sinks) => sinks,
        Err(why) => return Ok(Outcome::Skipped(why.to_string())),
    };
    audit(store, replay::action(from, wanted), Some(id)).await?;
    let end = store.replay(id, from, sinks, actor()).await?;
    Ok(match end {
        Replayed::Scheduled => Outcome::Done(replay::words(end)),
        Replayed::NotFound | Replayed::NoContent | Replayed::NotRetrieved => {
            Outcome::Skipped(replay::words(end).to_owned())
        }
    })
}
