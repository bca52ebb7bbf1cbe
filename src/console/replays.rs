//! The pages of replay jobs: preview, start, watch and stop a job.

use axum::Extension;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::response::Redirect;
use bytes::Bytes;
use maud::{Markup, html};
use url::form_urlencoded;

use super::actions::all;
use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use super::{State, forms, time, ui};
use crate::admin::{Number, ReplayRequest, replay, replays};
use crate::journal::{Filter, JobState, Preview, Progress, ReplayFrom, ReplayJob};

/// The number of listed jobs.
const JOBS: usize = 50;
/// The proposed rate in events per second.
const RATE: u32 = 5;

/// `GET /replays`.
pub(super) async fn list(Shared(state): Shared<State>, visitor: Visitor) -> Result<Page, Problem> {
    let jobs = state.admin.records().jobs(JOBS).await;
    let jobs = jobs.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let now = state.admin.clock.now();
    let content = html! {
        h1 { "Replay jobs" }
        div #jobs data-refresh {
            @if jobs.is_empty() {
                (ui::empty("No job has been started yet", &html! {
                    p {
                        "A job replays all events that match a filter, at a limited rate. Start one from "
                        a href="/attention" { "what needs attention" } " or from a filtered "
                        a href="/events" { "list of events" } "."
                    }
                }))
            } @else {
                table.list {
                    caption.unseen { "Replay jobs" }
                    thead { tr {
                        th scope="col" { "Job" }
                        th scope="col" { "Started" }
                        th scope="col" { "By" }
                        th scope="col" { "Events" }
                        th scope="col" { "State" }
                        th scope="col" { "Scheduled" }
                    } }
                    tbody {
                        @for job in &jobs {
                            tr {
                                th scope="row" data-label="Job" { a href={ "/replays/" (job.id) } { "Job " (job.id) } }
                                td data-label="Started" { (time::ago(job.asked.created_at, now, &visitor.zone)) }
                                td data-label="By" { (job.asked.actor) }
                                td data-label="Events" { (in_words(&job.asked.filter)) }
                                td data-label="State" { (state_of(job)) }
                                td.number data-label="Scheduled" { (ui::number(job.tally.scheduled)) " of " (ui::number(job.total)) }
                            }
                        }
                    }
                }
            }
        }
    };
    let frame = Frame::live(&state, &visitor, "/replays", "Replay jobs");
    Ok(frame.page(&content).await)
}

/// `GET /replays/{id}`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Page, Problem> {
    let missing = || Problem::not_found(&visitor, "There is no replay job with this number.");
    let id: i64 = id.parse().map_err(|_| missing())?;
    let records = state.admin.records();
    let found = async {
        Ok::<_, crate::journal::Error>((records.job(id).await?, records.progress(id).await?))
    };
    let (job, progress) = found
        .await
        .map_err(|error| Problem::of(&visitor, &error.into()))?;
    let job = job.ok_or_else(missing)?;
    let content = job_page(&job, progress, &visitor);
    let frame = Frame::live(&state, &visitor, "/replays", "Replay job");
    Ok(frame.page(&content).await)
}

