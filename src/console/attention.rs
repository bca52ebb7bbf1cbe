//! The page of failures that need an operator: dead and quarantined events and rejected requests, grouped by cause,
//! with advice.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Redirect;
use bytes::Bytes;
use maud::{Markup, html};
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use super::{State, dependencies, time, ui};
use crate::admin::CauseWord;
use crate::admin::causes::{self, LONGEST_NOTE};
use crate::journal::{CauseGroup, CauseNote, Pause, ReplayJob, Standing};

/// The number of newest jobs that are searched for the last job of a group.
const JOBS: usize = 50;

/// `GET /attention`.
pub(super) async fn show(Shared(state): Shared<State>, visitor: Visitor) -> Result<Page, Problem> {
    let content = content(&state, &visitor).await;
    let content = content.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let frame = Frame::live(&state, &visitor, "/attention", "Needs attention");
    Ok(frame.page(&content).await)
}

async fn content(state: &State, visitor: &Visitor) -> Result<Markup, crate::journal::Error> {
    let groups = state.admin.records().causes().await?;
    let jobs = state.admin.records().jobs(JOBS).await?;
    let paused = dependencies::all_paused(state).await?;
    let notes = state.admin.records().cause_notes().await?;
    let of = |standing: Standing| {
        groups
            .iter()
            .filter(move |group| group.standing == standing)
    };
    let section = |standing: Standing, title: &str, hint: &str| {
        let count: u64 = of(standing).map(|group| group.events).sum();
        html! {
            @if count > 0 {
                section {
                    div.heading {
                        h2 { (title) }
                        p.count-line { (ui::number(count)) }
                    }
                    p.hint { (hint) }
                    @for group in of(standing) { (card(group, &jobs, &notes, state, visitor)) }
                }
            }
        }
    };
    Ok(html! {
        h1 { "Needs attention" }
        div #groups data-refresh {
            @if groups.is_empty() && paused.is_empty() {
                (ui::empty("Nothing needs attention", &html! {
                    p {
                        "This page lists events that were given up, notifications that cannot be read, and requests "
                        "whose signature matches no secret, grouped by cause."
                    }
                }))
            }
            (halted(&paused, state, visitor))
            (section(Standing::Dead, "Dead", "These events were given up. Fix the cause, replay one event, wait until \
                it is done, then replay the rest."))
            (section(Standing::Quarantined, "Quarantined", "These requests are authentic, but they cannot be read as \
                notifications. They are stored and not processed."))
            (section(Standing::Rejected, "Rejected", "The signature of these requests matches no secret. They are \
                stored in case the configured secret was wrong."))
        }
    })
}

/// The sinks that are paused.
fn halted(paused: &[Pause], state: &State, visitor: &Visitor) -> Markup {
    html! {
        @if !paused.is_empty() {
            section {
                div.heading {
                    h2 { "Paused sinks" }
                    p.count-line { (paused.len()) }
                }
                p.hint { "Deliveries to these sinks wait, and are not given up, until an operator resumes the sinks." }
                @for pause in paused {
                    article.group {
                        div.group-head { h3 { span.sink { (pause.sink) } } }
                        (dependencies::paused(pause, state, visitor))
                        div.actions { a.button href="/dependencies" { "Open the sinks" } }
                    }
                }
            }
        }
    }
}

fn card(
    group: &CauseGroup,
    jobs: &[ReplayJob],
    notes: &[CauseNote],
    state: &State,
    visitor: &Visitor,
) -> Markup {
    let now = state.admin.clock.now();
    let last = jobs.iter().find(|job| {
        let filter = &job.asked.filter;
        filter.cause == Some(group.cause) && filter.sink == group.sink
    });
    let note = notes
        .iter()
        .find(|note| note.cause == group.cause && note.sink == group.sink);
    let query = query(group);
    let is_dead = group.standing == Standing::Dead;
    html! {
        article.group {
            div.group-head {
                h3 {
                    (group.cause.title())
                    @if let Some(sink) = &group.sink { ": " span.sink { (sink) } }
                }
                span.group-count { (ui::number(group.events)) }
            }
            p.group-facts {
                span { "first " (time::ago(group.first_at, now, &visitor.zone)) }
                span { "last " (time::ago(group.last_at, now, &visitor.zone)) }
                @if is_dead {
                    span {
                        @match last {
                            Some(job) => {
                                "last replayed " (time::distance(job.asked.created_at, now)) " by "
                                a href={ "/replays/" (job.id) } { "job " (job.id) }
                            }
                            None => "never replayed as a group",
                        }
                    }
                }
            }
            div.advice {
                p { strong { "What to do. " } (group.cause.advice()) }
                p { span.cause { (group.cause.as_str()) } }
            }
            @if let Some(note) = note {
                p.noted {
                    strong { "Note. " } (note.text) " "
                    span.note { (note.actor) ", " (time::distance(note.at, now)) }
                }
            }
            div.actions {
                @if group.standing == Standing::Rejected {
                    p.hint { "Configure the right secret, reload, and run " code { "suki-receiver events reverify" } "." }
                } @else {
                    a.button href={ "/events?" (query) } { "Open the list" }
                    @if is_dead && visitor.is_operator() {
                        a.button.primary href={ "/replays/new?" (query) "&from=" (from(group)) } {
                            "Replay " (ui::counted(group.events, "event", "events")) "…"
                        }
                    }
                }
                @if visitor.is_operator() { (noting(group, note)) }
            }
        }
    }
}

/// The form to write, change or remove the note on a group.
fn noting(group: &CauseGroup, note: Option<&CauseNote>) -> Markup {
    let title = if note.is_some() {
        "Change the note…"
    } else {
        "Write a note…"
    };
    ui::action(
        title,
        false,
        &html! {
            form method="post" action={ "/causes/" (group.cause.as_str()) "/note" } {
                @if let Some(sink) = &group.sink { input type="hidden" name="sink" value=(sink); }
                label.field {
                    span { "Note (leave it empty to remove the note)" }
                    input name="text" maxlength=(LONGEST_NOTE) autocomplete="off"
                        value=[note.map(|note| &note.text)] placeholder="Who fixes it, and until when";
                }
                p.hint { "For your colleagues. Everyone who can sign in sees the note: no patient data belongs here." }
                button.primary type="submit" { "Save the note" }
            }
        },
    )
}

/// `POST /causes/{cause}/note`.
pub(super) async fn note(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(cause): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let cause = cause
        .parse()
        .map_err(|_| Problem::not_found(&visitor, "There is no cause with this name."))?;
    let said = json!({
        "sink": field(&body, "sink"),
        "text": field(&body, "text").unwrap_or_default(),
    });
    let done = causes::note(
        Shared(state.admin),
        Extension(visitor.caller.clone()),
        CauseWord(cause),
        Ok(said.to_string().into()),
    );
    done.await
        .map(drop)
        .map_err(|error| Problem::of(&visitor, &error))?;
    Ok(Redirect::to("/attention?said=noted"))
}

/// The filter that finds the events of a group.
fn query(group: &CauseGroup) -> String {
    let mut query = Serializer::new(String::new());
    query.append_pair("state", group.standing.as_str());
    query.append_pair("cause", group.cause.as_str());
    if let Some(sink) = &group.sink {
        query.append_pair("sink", sink);
    }
    query.finish()
}

/// Where a replay of a group should start.
fn from(group: &CauseGroup) -> &'static str {
    match group.sink {
        Some(_) => "deliver",
        None => "retrieve",
    }
}
