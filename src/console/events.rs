//! The list of events. Its filters are in the address and are applied by the server.

use std::time::Duration;

use axum::extract::{RawQuery, State as Shared};
use jiff::Timestamp;
use maud::{Markup, html};
use url::form_urlencoded::{self, Serializer};

use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::visitor::Visitor;
use super::{State, time, ui};
use crate::domain::{Cause, EventState, Outcome, Source};
use crate::journal::{Event, Filter, Order, Records, SEARCH_LIMIT};

/// The page sizes to choose from.
const SIZES: [usize; 3] = [50, 100, 500];
/// The limit up to which matching events are counted.
const MOST_COUNTED: u32 = 1_000;
/// The time limit for counting; a list is shown without a count if it takes longer.
const COUNT_WITHIN: Duration = Duration::from_millis(100);
/// The quick choices of a period.
const SINCE: [(&str, &str); 4] = [
    ("1h", "Last hour"),
    ("24h", "Last day"),
    ("7d", "Last week"),
    ("30d", "Last month"),
];

/// The parsed query of the list.
struct Asked {
    filter: Filter,
    /// The fields as they were given, so that "24h" stays "24h" in links.
    fields: Vec<(String, String)>,
    size: usize,
    cursor: Option<i64>,
}

/// `GET /events`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    let asked = read(query.as_deref().unwrap_or_default()).map_err(|why| {
        Problem::bad_request(&visitor, format!("The address cannot be read: {why}."))
    })?;
    let content = content(&state, &visitor, &asked).await;
    let content = content.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let frame = Frame {
        is_live: asked.cursor.is_none(),
        ..Frame::live(&state, &visitor, "/events", "Events")
    };
    Ok(frame.page(&content).await)
}

fn read(query: &str) -> Result<Asked, String> {
    let mut asked = Asked {
        filter: Filter::default(),
        fields: Vec::new(),
        size: SIZES[0],
        cursor: None,
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        match &*name {
            "size" => {
                let size = value.parse().ok();
                asked.size = size.filter(|size| SIZES.contains(size)).unwrap_or(SIZES[0]);
                continue;
            }
            "cursor" => {
                let cursor = value.parse();
                asked.cursor = Some(cursor.map_err(|_| "cursor: use a link to the next page")?);
                continue;
            }
            "order" => {
                if value == "asc" {
                    asked.filter.order = Order::OldestFirst;
                }
                continue;
            }
            "said" => continue,
            name => {
                if !asked.filter.set(name, value)? {
                    return Err(crate::journal::filter::unknown(name, Filter::FIELDS));
                }
            }
        }
        asked.fields.push((name.into_owned(), value.to_owned()));
    }
    Ok(asked)
}

/// The address of the list with these fields.
fn address<'a>(
    fields: impl Iterator<Item = (&'a str, &'a str)>,
    asked: &Asked,
    cursor: Option<i64>,
) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(fields);
    if asked.size != SIZES[0] {
        query.append_pair("size", &asked.size.to_string());
    }
    if asked.filter.order == Order::OldestFirst {
        query.append_pair("order", "asc");
    }
    if let Some(cursor) = cursor {
        query.append_pair("cursor", &cursor.to_string());
    }
    match query.finish() {
        query if query.is_empty() => "/events".to_owned(),
        query => format!("/events?{query}"),
    }
}

fn given(asked: &Asked) -> impl Iterator<Item = (&str, &str)> {
    let fields = asked.fields.iter();
    fields.map(|(name, value)| (name.as_str(), value.as_str()))
}

async fn content(
    state: &State,
    visitor: &Visitor,
    asked: &Asked,
) -> Result<Markup, crate::journal::Error> {
    let records = state.admin.records();
    let page = records.list(asked.filter.clone(), asked.size, asked.cursor);
    let (page, count) = tokio::join!(page, count(records, &asked.filter));
    let page = page?;
    let now = state.admin.clock.now();
    let next = page
        .next
        .map(|next| address(given(asked), asked, Some(next)));
    let first = asked.cursor.map(|_| address(given(asked), asked, None));
    Ok(html! {
        div.heading {
            h1 { "Events" }
            @if let Some(count) = count {
                p #count .count-line data-refresh {
                    @if !asked.filter.is_empty() && count >= u64::from(MOST_COUNTED) { (ui::number(count)) "+ events" }
                    @else { (ui::counted(count, "event", "events")) }
                }
            }
        }
        (chips(asked))
        (form(asked, state))
        @if let (true, Some(next)) = (page.events.is_empty(), &next) {
            (ui::empty("No match yet", &html! {
                p { (ui::number(SEARCH_LIMIT)) " events were searched, and none matches. There are more." }
                p { a.button href=(next) { "Search further" } }
            }))
        } @else if page.events.is_empty() {
            (ui::empty("No event matches", &html! { p { a href="/events" { "Show all events" } } }))
        } @else {
            button #new .new type="button" hidden { "" }
            (table(&page.events, now, visitor))
            (ui::pages(first.as_deref(), next.as_deref()))
        }
        @if visitor.is_operator() && !asked.filter.is_empty() && !page.events.is_empty() {
            p.bulk { a.button href=(replay_address(asked)) { "Replay all that match…" } }
        }
    })
}

/// How many events match, if that can be counted quickly.
async fn count(records: &dyn Records, filter: &Filter) -> Option<u64> {
    let count = async {
        match filter.is_empty() {
            true => records.stats().await.map(|stats| stats.total()),
            false => records.count(filter.clone(), MOST_COUNTED).await,
        }
    };
    tokio::time::timeout(COUNT_WITHIN, count).await.ok()?.ok()
}

