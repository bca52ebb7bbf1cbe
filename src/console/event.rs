//! The page of one event: its state and the reason, its history, and the possible actions.

mod lists;

use axum::extract::{Path, State as Shared};
use jiff::Timestamp;
use maud::{Markup, html};

use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::visitor::Visitor;
use super::{State, forms, time, ui};
use crate::config::TRACE_ID;
use crate::domain::{Cause, DeliveryState, EventId, EventState, LinkState};
use crate::journal::{AuditFilter, AuditPage, Event, EventDetail, Filter};
use crate::traces::SpanContext;

/// The limit of listed other events of the same session or encounter.
const OTHERS: usize = 20;
/// The limit of listed entries of the audit log.
const ENTRIES: usize = 50;

/// `GET /events/{id}`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Page, Problem> {
    let missing = || Problem::not_found(&visitor, "There is no event with this id.");
    let id: EventId = id.parse().map_err(|_| missing())?;
    let found = find(&state, id).await;
    let found = found.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let found = found.ok_or_else(missing)?;
    let content = content(&state, &visitor, &found);
    let frame = Frame::live(&state, &visitor, "/events", "Event");
    Ok(frame.page(&content).await)
}

/// An event with related data.
struct Found {
    detail: EventDetail,
    others: Vec<Event>,
    audit: AuditPage,
    /// The sinks that are paused.
    paused: Vec<String>,
}

async fn find(state: &State, id: EventId) -> Result<Option<Found>, crate::journal::Error> {
    let records = state.admin.records();
    let Some(detail) = records.event(id).await? else {
        return Ok(None);
    };
    let event = &detail.event;
    let mut others = Vec::new();
    if let Some(session) = &event.session_id {
        let of_session = Filter::of_session(session.as_str());
        others = records.list(of_session, OTHERS, None).await?.events;
    }
    if let Some(encounter) = &event.encounter_id {
        let of_encounter = Filter {
            encounter_id: Some(encounter.as_str().to_owned()),
            ..Filter::default()
        };
        let page = records.list(of_encounter, OTHERS, None).await?;
        others.extend(page.events);
    }
    others.sort_by_key(|other| std::cmp::Reverse(other.id));
    others.dedup_by_key(|other| other.id);
    others.retain(|other| other.id != id);
    let of_event = AuditFilter {
        event: Some(id),
        ..AuditFilter::default()
    };
    let audit = records.audit_log(of_event, ENTRIES, None).await?;
    let paused = records.paused().await?;
    Ok(Some(Found {
        paused: paused.into_iter().map(|pause| pause.sink).collect(),
        detail,
        others,
        audit,
    }))
}

fn content(state: &State, visitor: &Visitor, found: &Found) -> Markup {
    let (detail, now) = (&found.detail, state.admin.clock.now());
    let event = &detail.event;
    html! {
        p.path { a href="/events" { "Events" } }
        div.heading {
            h1 { "Event " code { (ui::shortened(&event.id.to_string())) } (ui::copy(&event.id.to_string())) }
            span #state data-refresh { (ui::state(event.state)) }
        }
        p #in-words .lead data-refresh { (in_words(detail, now)) }
        @if let Some(cause) = event.cause.filter(|_| needs_attention(event.state)) { (advice(cause)) }
        (forms::actions(state, visitor, detail))
        div.columns {
            section {
                h2 { "What happened" }
                (timeline(detail, &state.about.instance, visitor))
            }
            section {
                h2 { "Facts" }
                (facts(state, event, now, visitor))
            }
        }
        section #deliveries data-refresh {
            h2 { "Deliveries" }
            (lists::deliveries(&detail.deliveries, &found.paused, now, visitor))
        }
        section #links data-refresh {
            h2 { "Links" }
            (lists::links(&detail.links))
        }
        @if !found.others.is_empty() {
            section {
                h2 { "Other events of this session or encounter" }
                (lists::others(&found.others, now, visitor))
            }
        }
        section #audit data-refresh {
            h2 { "Audit" }
            (lists::audit(&found.audit, visitor))
        }
    }
}

fn needs_attention(state: EventState) -> bool {
    matches!(state, EventState::Dead | EventState::Quarantined)
}

