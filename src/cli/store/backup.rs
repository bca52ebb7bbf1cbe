//! `store backup`: makes a consistent copy of a store that may be in use.

use std::path::PathBuf;

use anyhow::{Context, bail};
use jiff::Timestamp;

use super::super::ConfigArgs;
use crate::app::stores;
use crate::config::StoreUrl;
use crate::journal;
use crate::terminal::ExitStatus;
use crate::terminal::{emit, note};

const EXAMPLE: &str = "Example:
  suki-receiver store backup /backup/receiver-2026-11-24.db
  suki-receiver store check --set store.url=sqlite:/backup/receiver-2026-11-24.db";

/// The arguments of `store backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file to create, which must not exist yet. It has clinical content: only its owner may read it
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let loaded = args.config.load_store()?;
    let config = &loaded.config;
    let StoreUrl::Sqlite(path) = &config.store.url else {
        bail!(
            "store.url names a PostgreSQL database; back it up with its own tools, e.g. pg_dump --format=custom"
        );
    };
    stores::must_exist(path).with_context(|| loaded.place())?;
    let at = Timestamp::now();
    journal::backup(path, &args.file)?;
    // The copy is complete even if this fails.
    if let Err(error) = journal::note_backup(path, at) {
        note!("backup_last_success_timestamp_seconds does not show this copy: {error}");
    }
    let size = std::fs::metadata(&args.file)?.len();
    emit(format!("{}: {size} bytes\n", args.file.display()).as_bytes())?;
    Ok(ExitStatus::Success)
}