fn job_page(job: &ReplayJob, progress: Progress, visitor: &Visitor) -> Markup {
    let (asked, zone) = (&job.asked, &visitor.zone);
    let looked_at = job.tally.scheduled + job.tally.skipped();
    let total = job.total.max(looked_at).max(1);
    let share = |count: u64| count.saturating_mul(1000) / total;
    let (done, dead) = (share(progress.done), share(progress.dead));
    let moving = share(progress.in_progress);
    html! {
        p.path { a href="/replays" { "Replay jobs" } }
        div.heading {
            h1 { "Job " (job.id) }
            span #state data-refresh { (state_of(job)) }
        }
        p.lead { (in_words(&asked.filter)) ", from " strong { (asked.from.as_str()) } ", to " (to(&asked.sinks)) ", " (pace(asked.rate)) "." }
        section #progress data-refresh {
            svg.bar viewBox="0 0 1000 16" preserveAspectRatio="none" role="img" aria-label="Progress" {
                rect.track width="1000" height="16" rx="4" {}
                rect.good width=(done) height="16" {}
                rect.bad x=(done) width=(dead) height="16" {}
                rect.busy x=(done + dead) width=(moving) height="16" {}
            }
            dl.facts.wide {
                dt { "Scheduled" } dd { (ui::number(job.tally.scheduled)) " of " (ui::number(job.total)) }
                dt { "Done again" } dd { (ui::number(progress.done)) }
                dt { "Dead again" } dd { (ui::number(progress.dead)) }
                dt { "In progress" } dd { (ui::number(progress.in_progress)) }
                dt { "Skipped" } dd { (passed_over(job)) }
                dt { "Started" } dd { (time::exact(asked.created_at, zone)) " by " (asked.actor) }
                @if let Some(reason) = &asked.reason { dt { "Reason" } dd { (reason) } }
                @if let Some(at) = job.ended_at { dt { "Ended" } dd { (time::exact(at, zone)) } }
                @if let Some(actor) = &job.cancelled_by { dt { "Stopped by" } dd { (actor) } }
            }
            @if job.state == JobState::Running && visitor.is_operator() {
                form method="post" action={ "/replays/" (job.id) "/cancel" } {
                    button.grave type="submit" { "Stop the job" }
                    span.hint { "Replays that are scheduled already still run." }
                }
            }
        }
    }
}

