//! `events list`: prints two or more lines for each event, or the JSON of the admin API.

use std::num::NonZeroUsize;

use super::table::{or_dash, printable, wrapped};
use super::{ConfigArgs, FilterArgs, Pages};
use crate::admin::{filter, view};
use crate::journal::Records;
use crate::terminal::ExitStatus;
use crate::terminal::note;
use crate::terminal::{emit, emit_json};

const EXAMPLE: &str = "Example:
  suki-receiver events list --state dead --since 24h
  suki-receiver events list --limit 1000 --json | jq -r '.events[].session_id'";

/// The arguments of `events list`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Most events to list
    #[arg(long, value_name = "N", default_value_t = filter::DEFAULT_LIMIT)]
    limit: NonZeroUsize,
    /// Print JSON as the admin API answers it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &dyn Records, args: Args) -> anyhow::Result<ExitStatus> {
    let mut pages = Pages::new(store, args.filter.filter(), args.limit.get());
    let mut all = view::Page {
        count: None,
        events: Vec::new(),
        next_cursor: None,
    };
    while let Some(page) = pages.next().await? {
        let page = view::Page::of(&page, None);
        all.events.extend(page.events);
        all.next_cursor = page.next_cursor;
    }
    if args.json {
        return emit_json(&all);
    }
    if all.events.is_empty() {
        note!("no events match");
        return Ok(ExitStatus::Success);
    }
    let mut text = format!(
        "{:36}  {:11}  {:9}  {}\n",
        "ID", "STATE", "OUTCOME", "RECEIVED (UTC)"
    );
    for event in &all.events {
        text.push_str(&entry(event));
    }
    emit(text.as_bytes())?;
    if all.next_cursor.is_some() {
        note!("there are more; raise --limit or narrow the filter");
    }
    Ok(ExitStatus::Success)
}

/// An event in two or more lines: the data that every event has, and remarks on this one.
fn entry(event: &view::Event) -> String {
    let received: String = event
        .received_at
        .replace('T', " ")
        .chars()
        .take("2026-11-25 18:25".len())
        .collect();
    let line = format!(
        "{:36}  {:11}  {:9}  {received}\n",
        event.id, event.state, event.outcome
    );
    let mut facts = vec![format!("session {}", or_dash(event.session_id.as_deref()))];
    if event.attempts > 1 {
        facts.push(format!("{} attempts", event.attempts));
    }
    facts.extend(event.last_error.clone());
    line + &wrapped("  ", &printable(&facts.join("; ")), 4)
}
