//! `store restore`: replaces the store with a backup.

use std::path::PathBuf;

use anyhow::bail;

use super::super::ConfigArgs;
use super::super::input::agrees;
use crate::config::StoreUrl;
use crate::journal;
use crate::terminal::ExitStatus;
use crate::terminal::{emit, note};

const EXAMPLE: &str = "Example:
  systemctl stop suki-receiver
  suki-receiver store restore /backup/receiver-2026-11-24.db
  systemctl start suki-receiver

What the backup does not have is not delivered, and what it had in progress is delivered once more, under the same ids.
The store that was there is moved aside, not removed.";

/// The arguments of `store restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// A copy made by `store backup`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let config = args.config.load_store()?.config;
    let StoreUrl::Sqlite(path) = &config.store.url else {
        bail!(
            "store.url names a PostgreSQL database; restore it with its own tools, e.g. pg_restore"
        );
    };
    let question = format!(
        "Put {} in the place of the store {}?",
        args.file.display(),
        path.display()
    );
    if !args.yes && !agrees(&question) {
        note!("nothing was changed");
        return Ok(ExitStatus::Failure);
    }
    let replaced = journal::restore(&args.file, path)?;
    let mut text = format!(
        "{}: restored from {}\n",
        path.display(),
        args.file.display()
    );
    if let Some(aside) = replaced {
        text += &format!("the store that was there is now {}\n", aside.display());
    }
    text += "start the service\n";
    emit(text.as_bytes())?;
    Ok(ExitStatus::Success)
}
