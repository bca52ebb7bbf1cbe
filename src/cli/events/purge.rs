//! `events purge`: removes the content of events and keeps their receipts. Deliveries that are outstanding are not made
//! any more.

use super::which::{Outcome, WhichArgs, Words};
use super::{ConfigArgs, actor, audit};
use crate::journal::Records;
use crate::terminal::ExitStatus;

const EXAMPLE: &str = "Example:
  suki-receiver events purge 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11
  suki-receiver events purge --state quarantined --until 2026-11-01 --dry-run";

/// The arguments of `events purge`.
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
        verb: "purge",
        state: None,
        is_final: true,
    };
    args.which
        .each(store, words, async |id| {
            audit(store, "purge".to_owned(), Some(id)).await?;
            Ok(if store.purge(id, actor()).await? {
                Outcome::Done("purged")
            } else {
                Outcome::Skipped("there is no event with this id".to_owned())
            })
        })
        .await
}
