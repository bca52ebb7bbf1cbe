//! `check`: is the configuration right, and with `--online`, does what it names work?

use std::io::Write;

use crate::app::online;

use super::{ConfigArgs, Done};

const EXAMPLE: &str = "Example:
  suki-receiver check --config /etc/suki-receiver/receiver.toml --online";

/// What `check` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also log in to SDP, open the store and reach each sink
    #[arg(long)]
    online: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Done> {
    let loaded = args.config.load()?;
    match &loaded.file {
        Some(file) => eprintln!("configuration: {}", file.display()),
        None => eprintln!("configuration: no file, defaults and environment only"),
    }
    // A reader that has seen enough, such as `head`, is no failure.
    write!(std::io::stdout(), "{}", loaded.effective).ok();
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    if !args.online {
        return Ok(Done::Well);
    }
    let mut done = Done::Well;
    for (what, result) in online::check(&loaded.config).await {
        match result {
            Ok(()) => eprintln!("ok: {what}"),
            Err(why) => {
                eprintln!("failed: {what}: {why}");
                done = Done::No;
            }
        }
    }
    Ok(done)
}
