//! The page of expected sessions: those that wait, those that are overdue, and how the others ended.

use axum::Extension;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::HeaderMap;
use axum::response::Redirect;
use bytes::Bytes;
use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::json;
use url::form_urlencoded;

use super::frame::Frame;
use super::page::Page;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use super::{State, time, ui};
use crate::admin::{Error, SessionPath, session_actions, sessions};
use crate::domain::{Expected, ExpectedState, SessionId};
use crate::journal::{ExpectedFilter, ExpectedStats};

/// The number of sessions on a page.
const PAGE: usize = 50;

/// `GET /expected?state=&overdue=&cursor=`.
pub(super) async fn show(
    Shared(state): Shared<State>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Page, Problem> {
    let query = query.unwrap_or_default();
    let get = |name| field(query.as_bytes(), name).filter(|value| !value.is_empty());
    let now = state.admin.clock.now();
    let filter = ExpectedFilter {
        state: get("state").and_then(|word| word.parse().ok()),
        provider: get("provider"),
        overdue_at: get("overdue").map(|_| now),
    };
    let cursor = get("cursor").and_then(|cursor| cursor.parse().ok());
    let content = content(&state, &visitor, filter, cursor).await;
    let content = content.map_err(|error| Problem::of(&visitor, &error.into()))?;
    let frame = Frame {
        is_live: cursor.is_none(),
        ..Frame::live(&state, &visitor, "/expected", "Expected sessions")
    };
    Ok(frame.page(&content).await)
}

async fn content(
    state: &State,
    visitor: &Visitor,
    filter: ExpectedFilter,
    cursor: Option<i64>,
) -> Result<Markup, crate::journal::Error> {
    let records = state.admin.records();
    let stats = records.expected_stats().await?;
    let (chosen, is_overdue) = (filter.state, filter.overdue_at.is_some());
    let page = records.list_expected(filter, PAGE, cursor).await?;
    let now = state.admin.clock.now();
    let next = page.next.map(|next| {
        let state = chosen.map_or(String::new(), |state| format!("state={state}&"));
        format!("/expected?{state}cursor={next}")
    });
    Ok(html! {
        h1 { "Expected sessions" }
        @if !state.admin.reconcile.enabled {
            (ui::empty("Sessions cannot be registered", &html! {
                p { "Set " code { "reconcile.enabled" } " to true, so that sessions can be registered and polled." }
            }))
        } @else if stats.total() == 0 {
            (ui::empty("No session is registered", &html! {
                p {
                    "Your software registers each session when it begins, and the service polls Suki for those whose "
                    "notification does not come:"
                }
                pre { code {
                    "curl -X POST http://127.0.0.1:9464/api/v1/sessions \\\n"
                    "  -H \"Authorization: Bearer $TOKEN\" \\\n"
                    "  -d '{\"session_id\":\"…\",\"started_at\":\"…\"}'"
                } }
            }))
            @if visitor.is_operator() { (adding()) }
        } @else {
            (summary(&stats, now))
            (states(&stats, chosen, is_overdue))
            @if visitor.is_operator() { (adding()) }
            (table(&page.sessions, now, visitor))
            (ui::pages(cursor.map(|_| "/expected"), next.as_deref()))
        }
    })
}

fn summary(stats: &ExpectedStats, now: Timestamp) -> Markup {
    let missed = stats.count(ExpectedState::Recovered) + stats.count(ExpectedState::Late);
    html! {
        p #summary .lead data-refresh {
            @match stats.overdue_since.filter(|since| *since < now) {
                Some(since) => { "The longest overdue session became overdue " (time::distance(since, now)) "." }
                None => "No session is overdue.",
            }
            " " (ui::counted(missed, "session was", "sessions were")) " recovered by polling."
        }
    }
}

fn states(stats: &ExpectedStats, chosen: Option<ExpectedState>, is_overdue: bool) -> Markup {
    html! {
        ul #states .tabs aria-label="States" data-refresh {
            li { a href="/expected" aria-current=[(chosen.is_none() && !is_overdue).then_some("true")] { "all " span.count { (ui::number(stats.total())) } } }
            li { a href="/expected?overdue=true" aria-current=[is_overdue.then_some("true")] { "overdue" } }
            @for state in ExpectedState::ALL {
                @let count = stats.count(*state);
                @if count > 0 || chosen == Some(*state) {
                    li {
                        a href={ "/expected?state=" (state.as_str()) } aria-current=[(chosen == Some(*state)).then_some("true")] {
                            (state.as_str()) " " span.count { (ui::number(count)) }
                        }
                    }
                }
            }
        }
    }
}

fn adding() -> Markup {
    html! {
        div.actions {
            (ui::action("Register a session…", false, &html! {
                form method="post" action="/expected/add" {
                    label.field {
                        span { "Session id" }
                        input name="session_id" required maxlength="512" autocomplete="off" spellcheck="false";
                    }
                    p.hint { "The session counts as ended now: if no notification comes, it is polled within minutes." }
                    button.primary type="submit" { "Register it" }
                }
            }))
        }
    }
}

