//! `sessions add` and `sessions import`: register sessions, by the same rules as the API.

use std::path::PathBuf;

use anyhow::{anyhow, ensure};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::admin::registration::{self, Registrations};
use crate::admin::view;
use crate::cli::{ConfigArgs, input};
use crate::config::Reconcile;
use crate::domain::Clock;
use crate::journal;
use crate::journal::{NewExpected, Records};
use crate::terminal::{ExitStatus, emit, note};

const ADD_EXAMPLE: &str = "Example:
  suki-receiver sessions add                        makes an id, for ambient_session_id
  suki-receiver sessions add 9d1c2f6e-55aa-4d0e-9a55-1f3c1c7c0d11 --ended-at 5m";
const IMPORT_EXAMPLE: &str = "Example:
  suki-receiver sessions import sessions.jsonl
  printf '%s\\n' '{\"session_id\":\"…\",\"ended_at\":\"2026-11-25T12:00:00Z\"}' | suki-receiver sessions import";
/// The limit of sessions that one write registers.
const BATCH: usize = 500;

/// The arguments of `sessions add`.
#[derive(Debug, clap::Args)]
#[command(after_help = ADD_EXAMPLE)]
pub(super) struct AddArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The session's id; if left out, one is made and printed
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// The session's encounter
    #[arg(long, value_name = "ID")]
    encounter_id: Option<String>,
    /// ambient or form_filling; found out if left out
    #[arg(long)]
    kind: Option<String>,
    /// The session's provider, which determines the SDP identity that reads it
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// When it started: 5m (ago), 2026-11-25 or 2026-11-25T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = journal::filter::time)]
    started_at: Option<Timestamp>,
    /// When it ended
    #[arg(long, value_name = "TIME", value_parser = journal::filter::time)]
    ended_at: Option<Timestamp>,
}

/// The arguments of `sessions import`.
#[derive(Debug, clap::Args)]
#[command(after_help = IMPORT_EXAMPLE)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The file; standard input if left out or -
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn add(
    store: &dyn Records,
    reconcile: &Reconcile,
    args: AddArgs,
) -> anyhow::Result<ExitStatus> {
    let fields = [
        ("session_id", args.id),
        ("encounter_id", args.encounter_id),
        ("kind", args.kind),
        ("provider", args.provider),
        ("started_at", args.started_at.map(|time| time.to_string())),
        ("ended_at", args.ended_at.map(|time| time.to_string())),
    ];
    let said: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
        .collect();
    let said = registration::session(said).map_err(|why| anyhow!(why))?;
    let new = said
        .expected(reconcile, Clock::start().now())
        .map_err(|why| anyhow!(why))?;
    ensure!(
        reconcile.enabled,
        "sessions cannot be registered: reconcile.enabled is false"
    );
    for registered in store.expect(vec![new]).await? {
        let registered = view::Registered::from(&registered);
        emit(format!("{}\n", serde_json::to_string(&registered)?).as_bytes())?;
    }
    Ok(ExitStatus::Success)
}

pub(super) async fn import(
    store: &dyn Records,
    reconcile: &Reconcile,
    args: &ImportArgs,
) -> anyhow::Result<ExitStatus> {
    ensure!(
        reconcile.enabled,
        "sessions cannot be registered: reconcile.enabled is false"
    );
    let body = input::body(args.file.as_deref())?;
    let Registrations::Many(lines) = registration::read(&body, true).map_err(|why| anyhow!(why))?
    else {
        return Ok(ExitStatus::Failure);
    };
    let now = Clock::start().now();
    let (mut new, mut wrong): (Vec<NewExpected>, usize) = (Vec::new(), 0);
    for (number, line) in lines.into_iter().enumerate() {
        match line.and_then(|said| said.expected(reconcile, now)) {
            Ok(said) => new.push(said),
            Err(why) => {
                wrong += 1;
                note!("session {}: {why}", number + 1);
            }
        }
    }
    let (mut added, mut known) = (0, 0);
    while !new.is_empty() {
        let rest = new.split_off(new.len().min(BATCH));
        for registered in store.expect(new).await? {
            if registered.is_new {
                added += 1;
            } else {
                known += 1;
            }
        }
        new = rest;
    }
    note!(
        "{added} sessions were registered; {known} were registered before, {wrong} could not be read"
    );
    Ok(if wrong == 0 {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}
