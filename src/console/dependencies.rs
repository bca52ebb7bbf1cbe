//! The page of dependencies: the health of Suki's API and of each sink, and the waiting deliveries.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Redirect;
use bytes::Bytes;
use maud::{Markup, html};
use serde_json::json;

use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use super::{SinkInfo, State, forms, time, ui};
use crate::admin::{Error, SinkName, pauses, sinks};
use crate::journal::{Pause, Waiting};
use crate::lifecycle::Component;

/// `GET /dependencies`.
pub(super) async fn show(Shared(state): Shared<State>, visitor: Visitor) -> Result<Page, Problem> {
    let content = content(&state, &visitor).await;
    let content = content.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let frame = Frame::live(&state, &visitor, "/dependencies", "Sinks and Suki");
    Ok(frame.page(&content).await)
}

async fn content(state: &State, visitor: &Visitor) -> Result<Markup, crate::journal::Error> {
    let waiting = state.admin.records().waiting_deliveries(Vec::new()).await?;
    let failed = state.admin.records().causes().await?;
    let paused = all_paused(state).await?;
    let dead = |name: &str| -> u64 {
        let of_sink = failed
            .iter()
            .filter(|group| group.sink.as_deref() == Some(name));
        of_sink.map(|group| group.events).sum()
    };
    let pending = |name: &str| {
        let found = waiting.iter().find(|waits| waits.sink == name);
        found.map_or(0, |waits| waits.count)
    };
    let sinks = &state.about.sinks;
    let is_configured = |name: &str| sinks.iter().any(|sink| sink.name == name);
    let gone: Vec<&Waiting> = waiting
        .iter()
        .filter(|waits| !is_configured(&waits.sink))
        .collect();
    Ok(html! {
        h1 { "Sinks and Suki" }
        section {
            h2 { "Suki's API" }
            (suki(state))
        }
        section #sinks data-refresh {
            h2 { "Sinks" }
            @if sinks.is_empty() {
                (ui::empty("No sink is configured", &html! {
                    p {
                        "Notes are stored and can be read only through the admin API. To deliver them, configure "
                        code { "[[sinks]]" } "."
                    }
                }))
            }
            @for sink in sinks {
                @let pause = paused.iter().find(|pause| pause.sink == sink.name);
                (card(sink, (state, visitor), (pending(&sink.name), dead(&sink.name)), pause))
            }
        }
        @if !gone.is_empty() {
            section {
                h2 { "Deliveries for sinks that are not configured" }
                p.hint { "These deliveries are not made. Assign them to another sink, or drop them." }
                @for waits in gone { (orphan(&waits.sink, waits.count, state, visitor)) }
            }
        }
    })
}

fn suki(state: &State) -> Markup {
    let report = state.admin.readiness.report();
    let is_well = state.admin.readiness.is_healthy(Component::Sdp);
    let prefix = Component::Sdp.as_str();
    let note = report
        .notes
        .iter()
        .find_map(|note| note.strip_prefix(prefix)?.strip_prefix(": "));
    html! {
        article #suki .group data-refresh {
            div.group-head {
                h3 { (state.about.sdp) }
                @if !state.admin.can_poll { (ui::badge(ui::Tone::Quiet, "no credentials")) }
                @else if is_well { (ui::badge(ui::Tone::Good, "reachable")) }
                @else { (ui::badge(ui::Tone::Bad, "not reachable")) }
            }
            @if let Some(note) = note { p { (note) } }
            @else if !state.admin.can_poll {
                p.hint { "No link is followed. To follow links, set " code { "sdp.auth" } "." }
            }
        }
    }
}

fn card(
    sink: &SinkInfo,
    (state, visitor): (&State, &Visitor),
    (pending, dead): (u64, u64),
    pause: Option<&Pause>,
) -> Markup {
    let is_down = state.admin.metrics.is_sink_down(&sink.name);
    html! {
        article.group {
            div.group-head {
                h3 { (sink.name) }
                @if pause.is_some() { (ui::badge(ui::Tone::Bad, "paused")) }
                @else if is_down { (ui::badge(ui::Tone::Bad, "failing")) }
                @else { (ui::badge(ui::Tone::Good, "takes deliveries")) }
            }
            @if let Some(pause) = pause { (paused(pause, state, visitor)) }
            dl.facts.wide {
                dt { "Type" } dd { (sink.kind) " · " (sink.target) }
                dt { "Waiting" } dd { a href={ "/events?delivery=pending&sink=" (sink.name) } { (ui::number(pending)) } }
                dt { "Dead" } dd { a href={ "/events?state=dead&delivery=dead&sink=" (sink.name) } { (ui::number(dead)) } }
                dt { "Content" } dd { @if sink.has_content { "notification and clinical content" } @else { "notification only" } }
                @if sink.kind == "http" { dt { "Signed" } dd { @if sink.is_signed { "yes" } @else { "no" } } }
                dt { "Outcomes" } dd { (sink.outcomes.join(", ")) }
            }
            @if visitor.is_operator() { div.actions { (steering(&sink.name, pause.is_some())) } }
        }
    }
}

