//! The page of the audit log: who read or changed what, and why.

use axum::extract::{RawQuery, State as Shared};
use maud::{Markup, html};
use url::form_urlencoded::Serializer;

use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use super::{State, time, ui};
use crate::journal::{AuditFilter, AuditPage};

/// The number of entries on a page.
const PAGE: usize = 100;

/// `GET /audit?actor=&event=&cursor=`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    let query = query.unwrap_or_default();
    let get = |name| field(query.as_bytes(), name).filter(|value| !value.is_empty());
    let (actor, event) = (get("actor"), get("event"));
    let filter = AuditFilter {
        actor: actor.clone(),
        event: event.as_deref().and_then(|id| id.trim().parse().ok()),
        ..AuditFilter::default()
    };
    if event.is_some() && filter.event.is_none() {
        return Err(Problem::bad_request(&visitor, "This is not an event's id."));
    }
    let cursor = get("cursor").and_then(|cursor| cursor.parse().ok());
    let page = state.admin.records().audit_log(filter, PAGE, cursor).await;
    let page = page.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let (actor, event) = (actor.unwrap_or_default(), event.unwrap_or_default());
    let content = content(&visitor, &page, (&actor, &event), cursor);
    let frame = Frame {
        is_live: false,
        ..Frame::live(&state, &visitor, "/audit", "Audit")
    };
    Ok(frame.page(&content).await)
}

fn content(
    visitor: &Visitor,
    page: &AuditPage,
    (actor, event): (&str, &str),
    cursor: Option<i64>,
) -> Markup {
    let address = |cursor: Option<i64>| {
        let mut query = Serializer::new(String::new());
        for (name, value) in [("actor", actor), ("event", event)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some(cursor) = cursor {
            query.append_pair("cursor", &cursor.to_string());
        }
        format!("/audit?{}", query.finish())
    };
    html! {
        h1 { "Audit" }
        p.lead {
            "Every read of clinical content and every change by a person, newest first. No entry is ever removed."
        }
        form.inline method="get" action="/audit" {
            div.field { label for="a-actor" { "Who" } input #a-actor name="actor" value=(actor) autocomplete="off"; }
            div.field { label for="a-event" { "Event id" } input #a-event name="event" value=(event) autocomplete="off" spellcheck="false"; }
            div.field.submit { button type="submit" { "Filter" } }
        }
        @if page.entries.is_empty() {
            (ui::empty("No entry matches", &html! { p { "The audit log is empty, or no entry matches the filter." } }))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Audit log" {
                table.list {
                    caption.unseen { "Audit log" }
                    thead { tr {
                        th scope="col" { "When" }
                        th scope="col" { "Who" }
                        th scope="col" { "What" }
                        th scope="col" { "Event" }
                        th scope="col" { "Why" }
                    } }
                    tbody {
                        @for entry in &page.entries {
                            tr {
                                th scope="row" data-label="When" { (time::exact(entry.at, &visitor.zone)) }
                                td data-label="Who" { (entry.actor) }
                                td data-label="What" { (entry.action) }
                                td data-label="Event" {
                                    @match entry.event {
                                        Some(id) => { a href={ "/events/" (id) } { code { (ui::shortened(&id.to_string())) } } }
                                        None => "–",
                                    }
                                }
                                td data-label="Why" { (entry.reason.as_deref().unwrap_or("–")) }
                            }
                        }
                    }
                }
            }
            @let first = address(None);
            @let next = page.next.map(|next| address(Some(next)));
            (ui::pages(cursor.map(|_| first.as_str()), next.as_deref()))
        }
    }
}
