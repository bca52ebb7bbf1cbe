//! `check`: validates the configuration, and with `--online` also checks the systems that it names.

use std::io::Write;

use crate::app::{self, Asks, online};
use crate::terminal::note;

use super::ConfigArgs;
use crate::terminal::ExitStatus;

const EXAMPLE: &str = "Example:
  suki-receiver check --config /etc/suki-receiver/receiver.toml --online";

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also log in to SDP, open the store and reach each sink
    #[arg(long)]
    online: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    let loaded = args.config.load_to_serve(Asks::Check)?;
    match &loaded.file {
        Some(file) => note!("configuration: {}", file.display()),
        None => note!("configuration: no file, defaults and environment only"),
    }
    // A reader that stops early, such as `head`, is no failure.
    write!(std::io::stdout(), "{}", loaded.effective).ok();
    for warning in &loaded.warnings {
        note!("warning: {warning}");
    }
    for doubt in app::doubts(&loaded.config) {
        note!("warning: {doubt}");
    }
    if !args.online {
        note!("ok");
        return Ok(ExitStatus::Success);
    }
    let mut done = ExitStatus::Success;
    for (what, result) in online::check(&loaded.config).await {
        match result {
            Ok(()) => note!("ok: {what}"),
            Err(why) => {
                note!("failed: {what}: {why}");
                done = ExitStatus::Failure;
            }
        }
    }
    if done == ExitStatus::Success {
        note!("ok");
    }
    Ok(done)
}