fn table(sessions: &[Expected], now: Timestamp, visitor: &Visitor) -> Markup {
    html! {
        @if sessions.is_empty() {
            (ui::empty("No session matches", &html! { p { a href="/expected" { "Show all" } } }))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Sessions" {
                table #sessions .list data-refresh {
                    caption.unseen { "Expected sessions" }
                    thead { tr {
                        th scope="col" { "Session" }
                        th scope="col" { "State" }
                        th scope="col" { "Due" }
                        th scope="col" { "Polls" }
                        th scope="col" { "Last answer" }
                        th scope="col" { "Event" }
                        @if visitor.is_operator() { th scope="col" { "Actions" } }
                    } }
                    tbody { @for session in sessions { (row(session, now, visitor)) } }
                }
            }
        }
    }
}

fn row(session: &Expected, now: Timestamp, visitor: &Visitor) -> Markup {
    let id = session.registration.session_id.as_str();
    let encoded: String = form_urlencoded::byte_serialize(id.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let is_awaited = session.state.is_awaited();
    html! {
        tr {
            th scope="row" data-label="Session" { (ui::id(id)) }
            td data-label="State" { (badge(session.state, is_awaited && session.due_since < now)) }
            td data-label="Due" { (time::ago(session.due_since, now, &visitor.zone)) }
            td.number data-label="Polls" { (session.polls) }
            td data-label="Last answer" { (session.last_status.as_deref().or(session.last_result.as_deref()).unwrap_or("–")) }
            td data-label="Event" {
                @match session.event {
                    Some(event) => { a href={ "/events/" (event) } { code { (ui::shortened(&event.to_string())) } } }
                    None => "–",
                }
            }
            @if visitor.is_operator() {
                td.row-actions data-label="Actions" {
                    @if is_awaited {
                        form method="post" action={ "/expected/" (encoded) "/poll" } {
                            button type="submit" { "Poll now" }
                        }
                        form method="post" action={ "/expected/" (encoded) "/withdraw" } { button type="submit" { "Withdraw" } }
                    } @else if session.event.is_some() {
                        form method="post" action={ "/expected/" (encoded) "/refresh" } { button type="submit" { "Fetch again" } }
                    }
                }
            }
        }
    }
}

fn badge(state: ExpectedState, is_overdue: bool) -> Markup {
    let tone = match state {
        _ if is_overdue => ui::Tone::Bad,
        ExpectedState::Open | ExpectedState::Polling => ui::Tone::Busy,
        ExpectedState::Met | ExpectedState::Recovered | ExpectedState::Late => ui::Tone::Good,
        ExpectedState::Withdrawn => ui::Tone::Quiet,
        _ => ui::Tone::Bad,
    };
    html! {
        (ui::badge(tone, state.as_str()))
        @if is_overdue { " " span.note { "overdue" } }
    }
}

/// `POST /expected/add`.
pub(super) async fn add(
    Shared(state): Shared<State>,
    visitor: Visitor,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let now = state.admin.clock.now();
    let said = json!({"session_id": field(&body, "session_id"), "ended_at": now.to_string()});
    let done = sessions::register(
        Shared(state.admin),
        HeaderMap::new(),
        Ok(said.to_string().into()),
    )
    .await;
    finish(&visitor, done.map(|_| ()), "added")
}

/// `POST /expected/{id}/poll`.
pub(super) async fn poll(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Redirect, Problem> {
    let id = session(&visitor, id)?;
    let caller = Extension(visitor.caller.clone());
    let done = session_actions::poll(Shared(state.admin), caller, SessionPath(id)).await;
    finish(&visitor, done.map(|_| ()), "asked")
}

/// `POST /expected/{id}/refresh`.
pub(super) async fn refresh(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Redirect, Problem> {
    let id = session(&visitor, id)?;
    let caller = Extension(visitor.caller.clone());
    let done = session_actions::refresh(Shared(state.admin), caller, SessionPath(id)).await;
    finish(&visitor, done.map(|_| ()), "refetched")
}

/// `POST /expected/{id}/withdraw`.
pub(super) async fn withdraw(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Redirect, Problem> {
    let id = session(&visitor, id)?;
    let caller = Extension(visitor.caller.clone());
    let done = session_actions::withdraw(Shared(state.admin), caller, SessionPath(id)).await;
    finish(&visitor, done.map(|_| ()), "withdrawn")
}

fn session(visitor: &Visitor, id: String) -> Result<SessionId, Problem> {
    SessionId::new(id)
        .ok_or_else(|| Problem::not_found(visitor, "No session with this id is registered."))
}

fn finish(visitor: &Visitor, done: Result<(), Error>, said: &str) -> Result<Redirect, Problem> {
    done.map_err(|error| Problem::of(visitor, &error))?;
    Ok(Redirect::to(&format!("/expected?said={said}")))
}
