//! Actions on one event. Each calls the same function as the API, and then shows the event again.

use axum::Extension;
use axum::extract::{Path, State as Shared};
use axum::response::Redirect;
use bytes::Bytes;
use serde_json::json;
use url::form_urlencoded;

use super::State;
use super::problem::Problem;
use super::sign_in::field;
use super::visitor::Visitor;
use crate::admin::{Caller, Error, Id, content, replay, requeue};
use crate::domain::EventId;

/// `POST /events/{id}/replay`.
pub(super) async fn replay(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let (caller, id) = caller(&visitor, &id, &body)?;
    let sinks: Vec<String> = all(&body, "sink");
    let from = field(&body, "from").unwrap_or_default();
    let asked = json!({"from": from, "sinks": sinks}).to_string();
    let done = replay::one(
        Shared(state.admin),
        Extension(caller),
        Id(id),
        Ok(asked.into()),
    );
    shown(&visitor, id, done.await.map(|_| ()), "replayed")
}

/// `POST /events/{id}/requeue`.
pub(super) async fn requeue(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let (caller, id) = caller(&visitor, &id, &body)?;
    let done = requeue::one(Shared(state.admin), Extension(caller), Id(id)).await;
    shown(&visitor, id, done.map(|_| ()), "requeued")
}

/// `POST /events/{id}/purge`: requires the end of the id, so that nobody purges an event by mistake.
pub(super) async fn purge(
    Shared(state): Shared<State>,
    visitor: Visitor,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Redirect, Problem> {
    let (caller, id) = caller(&visitor, &id, &body)?;
    let confirmed = field(&body, "confirm").unwrap_or_default();
    if confirmed.len() != 6 || !id.to_string().ends_with(&confirmed) {
        let why = "These are not the last six characters of the event's id. Nothing was removed.";
        return Err(Problem::bad_request(&visitor, why));
    }
    let done = content::purge(Shared(state.admin), Extension(caller), Id(id)).await;
    shown(&visitor, id, done.map(|_| ()), "purged")
}

/// The caller with the reason from the form, and the event.
pub(super) fn caller(
    visitor: &Visitor,
    id: &str,
    body: &[u8],
) -> Result<(Caller, EventId), Problem> {
    let id = id
        .parse()
        .map_err(|_| Problem::not_found(visitor, "There is no event with this id."))?;
    let caller = visitor.caller.clone().for_reason(field(body, "reason"));
    Ok((caller, id))
}

/// All values of a form's field.
pub(super) fn all(form: &[u8], name: &str) -> Vec<String> {
    let fields = form_urlencoded::parse(form);
    let named = fields.filter(|(known, _)| known == name);
    named.map(|(_, value)| value.into_owned()).collect()
}

fn shown(
    visitor: &Visitor,
    id: EventId,
    done: Result<(), Error>,
    said: &str,
) -> Result<Redirect, Problem> {
    done.map_err(|error| Problem::of(visitor, &error))?;
    Ok(Redirect::to(&format!("/events/{id}?said={said}")))
}
