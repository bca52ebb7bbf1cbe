//! `events export`: prints every matching event as one line of JSON, with its content if requested.

use std::num::NonZeroUsize;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{ConfigArgs, FilterArgs, Pages, audit};
use crate::admin::view;
use crate::domain::EventId;
use crate::journal::{EventDetail, Records};
use crate::terminal::ExitStatus;
use crate::terminal::emit;
use crate::terminal::note;

/// The number of events that are read concurrently, so that their audit entries are committed together.
const AT_ONCE: usize = 16;
const EXAMPLE: &str = "Example:
  suki-receiver events export --state dead > dead.jsonl
  suki-receiver events export --content --session-id 7c0e… | jq .resources

With --content each line also has `notification` as received, and `resources`, the fetched bodies.
What is not JSON is written as {\"base64\": …}.";

/// The arguments of `events export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// Most events to export [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// Add the clinical content; the audit log keeps for each event that it was read
    #[arg(long)]
    content: bool,
    /// Accepted for the sake of scripts: the output is JSON in any case
    #[arg(long)]
    json: bool,
}

/// One line of the export.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    event: view::Detail,
    #[serde(flatten)]
    content: Option<Content>,
}

#[derive(Serialize)]
struct Content {
    notification: Option<Box<RawValue>>,
    resources: Vec<Resource>,
}

#[derive(Serialize)]
struct Resource {
    group: String,
    href: String,
    http_status: Option<u16>,
    fetched_at: Option<String>,
    body: Box<RawValue>,
}

pub(super) async fn run(store: &dyn Records, args: Args) -> anyhow::Result<ExitStatus> {
    let limit = args.limit.map_or(usize::MAX, NonZeroUsize::get);
    let mut pages = Pages::new(store, args.filter.filter(), limit);
    let mut count = 0_usize;
    while let Some(page) = pages.next().await? {
        let ids: Vec<EventId> = page.events.iter().map(|event| event.id).collect();
        let mut lines = stream::iter(ids)
            .map(|id| line(store, id, args.content))
            .buffered(AT_ONCE);
        while let Some(line) = lines.try_next().await? {
            // Retention has purged the event since the page was read.
            let Some(mut line) = line else { continue };
            line.push(b'\n');
            if !emit(&line)? {
                return Ok(ExitStatus::Success);
            }
            count += 1;
        }
    }
    note!("{count} events exported");
    Ok(ExitStatus::Success)
}

async fn line(
    store: &dyn Records,
    id: EventId,
    with_content: bool,
) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(detail) = store.event(id).await? else {
        return Ok(None);
    };
    let content = if with_content {
        audit(store, "export content".to_owned(), Some(id)).await?;
        Some(content(store, &detail).await?)
    } else {
        None
    };
    let event = view::Detail::from(&detail);
    Ok(Some(serde_json::to_vec(&Line { event, content })?))
}

async fn content(store: &dyn Records, detail: &EventDetail) -> anyhow::Result<Content> {
    let id = detail.event.id;
    let body = store.payload(id).await?;
    let mut resources = Vec::new();
    for link in &detail.links {
        // The link was not fetched, or its content is purged.
        let Some(body) = store.resource(id, link.n).await? else {
            continue;
        };
        resources.push(Resource {
            group: link.group.to_string(),
            href: link.href.clone(),
            http_status: link.http_status,
            fetched_at: link.fetched_at.map(|time| time.to_string()),
            body: one_line(&body)?,
        });
    }
    Ok(Content {
        notification: body.map(|body| one_line(&body)).transpose()?,
        resources,
    })
}

/// The unchanged body on one line: in JSON, line breaks can only occur where white space is allowed.
fn one_line(body: &[u8]) -> Result<Box<RawValue>, serde_json::Error> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    RawValue::from_string(text.trim().replace(['\n', '\r'], " "))
        .or_else(|_| serde_json::value::to_raw_value(&json!({"base64": STANDARD.encode(body)})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_stays_as_received_but_for_its_line_breaks() {
        let shown = |body: &[u8]| one_line(body).expect("a value").get().to_owned();
        assert_eq!(
            shown(b"{\r\n \"b\": 1.10,\n \"a\": \"x\\ny\"}\n"),
            "{   \"b\": 1.10,  \"a\": \"x\\ny\"}"
        );
        assert_eq!(shown(b"<xml/>"), r#"{"base64":"PHhtbC8+"}"#);
        assert_eq!(shown(b""), r#"{"base64":""}"#);
    }
}
