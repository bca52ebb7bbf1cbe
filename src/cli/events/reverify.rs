//! `events reverify`: accepts requests that were refused while a secret was wrong. A running receiver then works on
//! them.

use std::sync::Arc;

use serde_json::json;

use super::ConfigArgs;
use crate::app;
use crate::config::Config;
use crate::domain::Clock;
use crate::journal::{Journal, Reverified, Rules, Store};
use crate::terminal::ExitStatus;
use crate::terminal::{emit, emit_json};

const EXAMPLE: &str = "Example:
  suki-receiver events reverify";

/// The arguments of `events reverify`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    store: Arc<dyn Store>,
    config: &Config,
    args: &Args,
) -> anyhow::Result<ExitStatus> {
    // This process has no worker to notify: the running receiver finds the new events by polling.
    let (journal, _) = Journal::new(store, config.store.deadline, 1, Clock::start());
    let secrets = app::signing_secrets(config);
    let done = journal
        .reverify(Rules {
            secrets: &secrets,
            tolerance: config.signature.tolerance,
            on_stale: config.signature.on_stale,
            max_body_bytes: config.server.max_body_bytes,
        })
        .await?;
    let Reverified {
        checked,
        accepted,
        duplicates,
        quarantined,
        rejected,
        failed,
    } = done;
    let ended = if failed == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    };
    if args.json {
        emit_json(&json!({
            "checked": checked, "accepted": accepted, "duplicates": duplicates,
            "quarantined": quarantined, "refused": rejected, "failed": failed,
        }))?;
        return Ok(ended);
    }
    let text = format!(
        "{checked} rejected requests verified again: {accepted} accepted, {duplicates} known already, \
         {quarantined} to the quarantine, {rejected} still rejected, {failed} not taken by the store\n"
    );
    emit(text.as_bytes())?;
    Ok(ended)
}
