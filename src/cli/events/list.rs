//! `events list`: a table, or the JSON of the admin API.

use super::table::{aligned, or_dash};
use super::{ConfigArgs, Done, FilterArgs, Pages, emit, emit_json};
use crate::admin::{filter, view};
use crate::journal::Store;

const EXAMPLE: &str = "Example:
  suki-receiver events list --state dead --since 2025-06-01T00:00:00Z
  suki-receiver events list --limit 1000 --json | jq -r '.events[].session_id'";

/// What `events list` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Most events to list
    #[arg(long, value_name = "N", default_value_t = filter::DEFAULT_LIMIT)]
    limit: usize,
    /// Print JSON as the admin API answers it
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(store: &dyn Store, args: Args) -> anyhow::Result<Done> {
    let mut pages = Pages::new(store, args.filter.filter(), args.limit);
    let mut all = view::Page {
        events: Vec::new(),
        next_cursor: None,
    };
    while let Some(page) = pages.next().await? {
        let page = view::Page::from(&page);
        all.events.extend(page.events);
        all.next_cursor = page.next_cursor;
    }
    if args.json {
        return emit_json(&all);
    }
    let head = [
        "ID", "RECEIVED", "OUTCOME", "STATE", "ATTEMPTS", "SESSION", "ERROR",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(all.events.iter().map(row));
    emit(aligned(&rows, 0).as_bytes())?;
    if all.next_cursor.is_some() {
        eprintln!("there are more; raise --limit or narrow the filter");
    }
    Ok(Done::Well)
}

fn row(event: &view::Event) -> [String; 7] {
    [
        event.id.clone(),
        event.received_at.clone(),
        event.outcome.to_owned(),
        event.state.to_owned(),
        event.attempts.to_string(),
        or_dash(event.session_id.as_deref()),
        or_dash(event.last_error.as_deref()),
    ]
}
