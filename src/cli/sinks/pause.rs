//! `sinks pause` and `sinks resume`: pause and resume a configured sink. It takes effect in a running service at once.

use anyhow::ensure;

use super::names;
use crate::admin::LONGEST_REASON;
use crate::admin::pauses::{pausing, resuming};
use crate::cli::ConfigArgs;
use crate::cli::events::{actor, audit_for};
use crate::config::Config;
use crate::journal::Records;
use crate::terminal::{ExitStatus, emit};

/// The arguments of both commands.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The configured sink
    #[arg(value_name = "NAME")]
    sink: String,
    /// The reason, for the audit log and shown with a pause; without patient data
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Args {
    fn check(&self, config: &Config) -> anyhow::Result<()> {
        let known = names(config);
        ensure!(
            known.contains(&self.sink),
            "there is no sink '{}'; configured: {}",
            self.sink,
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        );
        let length = self
            .reason
            .as_ref()
            .map_or(0, |reason| reason.chars().count());
        ensure!(
            length <= LONGEST_REASON,
            "--reason has {length} characters; use at most {LONGEST_REASON}"
        );
        Ok(())
    }
}

/// Pauses the sink.
pub(super) async fn pause(
    store: &dyn Records,
    config: &Config,
    args: Args,
) -> anyhow::Result<ExitStatus> {
    args.check(config)?;
    let Args { sink, reason, .. } = args;
    audit_for(store, pausing(&sink), None, reason.clone()).await?;
    let said = match store.pause(sink.clone(), actor(), reason).await? {
        None => format!("'{sink}' is paused; its deliveries wait until it is resumed\n"),
        Some(pause) => format!(
            "'{sink}' was paused already, since {} by {}, and stays so\n",
            pause.since, pause.actor
        ),
    };
    emit(said.as_bytes())?;
    Ok(ExitStatus::Success)
}

/// Resumes the sink.
pub(super) async fn resume(
    store: &dyn Records,
    config: &Config,
    args: Args,
) -> anyhow::Result<ExitStatus> {
    args.check(config)?;
    let Args { sink, reason, .. } = args;
    audit_for(store, resuming(&sink), None, reason).await?;
    let said = match store.resume(sink.clone()).await? {
        Some(pause) => format!(
            "'{sink}' is resumed; it was paused since {} by {}\n",
            pause.since, pause.actor
        ),
        None => format!("'{sink}' was not paused\n"),
    };
    emit(said.as_bytes())?;
    Ok(ExitStatus::Success)
}