/// The configured sinks that are paused. A paused sink that is no longer configured cannot be resumed.
pub(super) async fn all_paused(state: &State) -> Result<Vec<Pause>, crate::journal::Error> {
    let mut paused = state.admin.records().paused().await?;
    paused.retain(|pause| state.admin.sinks.contains(&pause.sink));
    Ok(paused)
}

/// The pause of a sink: since when, by whom and why.
pub(super) fn paused(pause: &Pause, state: &State, visitor: &Visitor) -> Markup {
    let now = state.admin.clock.now();
    html! {
        p.halted {
            strong { "Paused" } " since " (time::exact(pause.since, &visitor.zone)) " ("
            (time::distance(pause.since, now)) "), by " (pause.actor)
            @if let Some(reason) = &pause.reason { ": " (reason) } @else { ", without a reason" }
        }
    }
}

/// The actions on a sink.
fn steering(name: &str, is_paused: bool) -> Markup {
    if is_paused {
        return ui::action(
            "Resume…",
            false,
            &html! {
                form method="post" action={ "/sinks/" (name) "/resume" } {
                    p { "All waiting deliveries are made at once, as fast as the sink accepts them." }
                    (forms::reason(false))
                    button.primary type="submit" { "Resume " (name) }
                }
            },
        );
    }
    ui::action(
        "Pause…",
        false,
        &html! {
            form method="post" action={ "/sinks/" (name) "/pause" } {
                p {
                    "No delivery to this sink is started until an operator resumes it; deliveries that have started "
                    "are finished. Waiting deliveries are not given up. Other sinks are not affected."
                }
                (forms::reason(true))
                button.primary type="submit" { "Pause " (name) }
            }
        },
    )
}

fn orphan(name: &str, count: u64, state: &State, visitor: &Visitor) -> Markup {
    html! {
        article.group {
            div.group-head {
                h3 { (name) }
                span.group-count { (ui::number(count)) }
            }
            @if visitor.is_operator() {
                div.actions {
                    @if !state.admin.event_sinks.is_empty() {
                        (ui::action("Assign to another sink…", false, &html! {
                            form method="post" action={ "/sinks/" (name) "/readdress" } {
                                label.field {
                                    span { "To" }
                                    select name="to" { @for sink in state.admin.event_sinks.iter() { option { (sink) } } }
                                }
                                (forms::reason(false))
                                button.primary type="submit" {
                                    "Assign " (ui::counted(count, "delivery", "deliveries"))
                                }
                            }
                        }))
                    }
                    (ui::action("Drop…", true, &html! {
                        form method="post" action={ "/sinks/" (name) "/drop" } {
                            p {
                                "These deliveries are not made to any sink. An event that waits for nothing else ends."
                            }
                            (forms::reason(false))
                            button.grave type="submit" { "Drop " (ui::counted(count, "delivery", "deliveries")) }
                        }
                    }))
                }
            }
        }
    }
}

/// `POST /sinks/{name}/pause`.
pub(super) async fn pause(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let caller = Extension(visitor.caller.clone().for_reason(field(&body, "reason")));
    let done = pauses::pause(Shared(state.admin), caller, SinkName(name)).await;
    back(&visitor, done, "paused")
}

/// `POST /sinks/{name}/resume`.
pub(super) async fn resume(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let caller = Extension(visitor.caller.clone().for_reason(field(&body, "reason")));
    let done = pauses::resume(Shared(state.admin), caller, SinkName(name)).await;
    back(&visitor, done, "resumed")
}

/// `POST /sinks/{name}/drop`.
pub(super) async fn drop_deliveries(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let caller = Extension(visitor.caller.clone().for_reason(field(&body, "reason")));
    let done = sinks::drop_deliveries(Shared(state.admin), caller, SinkName(name)).await;
    back(&visitor, done, "dropped")
}

/// `POST /sinks/{name}/readdress`.
pub(super) async fn readdress(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let caller = Extension(visitor.caller.clone().for_reason(field(&body, "reason")));
    let to = json!({"to": field(&body, "to")}).to_string();
    let done = sinks::readdress(Shared(state.admin), caller, SinkName(name), Ok(to.into())).await;
    back(&visitor, done, "readdressed")
}

/// Redirects to the page, which says what was done.
fn back<T>(visitor: &Visitor, done: Result<T, Error>, said: &str) -> Result<Redirect, Problem> {
    match done {
        Ok(_) => Ok(Redirect::to(&format!("/dependencies?said={said}"))),
        Err(error) => Err(Problem::of(visitor, &error)),
    }
}
