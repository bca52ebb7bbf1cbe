//! The first page: whether all acknowledged notifications reach their sinks, and the figures of the last hour.

use axum::extract::State as Shared;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::chart::{Chart, Series};
use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::visitor::Visitor;
use super::{State, dependencies, time, ui};
use crate::domain::{EventState, ExpectedState, Outcome};
use crate::journal::{Event, ExpectedStats, Filter, Pause, Stats};
use crate::metrics::{Answer, Minute, Times};

/// The number of minutes that the charts show.
const MINUTES: usize = 60;
/// The number of listed events.
const LATEST: usize = 10;

/// `GET /`.
pub(super) async fn show(Shared(state): Shared<State>, visitor: Visitor) -> Result<Page, Problem> {
    let content = content(&state, &visitor).await;
    let content = content.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let frame = Frame::live(&state, &visitor, "/", "Overview");
    Ok(frame.page(&content).await)
}

async fn content(state: &State, visitor: &Visitor) -> Result<Markup, crate::journal::Error> {
    let records = state.admin.records();
    let stats = records.stats().await?;
    let paused = dependencies::all_paused(state).await?;
    let expected = records.expected_stats().await?;
    let latest = records.list(Filter::default(), LATEST, None).await?.events;
    let now = state.admin.clock.now();
    let minutes = an_hour(state.admin.metrics.history(MINUTES));
    Ok(html! {
        h1 { "Overview" }
        (sentence(&stats, paused.is_empty()))
        (halted(&paused))
        (tiles(&stats, &expected, now))
        @if stats.total() == 0 { (welcome(state)) } @else {
            (charts(&minutes, visitor))
            section {
                div.heading {
                    h2 { "Latest events" }
                    a href="/events" { "All events" }
                }
                (table(&latest, now, visitor))
            }
        }
    })
}

/// The last hour, with empty minutes before the service's start.
fn an_hour(minutes: Vec<(Timestamp, Minute)>) -> Vec<(Timestamp, Minute)> {
    let Some((first, _)) = minutes.first().copied() else {
        return minutes;
    };
    let before = (1..).take(MINUTES.saturating_sub(minutes.len()));
    let mut hour: Vec<(Timestamp, Minute)> = before
        .map(|ago| (first - SignedDuration::from_mins(ago), Minute::default()))
        .collect();
    hour.reverse();
    hour.extend(minutes);
    hour
}

/// The most important fact in one sentence. `is_all` is false if a sentence about paused sinks follows.
fn sentence(stats: &Stats, is_all: bool) -> Markup {
    let (done, moving) = (stats.count(EventState::Done), in_progress(stats));
    let waiting = [
        (stats.count(EventState::Dead), "dead event", "dead events"),
        (
            stats.count(EventState::Quarantined),
            "quarantined event",
            "quarantined events",
        ),
        (stats.rejected, "rejected request", "rejected requests"),
    ];
    let waiting: Vec<String> = waiting
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| ui::counted(*count, one, many))
        .collect();
    let end = if is_all {
        "; nothing needs attention."
    } else {
        "."
    };
    html! {
        p #sentence .sentence .bad[!waiting.is_empty()] data-refresh {
            @if !waiting.is_empty() {
                (ui::icon("alert"))
                span {
                    (waiting.join(", ")) " "
                    @if waiting.len() == 1 && waiting[0].starts_with("1 ") { "needs" } @else { "need" }
                    " attention. " a href="/attention" { "See what is wrong" }
                }
            } @else if stats.total() == 0 {
                (ui::icon("clock")) span { "No notification has arrived yet." }
            } @else if moving == 0 {
                (ui::icon("check"))
                span { "All " (ui::number(done)) " acknowledged notifications are delivered" (end) }
            } @else {
                (ui::icon("check"))
                span {
                    (ui::number(done)) " acknowledged notifications are delivered, " (ui::number(moving))
                    " are in progress" (end)
                }
            }
        }
    }
}

