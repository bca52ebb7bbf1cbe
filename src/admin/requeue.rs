//! `POST /events/{id}/requeue`: takes an event out of the quarantine, if it can be parsed now.

use axum::Extension;
use axum::extract::State as Shared;
use axum::response::IntoResponse;

use super::auth::audit;
use super::error::Error;
use super::openapi::answers::{BadRequest, Conflict, NotFound, StoreFailed};
use super::path::Id;
use super::replay::Scheduled;
use super::{Caller, State};
use crate::journal::{self, Requeued};

/// Take an event out of the quarantine.
///
/// Parses the event again and, if that succeeds now, makes it due.
#[utoipa::path(
    post, path = "/events/{id}/requeue", tag = "events", operation_id = "requeue_event",
    params(Id),
    responses(
        (status = 202, description = "The event is scheduled.", body = Scheduled),
        BadRequest, NotFound, Conflict, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn one(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
) -> Result<impl IntoResponse, Error> {
    state.event(id).await?;
    audit(&state, &caller, "requeue".to_owned(), Some(id)).await?;
    match journal::requeue(state.records(), id, caller.name).await? {
        Requeued::Scheduled => state.journal.wake(),
        Requeued::NotFound => return Err(Error::no_event()),
        other => return Err(Error::Conflict(words(&other))),
    }
    Ok(Scheduled::of(id))
}

/// The result of a requeue in words.
pub fn words(end: &Requeued) -> String {
    match end {
        Requeued::Scheduled => "scheduled".to_owned(),
        Requeued::NotFound => "there is no event with this id".to_owned(),
        Requeued::NotQuarantined => {
            "it is not in the quarantine, or its content is purged".to_owned()
        }
        Requeued::Unreadable(why) => format!("it still cannot be read: {why}"),
        Requeued::Duplicate(same) => {
            format!("the same notification is kept as {same}; purge this one")
        }
    }
}
