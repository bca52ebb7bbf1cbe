//! `sessions`: manages expected sessions from the shell, whether or not a receiver runs. It never creates a store.

mod add;
mod list;
mod steer;

use anyhow::Context;
use clap::Subcommand;

use super::ConfigArgs;
use crate::app::stores;
use crate::domain::SessionId;
use crate::terminal::ExitStatus;

const EXAMPLE: &str = "Example:
  suki-receiver sessions add 9d1c2f6e-55aa-4d0e-9a55-1f3c1c7c0d11 --provider dr-rivera
  suki-receiver sessions import sessions.jsonl
  suki-receiver sessions list --state polling
  suki-receiver sessions show 9d1c2f6e-55aa-4d0e-9a55-1f3c1c7c0d11
  suki-receiver sessions withdraw 9d1c2f6e-55aa-4d0e-9a55-1f3c1c7c0d11";

/// The arguments of `sessions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Register a session: it is polled if no notification of it comes
    Add(add::AddArgs),
    /// Register many sessions, one JSON object per line, as POST /api/v1/sessions accepts them
    Import(add::ImportArgs),
    /// List expected sessions, newest first
    List(list::Args),
    /// Show one expected session
    Show(steer::Args),
    /// Poll a session's status now
    Poll(steer::Args),
    /// Stop expecting a session; a notification of it is still accepted
    Withdraw(steer::Args),
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let loaded = args.what.config().load_store()?;
    let store = stores::guest(&loaded.config).with_context(|| loaded.place())?;
    let reconcile = &loaded.config.reconcile;
    let result = match args.what {
        What::Add(args) => add::add(&*store, reconcile, args).await,
        What::Import(args) => add::import(&*store, reconcile, &args).await,
        What::List(args) => list::run(&*store, args).await,
        What::Show(args) => steer::show(&*store, &args).await,
        What::Poll(args) => steer::poll(&*store, &args).await,
        What::Withdraw(args) => steer::withdraw(&*store, &args).await,
    };
    store.close().await;
    result
}

impl What {
    fn config(&self) -> &ConfigArgs {
        match self {
            Self::Add(args) => &args.config,
            Self::Import(args) => &args.config,
            Self::List(args) => &args.config,
            Self::Show(args) | Self::Poll(args) | Self::Withdraw(args) => &args.config,
        }
    }
}

fn session_id(text: &str) -> Result<SessionId, String> {
    SessionId::new(text).ok_or_else(|| "use a session's id, of 1 to 512 bytes".to_owned())
}