/// The state of an event in a sentence.
fn in_words(detail: &EventDetail, now: Timestamp) -> String {
    let event = &detail.event;
    let next = event.next_attempt_at.map(|at| time::distance(at, now));
    let waiting = detail
        .links
        .iter()
        .filter(|link| link.state == LinkState::Pending);
    let groups: Vec<&str> = waiting.map(|link| link.group.as_str()).collect();
    let at = |state| {
        let deliveries = detail.deliveries.iter();
        let sinks = deliveries.filter(move |delivery| delivery.state == state);
        sinks
            .map(|delivery| delivery.sink.as_str())
            .collect::<Vec<_>>()
            .join(" and ")
    };
    match (event.state, next) {
        (EventState::Received, _) => "It is stored and waits to be processed.".to_owned(),
        (EventState::Retrieving, Some(next)) if !groups.is_empty() => {
            format!(
                "It waits for {} from Suki; next attempt {next}.",
                groups.join(", ")
            )
        }
        (EventState::Retrieving, Some(next)) => {
            format!("It waits to be fetched from Suki; next attempt {next}.")
        }
        (EventState::Retrieving, None) => "Its resources are being fetched from Suki.".to_owned(),
        (EventState::Delivering, _) => {
            format!("It is being delivered to {}.", at(DeliveryState::Pending))
        }
        (EventState::Done, _) => match (&event.same_as, at(DeliveryState::Delivered)) {
            (Some(same), _) => format!("The same content was delivered with event {same}."),
            (None, sinks) if sinks.is_empty() => "It is done; no sink wants it.".to_owned(),
            (None, sinks) => format!("It was delivered to {sinks}."),
        },
        (EventState::Dead, _) => {
            let sinks = at(DeliveryState::Dead);
            if sinks.is_empty() {
                "It was given up before it could be delivered.".to_owned()
            } else {
                format!("Its delivery to {sinks} was given up.")
            }
        }
        (EventState::Quarantined, _) => {
            "Its signature is valid, but it cannot be read as a notification.".to_owned()
        }
        (EventState::Purged, _) => {
            "Its content was removed before every sink had received it.".to_owned()
        }
    }
}

/// The explanation of a cause, and advice.
fn advice(cause: Cause) -> Markup {
    html! {
        div.advice {
            p { strong { (cause.title()) "." } " " span.cause { (cause.as_str()) } }
            p { (cause.advice()) }
        }
    }
}

/// The address at which the event's trace is shown.
fn trace(state: &State, event: EventId) -> Option<String> {
    let template = Some(&state.about.trace_url).filter(|template| !template.is_empty())?;
    Some(template.replace(TRACE_ID, &SpanContext::of_event(event).trace_id()))
}

fn facts(state: &State, event: &Event, now: Timestamp, visitor: &Visitor) -> Markup {
    let zone = &visitor.zone;
    let id = |id: Option<&str>| html! { @match id { Some(id) => (ui::id(id)), None => "–" } };
    html! {
        dl.facts {
            dt { "Session" } dd { (id(event.session_id.as_ref().map(|id| id.as_str()))) }
            dt { "Encounter" } dd { (id(event.encounter_id.as_ref().map(|id| id.as_str()))) }
            dt { "Session ended" } dd { (ui::outcome(event.outcome)) }
            dt { "Kind" } dd { (event.kind.as_str().replace('_', " ")) }
            dt { "Source" } dd { (event.source.as_str()) }
            dt { "Status as sent" } dd { (event.status.as_deref().unwrap_or("–")) }
            dt { "Error code" } dd { (event.error_code.as_deref().unwrap_or("–")) }
            @if let Some(url) = trace(state, event.id) {
                dt { "Trace" } dd { a href=(url) { (ui::shortened(&SpanContext::of_event(event.id).trace_id())) } }
            }
            dt { "Received" } dd { (time::exact(event.received_at, zone)) }
            dt { "Sent by Suki" } dd {
                @match event.generated_at { Some(at) => (time::exact(at, zone)), None => "–" }
                @if event.stale { " " span.note { "stale" } }
            }
            dt { "Attempts to retrieve" } dd { (event.attempts) }
            @if let Some(error) = &event.last_error { dt { "Last error" } dd { (error) } }
            @if let Some(next) = event.next_attempt_at { dt { "Next attempt" } dd { (time::distance(next, now)) } }
        }
    }
}

/// The history, oldest step first, with the duration of each. If not all steps were done by this instance, each names
/// its instance.
fn timeline(detail: &EventDetail, own: &str, visitor: &Visitor) -> Markup {
    let moments = crate::admin::view::Detail::from(detail).timeline;
    let mut instances = moments
        .iter()
        .filter_map(|moment| moment.instance.as_deref());
    let names_them = instances.any(|instance| instance != own);
    let longest = moments
        .iter()
        .filter_map(|moment| moment.took_ms)
        .max()
        .unwrap_or(1)
        .max(1);
    html! {
        ol #timeline .timeline data-refresh {
            @for moment in &moments {
                li .bad[moment.cause.is_some()] {
                    span.at {
                        @match moment.at.parse() {
                            Ok(at) => { time datetime=(moment.at) { (time::precise(at, &visitor.zone)) } }
                            Err(_) => (moment.at),
                        }
                    }
                    span.what { (moment.what) }
                    span.how {
                        (moment.detail)
                        @if let Some(cause) = moment.cause { " " span.cause { (cause) } }
                        @if let Some(instance) = moment.instance.as_ref().filter(|_| names_them) {
                            " " span.note { "by " (instance) }
                        }
                    }
                    @if let Some(millis) = moment.took_ms {
                        span.took {
                            svg.length viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
                                rect width=(length(millis, longest)) height="6" rx="1" {}
                            }
                            (time::took(std::time::Duration::from_millis(millis)))
                        }
                    }
                }
            }
        }
    }
}

/// The share in percent, at least 1.
fn length(millis: u64, longest: u64) -> u64 {
    (millis.saturating_mul(100) / longest).clamp(1, 100)
}
