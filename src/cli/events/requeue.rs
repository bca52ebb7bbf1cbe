//! `events requeue`: takes events out of the quarantine if this version can parse them. A running receiver then works
//! on them.

use super::which::{Outcome, WhichArgs, Words};
use super::{ConfigArgs, actor, audit};
use crate::admin::requeue;
use crate::domain::EventState;
use crate::journal::{self, Records, Requeued};
use crate::terminal::ExitStatus;

const EXAMPLE: &str = "Example:
  suki-receiver events list --state quarantined
  suki-receiver events show 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11 --payload
  suki-receiver events requeue 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11
  suki-receiver events requeue                 every one in the quarantine";

/// The arguments of `events requeue`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    which: WhichArgs,
}

pub(super) async fn run(store: &dyn Records, args: Args) -> anyhow::Result<ExitStatus> {
    let words = Words {
        verb: "requeue",
        state: Some(EventState::Quarantined),
        is_final: false,
    };
    args.which
        .each(store, words, async |id| {
            audit(store, "requeue".to_owned(), Some(id)).await?;
            let end = journal::requeue(store, id, actor()).await?;
            Ok(match end {
                Requeued::Scheduled => Outcome::Done("scheduled"),
                other => Outcome::Skipped(requeue::words(&other)),
            })
        })
        .await
}
