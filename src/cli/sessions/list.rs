//! `sessions list`: prints a line for each expected session, or the JSON of the admin API.

use std::num::NonZeroUsize;

use crate::admin::{filter, view};
use crate::cli::ConfigArgs;
use crate::domain::{Clock, ExpectedState};
use crate::journal::{ExpectedFilter, Records};
use crate::terminal::{ExitStatus, Table, emit, emit_json, note};

/// The number of sessions in a page.
const PAGE: usize = 500;
const EXAMPLE: &str = "Example:
  suki-receiver sessions list --overdue
  suki-receiver sessions list --state recovered --json | jq -r '.sessions[].session_id'";

/// The arguments of `sessions list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// open, polling, met, recovered, late, absent, denied, expired or withdrawn
    #[arg(long)]
    state: Option<ExpectedState>,
    /// Sessions of this provider
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only those whose notification is overdue
    #[arg(long)]
    overdue: bool,
    /// Most sessions to list
    #[arg(long, value_name = "N", default_value_t = filter::DEFAULT_LIMIT)]
    limit: NonZeroUsize,
    /// Print JSON as the admin API answers it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &dyn Records, args: Args) -> anyhow::Result<ExitStatus> {
    let now = Clock::start().now();
    let filter = ExpectedFilter {
        state: args.state,
        provider: args.provider,
        overdue_at: args.overdue.then_some(now),
    };
    let (mut sessions, mut cursor, mut left) = (Vec::new(), None, args.limit.get());
    while left > 0 {
        let page = store
            .list_expected(filter.clone(), left.min(PAGE), cursor)
            .await?;
        left -= page.sessions.len().min(left);
        sessions.extend(page.sessions.iter().map(|it| view::Session::of(it, now)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    if args.json {
        return emit_json(&view::SessionPage {
            sessions,
            next_cursor: cursor.map(|next| next.to_string()),
        });
    }
    if sessions.is_empty() {
        note!("no sessions match");
        return Ok(ExitStatus::Success);
    }
    let mut table = Table::new(&["SESSION", "STATE", "DUE (UTC)", "POLLS", "LAST STATUS"]);
    for session in &sessions {
        let due = session.due_at.replace('T', " ");
        table.row([
            session.session_id.clone(),
            session.state.to_owned(),
            due.chars().take("2026-11-25 18:25".len()).collect(),
            session.polls.to_string(),
            session.last_status.clone().unwrap_or_default(),
        ]);
    }
    emit(format!("{table}\n").as_bytes())?;
    if cursor.is_some() {
        note!("there are more; raise --limit or narrow the filter");
    }
    Ok(ExitStatus::Success)
}
