//! `events show`: prints one event for people, without clinical content unless it is requested.

use anyhow::Context;

use super::table::{fitted, or_dash};
use super::{ConfigArgs, audit};
use crate::admin::view;
use crate::domain::EventId;
use crate::journal::{self, Records};
use crate::terminal::ExitStatus;
use crate::terminal::{emit, emit_json};

const EXAMPLE: &str = "Example:
  suki-receiver events show 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11
  suki-receiver events show 019b2c4e-0f6b-7c3a-9d51-2f4b8f0f8f11 --payload | jq .";

/// The arguments of `events show`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The event's id
    #[arg(value_name = "ID")]
    id: EventId,
    /// Print JSON as the admin API answers it
    #[arg(long)]
    json: bool,
    /// Print the body as received, and nothing else; it is clinical content, and the audit log keeps that it was read
    #[arg(long, conflicts_with = "json")]
    payload: bool,
}

pub(super) async fn run(store: &dyn Records, args: &Args) -> anyhow::Result<ExitStatus> {
    let detail = store.event(args.id).await?;
    let detail = detail.with_context(|| format!("there is no event {}", args.id))?;
    if args.payload {
        let body = store.payload(args.id).await?;
        let body = body.context("the content of this event is purged")?;
        audit(store, "read payload".to_owned(), Some(args.id)).await?;
        emit(&body)?;
        return Ok(ExitStatus::Success);
    }
    let shown = view::Detail::from(&detail);
    if args.json {
        return emit_json(&shown);
    }
    emit(summary(&shown, &detail).as_bytes())?;
    Ok(ExitStatus::Success)
}

fn summary(shown: &view::Detail, detail: &journal::EventDetail) -> String {
    let event = &shown.event;
    let line = |name: &str, value: &str| [name.to_owned(), value.to_owned()];
    let optional = |name: &str, value: Option<&str>| [name.to_owned(), or_dash(value)];
    let content = if detail.event.content_purged {
        "purged"
    } else {
        "kept"
    };
    let mut text = fitted(
        &[
            line("id", &event.id),
            line("received", &event.received_at),
            optional("generated", event.generated_at.as_deref()),
            line("source", event.source),
            line("outcome", event.outcome),
            optional("status", event.status.as_deref()),
            optional("session status", detail.event.session_status.as_deref()),
            optional("session", event.session_id.as_deref()),
            optional("encounter", event.encounter_id.as_deref()),
            line("kind", event.kind),
            line("state", event.state),
            line("stale", if event.stale { "yes" } else { "no" }),
            line("attempts", &event.attempts.to_string()),
            optional("next attempt", event.next_attempt_at.as_deref()),
            optional("last error", event.last_error.as_deref()),
            optional("error code", event.error_code.as_deref()),
            line("content", content),
        ],
        0,
    );
    // The reason is not in the JSON of a link, but people look for it.
    let links: Vec<_> = detail.links.iter().map(link).collect();
    let deliveries: Vec<_> = shown.deliveries.iter().map(delivery).collect();
    let moments: Vec<_> = shown
        .timeline
        .iter()
        .map(|moment| {
            [
                moment.at.clone(),
                moment.what.clone(),
                moment.detail.clone(),
            ]
        })
        .collect();
    for (title, rows) in [
        ("links", fitted(&links, 2)),
        ("deliveries", fitted(&deliveries, 2)),
        ("timeline", fitted(&moments, 2)),
    ] {
        text.push_str(&format!("\n{title}\n"));
        text.push_str(if rows.is_empty() { "  none\n" } else { &rows });
    }
    text
}

fn link(link: &journal::LinkRecord) -> [String; 6] {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    [
        link.n.to_string(),
        link.group.to_string(),
        link.state.to_string(),
        number(link.http_status.map(u64::from)),
        link.href.clone(),
        link.reason.clone().unwrap_or_default(),
    ]
}

fn delivery(delivery: &view::Delivery) -> [String; 5] {
    [
        delivery.sink.clone(),
        delivery.state.to_owned(),
        format!("attempts {}", delivery.attempts),
        match (&delivery.delivered_at, &delivery.next_attempt_at) {
            (Some(delivered_at), _) => delivered_at.clone(),
            (None, Some(next)) => format!("next {next}"),
            (None, None) => "-".to_owned(),
        },
        delivery.last_error.clone().unwrap_or_default(),
    ]
}
