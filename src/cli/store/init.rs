//! `store init --empty`: creates an empty store where there was one before. The service never does that by itself.

use anyhow::Context;

use super::super::ConfigArgs;
use crate::app::stores;
use crate::journal;
use crate::terminal::ExitStatus;
use crate::terminal::emit;

const EXAMPLE: &str = "Example:
  suki-receiver store init --empty";

/// The arguments of `store init`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Confirm that it is empty: events of an earlier store are not delivered from this one
    #[arg(long, required = true)]
    empty: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let config = args.config.load_store()?.config;
    let file = stores::local_file(&config);
    journal::begin_empty(&file)
        .with_context(|| format!("cannot make an empty store at {}", file.display()))?;
    emit(format!("{}: an empty store; start the service\n", file.display()).as_bytes())?;
    Ok(ExitStatus::Success)
}