/// The address of the page that plans a replay of all listed events.
fn replay_address(asked: &Asked) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(given(asked));
    format!("/replays/new?{}", query.finish())
}

/// The active filters, each with a link that removes it.
fn chips(asked: &Asked) -> Markup {
    html! {
        @if !asked.fields.is_empty() {
            ul.chips aria-label="Filters" {
                @for (name, value) in given(asked) {
                    li {
                        a.chip href=(address(given(asked).filter(|(other, _)| *other != name), asked, None)) {
                            span { (name.replace('_', " ")) ": " strong { (value) } }
                            (ui::icon("cross"))
                            span.unseen { "remove this filter" }
                        }
                    }
                }
                li { a href="/events" { "Remove all" } }
            }
        }
    }
}

fn form(asked: &Asked, state: &State) -> Markup {
    let value = |name: &str| {
        let mut fields = given(asked);
        fields
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    };
    let choice = |name: &str, title: &str, options: &[(String, String)]| {
        let chosen = value(name);
        let is_listed = chosen.is_empty() || options.iter().any(|(option, _)| option == chosen);
        html! {
            div.field {
                label for={ "f-" (name) } { (title) }
                select id={ "f-" (name) } name=(name) {
                    option value="" { "any" }
                    @if !is_listed { option value=(chosen) selected { (chosen) } }
                    @for (option, words) in options {
                        option value=(option) selected[option == chosen] { (words) }
                    }
                }
            }
        }
    };
    let words = |words: &[&str]| -> Vec<(String, String)> {
        let words = words.iter();
        words
            .map(|word| ((*word).to_owned(), word.replace('_', " ")))
            .collect()
    };
    let states: Vec<&str> = EventState::ALL.iter().map(|it| it.as_str()).collect();
    let outcomes: Vec<&str> = Outcome::ALL.iter().map(|it| it.as_str()).collect();
    let sources: Vec<&str> = Source::ALL.iter().map(|it| it.as_str()).collect();
    let causes: Vec<&str> = Cause::ALL.iter().map(|it| it.as_str()).collect();
    let sinks: Vec<&str> = state
        .about
        .sinks
        .iter()
        .map(|sink| sink.name.as_str())
        .collect();
    let since = SINCE.map(|(value, words)| (value.to_owned(), words.to_owned()));
    html! {
        details.filters {
            summary { "Filter" }
            form method="get" action="/events" {
                (choice("state", "State", &words(&states)))
                (choice("outcome", "Session ended", &words(&outcomes)))
                (choice("cause", "Cause", &words(&causes)))
                (choice("sink", "Sink", &words(&sinks)))
                (choice("delivery", "Delivery", &words(&["pending", "delivered", "dead"])))
                (choice("source", "Source", &words(&sources)))
                (choice("kind", "Kind", &words(&["ambient", "form_filling", "unknown"])))
                (choice("since", "Received", &since))
                div.field {
                    label for="f-session" { "Session id" }
                    input #f-session name="session_id" value=(value("session_id")) autocomplete="off" spellcheck="false";
                }
                div.field {
                    label for="f-encounter" { "Encounter id" }
                    input #f-encounter name="encounter_id" value=(value("encounter_id")) autocomplete="off" spellcheck="false";
                }
                div.field {
                    label for="f-size" { "Events per page" }
                    select #f-size name="size" {
                        @for size in SIZES { option value=(size) selected[size == asked.size] { (size) } }
                    }
                }
                div.field {
                    label for="f-order" { "Order" }
                    select #f-order name="order" {
                        option value="desc" { "newest first" }
                        option value="asc" selected[asked.filter.order == Order::OldestFirst] { "oldest first" }
                    }
                }
                div.field.submit { button.primary type="submit" { "Apply" } }
            }
        }
    }
}

fn table(events: &[Event], now: Timestamp, visitor: &Visitor) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Events" {
            table.list {
                caption.unseen { "Events" }
                thead { tr {
                    th scope="col" { "Event" }
                    th scope="col" { "Received" }
                    th scope="col" { "Session ended" }
                    th scope="col" { "State" }
                    th scope="col" { "Session" }
                    th scope="col" { "Source" }
                    th scope="col" { "Last error" }
                } }
                tbody data-rows {
                    @for event in events { (row(event, now, visitor)) }
                }
            }
        }
    }
}

fn row(event: &Event, now: Timestamp, visitor: &Visitor) -> Markup {
    html! {
        tr id={ "e-" (event.id) } data-refresh {
            th scope="row" data-label="Event" {
                a href={ "/events/" (event.id) } { code { (ui::shortened(&event.id.to_string())) } }
            }
            td data-label="Received" { (time::ago(event.received_at, now, &visitor.zone)) }
            td data-label="Session ended" {
                (ui::outcome(event.outcome))
                @if event.stale { " " span.note { "stale" } }
            }
            td data-label="State" {
                (ui::state(event.state))
                @if let Some(next) = event.next_attempt_at { " " span.note { "next " (time::distance(next, now)) } }
            }
            td data-label="Session" {
                @match &event.session_id { Some(id) => (ui::id(id.as_str())), None => "–" }
            }
            td data-label="Source" { (event.source.as_str()) }
            td.error data-label="Last error" {
                @if let Some(cause) = event.cause { span.cause { (cause.as_str()) } " " }
                (event.last_error.as_deref().unwrap_or("–"))
            }
        }
    }
}
