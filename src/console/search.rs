//! `GET /go?q=`: redirects from an id to its page.

use axum::extract::{RawQuery, State as Shared};
use axum::response::Redirect;
use url::form_urlencoded;

use super::State;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use crate::domain::EventId;
use crate::journal::{Error, Filter};

/// Redirects an event's id to the event, and the id of a session or an encounter to its events.
pub(super) async fn go(
    Shared(state): Shared<State>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> Result<Redirect, Problem> {
    let wanted = field(query.unwrap_or_default().as_bytes(), "q").unwrap_or_default();
    let wanted = wanted.trim();
    if wanted.is_empty() {
        return Ok(Redirect::to("/events"));
    }
    let found = find(&state, wanted).await;
    found.map_err(|error| Problem::of(&visitor, &error.into()))
}

async fn find(state: &State, wanted: &str) -> Result<Redirect, Error> {
    let records = state.admin.records();
    if let Ok(id) = wanted.parse::<EventId>()
        && records.event(id).await?.is_some()
    {
        return Ok(Redirect::to(&format!("/events/{id}")));
    }
    let to = |field: &str| {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair(field, wanted)
            .finish();
        Redirect::to(&format!("/events?{query}"))
    };
    let of_encounter = Filter {
        encounter_id: Some(wanted.to_owned()),
        ..Filter::default()
    };
    let is_encounter = !records.list(of_encounter, 1, None).await?.events.is_empty();
    let is_session = !records
        .list(Filter::of_session(wanted), 1, None)
        .await?
        .events
        .is_empty();
    Ok(if is_encounter && !is_session {
        to("encounter_id")
    } else {
        to("session_id")
    })
}