/// A reminder of the paused sinks.
fn halted(paused: &[Pause]) -> Markup {
    let names: Vec<&str> = paused.iter().map(|pause| pause.sink.as_str()).collect();
    html! {
        p #paused .sentence .bad data-refresh hidden[names.is_empty()] {
            @if !names.is_empty() {
                (ui::icon("pause"))
                span {
                    "Deliveries to " (names.join(", ")) " are paused and wait. "
                    a href="/dependencies" { "See why, and resume" }
                }
            }
        }
    }
}

fn in_progress(stats: &Stats) -> u64 {
    let moving = [
        EventState::Received,
        EventState::Retrieving,
        EventState::Delivering,
    ];
    moving.into_iter().map(|state| stats.count(state)).sum()
}

fn tiles(stats: &Stats, expected: &ExpectedStats, now: Timestamp) -> Markup {
    let count = |state| stats.count(state);
    let oldest = stats.oldest_pending.map(|since| time::distance(since, now));
    let awaited = expected.count(ExpectedState::Open) + expected.count(ExpectedState::Polling);
    html! {
        div #tiles .tiles data-refresh {
            (tile("In progress", in_progress(stats), "/events?state=received,retrieving,delivering", false,
                &oldest.map_or_else(|| "nothing waits".to_owned(), |oldest| format!("oldest {oldest}"))))
            (tile("Delivered", count(EventState::Done), "/events?state=done", false, "to every sink"))
            (tile("Dead", count(EventState::Dead), "/attention", count(EventState::Dead) > 0, "given up, to be replayed"))
            (tile("Quarantined", count(EventState::Quarantined), "/attention", count(EventState::Quarantined) > 0,
                "authentic, not readable"))
            @if expected.total() > 0 {
                (tile("Expected", awaited, "/expected", false, "sessions without an end yet"))
            }
        }
        p #balance .balance data-refresh {
            span { (ui::number(stats.total())) " acknowledged" }
            span aria-hidden="true" { "=" }
            span { (ui::number(count(EventState::Done))) " done" }
            span aria-hidden="true" { "+" }
            span { (ui::number(in_progress(stats))) " in progress" }
            span aria-hidden="true" { "+" }
            span { (ui::number(count(EventState::Dead))) " dead" }
            span aria-hidden="true" { "+" }
            span { (ui::number(count(EventState::Quarantined))) " quarantined" }
            @if count(EventState::Purged) > 0 {
                span aria-hidden="true" { "+" }
                span { (ui::number(count(EventState::Purged))) " purged" }
            }
        }
    }
}

fn tile(title: &str, count: u64, path: &str, is_bad: bool, hint: &str) -> Markup {
    html! {
        a.tile .bad[is_bad] href=(path) {
            span.tile-title { (title) }
            span.tile-number { (ui::number(count)) }
            span.tile-hint { (hint) }
        }
    }
}

fn charts(minutes: &[(Timestamp, Minute)], visitor: &Visitor) -> Markup {
    let columns: Vec<String> = minutes
        .iter()
        .map(|(at, _)| time::minute(*at, &visitor.zone))
        .collect();
    html! {
        div.charts {
            (received(minutes, &columns))
            (took("acks", "Time to the answer", minutes, &columns, |minute| minute.ack))
            (took("ends", "From receipt to the last sink", minutes, &columns, |minute| minute.end_to_end))
        }
    }
}

