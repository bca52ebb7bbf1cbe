//! `sessions show`, `poll` and `withdraw`: show, poll and withdraw one expected session.

use anyhow::bail;

use super::session_id;
use crate::admin::view;
use crate::cli::ConfigArgs;
use crate::cli::events::audit;
use crate::domain::{Clock, Expected, SessionId};
use crate::journal::Records;
use crate::terminal::{ExitStatus, emit_json, note};

const EXAMPLE: &str = "Example:
  suki-receiver sessions show 9d1c2f6e-55aa-4d0e-9a55-1f3c1c7c0d11
  suki-receiver sessions poll 9d1c2f6e-55aa-4d0e-9a55-1f3c1c7c0d11
  suki-receiver sessions withdraw 9d1c2f6e-55aa-4d0e-9a55-1f3c1c7c0d11";

/// The arguments of these commands.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The session
    #[arg(value_name = "ID", value_parser = session_id)]
    id: SessionId,
}

pub(super) async fn show(store: &dyn Records, args: &Args) -> anyhow::Result<ExitStatus> {
    shown(store.expected(args.id.clone()).await?)
}

pub(super) async fn poll(store: &dyn Records, args: &Args) -> anyhow::Result<ExitStatus> {
    known(store, args).await?;
    audit(store, format!("poll session {}", args.id), None).await?;
    let asked = store
        .poll_now(args.id.clone(), Clock::start().monotonic())
        .await?;
    note!("the poll is due now; the service that runs on this store makes it");
    shown(asked)
}

pub(super) async fn withdraw(store: &dyn Records, args: &Args) -> anyhow::Result<ExitStatus> {
    known(store, args).await?;
    audit(store, format!("withdraw session {}", args.id), None).await?;
    shown(store.withdraw(args.id.clone()).await?)
}

async fn known(store: &dyn Records, args: &Args) -> anyhow::Result<Expected> {
    match store.expected(args.id.clone()).await? {
        Some(expected) => Ok(expected),
        None => bail!("no session with this id is registered"),
    }
}

fn shown(expected: Option<Expected>) -> anyhow::Result<ExitStatus> {
    match expected {
        Some(expected) => emit_json(&view::Session::of(&expected, Clock::start().now())),
        None => bail!("no session with this id is registered"),
    }
}