fn passed_over(job: &ReplayJob) -> String {
    let tally = &job.tally;
    let parts = [
        (tally.no_content, "without content"),
        (tally.not_retrieved, "not completely retrieved"),
        (tally.no_sink, "for sinks that are not configured"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, why)| format!("{} {why}", ui::number(*count)))
        .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

/// `GET /replays/new?…`: the preview of a job.
pub(super) async fn plan(
    Shared(state): Shared<State>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    let query = query.unwrap_or_default();
    let filter = filter_of(&visitor, query.as_bytes())?;
    let from = field(query.as_bytes(), "from");
    let from = from
        .and_then(|word| word.parse().ok())
        .unwrap_or(ReplayFrom::Retrieve);
    let preview = state.admin.records().preview(filter.clone()).await;
    let preview = preview.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let content = plan_page(&state, &visitor, &filter, from, &preview);
    let frame = Frame {
        is_live: false,
        ..Frame::live(&state, &visitor, "/replays", "Plan a replay")
    };
    Ok(frame.page(&content).await)
}

fn plan_page(
    state: &State,
    visitor: &Visitor,
    filter: &Filter,
    from: ReplayFrom,
    preview: &Preview,
) -> Markup {
    let tally = preview.tally(from);
    let oldest = preview.groups.iter().map(|group| group.oldest).min();
    let newest = preview.groups.iter().map(|group| group.newest).max();
    html! {
        p.path { a href="/replays" { "Replay jobs" } }
        h1 { "Replay " (ui::counted(preview.total(), "event", "events")) }
        p.lead { (in_words(filter)) "." }
        @if preview.total() == 0 {
            (ui::empty("No event matches any more", &html! { p { a href="/attention" { "Needs attention" } } }))
        } @else {
            dl.facts.wide {
                dt { "Will be replayed" } dd { strong { (ui::number(tally.scheduled)) } }
                dt { "Will be skipped" } dd {
                    (ui::number(tally.skipped()))
                    @if tally.no_content > 0 { " · " (ui::number(tally.no_content)) " without content" }
                    @if tally.not_retrieved > 0 {
                        " · " (ui::number(tally.not_retrieved)) " not completely retrieved; replay these from retrieve"
                    }
                }
                @if let (Some(oldest), Some(newest)) = (oldest, newest) {
                    dt { "Received between" } dd { (time::exact(oldest, &visitor.zone)) " and " (time::exact(newest, &visitor.zone)) }
                }
            }
            form.plan method="post" action="/replays/start" {
                @for (name, value) in filter.fields() { input type="hidden" name=(name) value=(value); }
                fieldset {
                    legend { "From where?" }
                    label.radio {
                        input type="radio" name="from" value="retrieve" checked[from == ReplayFrom::Retrieve];
                        span { strong { "Fetch again" } " from Suki, then deliver to every sink that wants the event." }
                    }
                    label.radio {
                        input type="radio" name="from" value="deliver" checked[from == ReplayFrom::Deliver];
                        span { strong { "Deliver again" } " the content that was fetched before." }
                    }
                }
                @if !state.admin.event_sinks.is_empty() {
                    fieldset {
                        legend { "To which sinks? (select none for the sinks that each event had)" }
                        @for sink in state.admin.event_sinks.iter() {
                            label.check {
                                input type="checkbox" name="to" value=(sink) checked[filter.sink.as_ref() == Some(sink)];
                                (sink)
                            }
                        }
                    }
                }
                label.field {
                    span { "Events a second" }
                    input type="number" name="rate" value=(RATE) min="1" max="1000" required inputmode="numeric";
                }
                (forms::reason(false))
                p.hint {
                    "The oldest events are replayed first. Events that arrive from now on are not included, and no "
                    "event is replayed twice."
                }
                div.actions {
                    button.primary type="submit" { "Start the job" }
                    a.button href="/attention" { "Cancel" }
                }
            }
        }
    }
}

/// `POST /replays/start`.
pub(super) async fn start(
    Shared(state): Shared<State>,
    visitor: Visitor,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let filter = filter_of(&visitor, &body)?;
    let from = field(&body, "from");
    let request = replay::checked(&state.admin, from.as_deref(), Some(all(&body, "to")));
    let request: ReplayRequest = request.map_err(|error| Problem::of(&visitor, &error))?;
    let rate = field(&body, "rate").and_then(|rate| rate.parse().ok());
    let rate = rate.filter(|rate| (1..=1000).contains(rate));
    let Some(rate) = rate else {
        return Err(Problem::bad_request(
            &visitor,
            "Give a number of events a second from 1 to 1000.",
        ));
    };
    let caller = visitor.caller.clone().for_reason(field(&body, "reason"));
    let job = replays::start(&state.admin, &caller, request, filter, Some(rate)).await;
    let job = job.map_err(|error| Problem::of(&visitor, &error))?;
    Ok(Redirect::to(&format!("/replays/{}?said=started", job.id)))
}

/// `POST /replays/{id}/cancel`.
pub(super) async fn cancel(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<i64>,
) -> Result<Redirect, Problem> {
    let caller = Extension(visitor.caller.clone());
    let done = replays::cancel(Shared(state.admin), caller, Number(id)).await;
    done.map(drop)
        .map_err(|error| Problem::of(&visitor, &error))?;
    Ok(Redirect::to(&format!("/replays/{id}?said=cancelled")))
}

/// The filter in a form or an address, without other fields.
fn filter_of(visitor: &Visitor, form: &[u8]) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for (name, value) in form_urlencoded::parse(form) {
        let value = value.trim();
        if !value.is_empty() {
            let set = filter.set(&name, value);
            set.map_err(|why| {
                Problem::bad_request(visitor, format!("The filter cannot be read: {why}."))
            })?;
        }
    }
    if filter.is_empty() {
        let why = "Filter the list first: a job needs at least one filter.";
        return Err(Problem::bad_request(visitor, why));
    }
    Ok(filter)
}

/// A filter in words.
fn in_words(filter: &Filter) -> String {
    let fields = filter.fields();
    let fields = fields.iter().filter(|(name, _)| *name != "until");
    let parts: Vec<String> = fields
        .map(|(name, value)| format!("{} {}", name.replace('_', " "), value.replace(',', " or ")))
        .collect();
    if parts.is_empty() {
        return "All events".to_owned();
    }
    format!("Events with {}", parts.join(", "))
}

fn to(sinks: &[String]) -> String {
    match sinks {
        [] => "the sinks that each event had".to_owned(),
        sinks => sinks.join(" and "),
    }
}

fn pace(rate: Option<u32>) -> String {
    match rate {
        Some(rate) => format!("{rate} a second"),
        None => "as fast as possible".to_owned(),
    }
}

fn state_of(job: &ReplayJob) -> Markup {
    let tone = match job.state {
        JobState::Running => ui::Tone::Busy,
        JobState::Done => ui::Tone::Good,
        JobState::Cancelled => ui::Tone::Quiet,
    };
    ui::badge(tone, job.state.as_str())
}
