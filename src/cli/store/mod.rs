//! `store`: checks, copies, restores and creates the whole store.

mod backup;
mod check;
mod init;
mod restore;

use clap::Subcommand;

use crate::terminal::ExitStatus;

/// The arguments of `store`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read the whole store and report inconsistencies: exit code 0 when no fault was found, 1 when not
    Check(check::Args),
    /// Copy the embedded store to a new file, while the service runs or not
    Backup(backup::Args),
    /// Replace the embedded store with a backup, while the service is stopped
    Restore(restore::Args),
    /// Begin with an empty store where one was damaged or lost
    Init(init::Args),
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    match args.what {
        What::Check(args) => check::run(args).await,
        What::Backup(args) => backup::run(&args),
        What::Restore(args) => restore::run(&args),
        What::Init(args) => init::run(&args),
    }
}