fn received(minutes: &[(Timestamp, Minute)], columns: &[String]) -> Markup {
    let at = |outcome: Outcome| Outcome::ALL.iter().position(|known| *known == outcome);
    let of = |outcomes: &[Outcome]| -> Vec<f64> {
        let places: Vec<usize> = outcomes.iter().filter_map(|outcome| at(*outcome)).collect();
        let sums = minutes.iter().map(|(_, minute)| {
            places
                .iter()
                .map(|place| f64::from(minute.outcomes[*place]))
                .sum()
        });
        sums.collect()
    };
    let refused = Answer::ALL
        .iter()
        .position(|answer| *answer == Answer::Unavailable);
    let refused: Vec<f64> = minutes
        .iter()
        .map(|(_, minute)| refused.map_or(0.0, |place| f64::from(minute.answers[place])))
        .collect();
    let total = |minute: &Minute| minute.outcomes.iter().sum::<u32>();
    let most = minutes.iter().max_by_key(|(_, minute)| total(minute));
    let peak = most.map_or(0, |(_, minute)| total(minute));
    let place = minutes.iter().position(|(_, minute)| total(minute) == peak);
    let finding = match (peak, place) {
        (0, _) | (_, None) => "No session ended in this time.".to_owned(),
        (peak, Some(place)) => format!("Most: {peak} a minute, at {}.", columns[place]),
    };
    Chart {
        id: "received",
        title: "Sessions by how they ended, a minute",
        finding,
        columns,
        series: vec![
            series("completed", "a", of(&[Outcome::Completed])),
            series("failed", "b", of(&[Outcome::Failed])),
            series(
                "other ends",
                "c",
                of(&[
                    Outcome::TimedOut,
                    Outcome::Cancelled,
                    Outcome::Skipped,
                    Outcome::Unknown,
                ]),
            ),
            series("answered 503", "d", refused),
        ],
        unit: "",
    }
    .bars()
}

fn took(
    id: &'static str,
    title: &str,
    minutes: &[(Timestamp, Minute)],
    columns: &[String],
    times: fn(&Minute) -> Option<Times>,
) -> Markup {
    let millis = |of: fn(Times) -> std::time::Duration| -> Vec<f64> {
        let values = minutes.iter().map(|(_, minute)| match times(minute) {
            Some(times) => of(times).as_secs_f64() * 1000.0,
            None => f64::NAN,
        });
        values.collect()
    };
    let (median, slowest) = (millis(|times| times.p50), millis(|times| times.p99));
    let most = slowest
        .iter()
        .copied()
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let finding = if most > 0.0 {
        format!("99 of 100 took {most:.0} ms or less in the slowest minute.")
    } else {
        "Nothing was measured in this time.".to_owned()
    };
    Chart {
        id,
        title,
        finding,
        columns,
        series: vec![
            series("median", "a", median),
            series("99th percentile", "b", slowest),
        ],
        unit: " ms",
    }
    .lines()
}

fn series(name: &'static str, class: &'static str, values: Vec<f64>) -> Series {
    Series {
        name,
        class,
        values,
    }
}

/// A short list of events.
fn table(events: &[Event], now: Timestamp, visitor: &Visitor) -> Markup {
    html! {
        table #latest .list data-refresh {
            caption.unseen { "Latest events" }
            thead { tr {
                th scope="col" { "Event" }
                th scope="col" { "Received" }
                th scope="col" { "Session ended" }
                th scope="col" { "State" }
                th scope="col" { "Last error" }
            } }
            tbody {
                @for event in events {
                    tr {
                        th scope="row" data-label="Event" {
                            a href={ "/events/" (event.id) } { code { (ui::shortened(&event.id.to_string())) } }
                        }
                        td data-label="Received" { (time::ago(event.received_at, now, &visitor.zone)) }
                        td data-label="Session ended" { (ui::outcome(event.outcome)) }
                        td data-label="State" { (ui::state(event.state)) }
                        td.error data-label="Last error" { (event.last_error.as_deref().unwrap_or("–")) }
                    }
                }
            }
        }
    }
}

/// The first steps, shown while no notification has come.
fn welcome(state: &State) -> Markup {
    let path = &state.about.webhook_path;
    ui::empty(
        "No notification has arrived yet",
        &html! {
            p { "Give Suki the address of this service's public listener, with the path " code { (path) } "." }
            p { "Or send a signed one yourself:" }
            pre { code {
                "suki-receiver send --url http://127.0.0.1:8080" (path) " --secret-file FILE --count 1"
            } }
        },
    )
}
