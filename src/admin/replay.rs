//! Replays: one event, or all that a filter finds.

use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::auth::audit;
use super::error::Error;
use super::filter::{self, FIELDS, MAX_LIMIT};
use super::path::Id;
use super::{Caller, State};
use crate::domain::EventId;
use crate::journal::{EventDetail, Filter, ReplayFrom, Replayed};

/// Replays written at once, so that the store commits many together.
const AT_ONCE: usize = 64;

/// What `POST /events/{id}/replay` takes; no body at all stands for `{}`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    from: Option<String>,
    #[serde(default)]
    sinks: Option<Vec<String>>,
}

/// What `POST /replay` takes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    from: Option<String>,
    #[serde(default)]
    sinks: Option<Vec<String>>,
    #[serde(default)]
    filter: Map<String, Value>,
}

/// A replay as asked for, checked.
struct Wish {
    from: ReplayFrom,
    sinks: Vec<String>,
}

/// `POST /events/{id}/replay`.
pub(super) async fn one(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Error> {
    let One { from, sinks } = read(body)?;
    let wish = wish(&state, from.as_deref(), sinks)?;
    state.journal.event(id).await?.ok_or_else(Error::no_event)?;
    audit(&state, &caller, wish.action(), Some(id)).await?;
    match wish.replay(&state, id, &caller.name).await? {
        Ok(Replayed::Scheduled) => {}
        Ok(Replayed::NotFound) => return Err(Error::no_event()),
        Ok(other @ (Replayed::NoContent | Replayed::NotRetrieved)) => {
            return Err(Error::Conflict(words(other).to_owned()));
        }
        Err(why) => return Err(Error::Conflict(why.to_owned())),
    }
    let answer = json!({"result": "scheduled", "id": id.to_string()});
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// `POST /replay`. Goes from the newest to the oldest by pages, so what comes meanwhile is not touched. A caller that
/// goes away ends it; what was scheduled until then stays so.
pub(super) async fn many(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Error> {
    let Many {
        from,
        sinks,
        filter,
    } = read(body)?;
    let wish = wish(&state, from.as_deref(), sinks)?;
    let asked = Value::Object(filter.clone());
    let filter = filter_of(filter).map_err(Error::BadRequest)?;
    let action = format!("{} of all with {asked}", wish.action());
    audit(&state, &caller, action, None).await?;
    let (mut scheduled, mut skipped) = (0_u64, 0_u64);
    let mut cursor = None;
    loop {
        let page = state
            .journal
            .list(filter.clone(), MAX_LIMIT, cursor)
            .await?;
        let ids: Vec<EventId> = page.events.iter().map(|event| event.id).collect();
        let ends: Vec<Result<Replayed, &str>> = stream::iter(ids)
            .map(|id| wish.replay(&state, id, &caller.name))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        for end in ends {
            match end {
                Ok(Replayed::Scheduled) => scheduled += 1,
                Ok(Replayed::NotFound | Replayed::NoContent | Replayed::NotRetrieved) | Err(_) => {
                    skipped += 1;
                }
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let answer = json!({"scheduled": scheduled, "skipped": skipped});
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

impl Wish {
    /// What came of it, or why it has nowhere to go.
    async fn replay(
        &self,
        state: &State,
        id: EventId,
        actor: &str,
    ) -> Result<Result<Replayed, &'static str>, Error> {
        let Some(detail) = state.journal.event(id).await? else {
            return Ok(Ok(Replayed::NotFound));
        };
        let sinks = match addressees(self.from, &self.sinks, &detail, &state.sinks) {
            Ok(sinks) => sinks,
            Err(why) => return Ok(Err(why)),
        };
        let actor = actor.to_owned();
        let end = state.journal.replay(id, self.from, sinks, actor).await?;
        if end == Replayed::Scheduled {
            state.journal.wake();
        }
        Ok(Ok(end))
    }

    fn action(&self) -> String {
        action(self.from, &self.sinks)
    }
}

/// A replay in the words of the audit log.
pub fn action(from: ReplayFrom, sinks: &[String]) -> String {
    let from = match from {
        ReplayFrom::Retrieve => "retrieve",
        ReplayFrom::Deliver => "deliver",
    };
    if sinks.is_empty() {
        format!("replay from {from}")
    } else {
        format!("replay from {from} to {}", sinks.join(", "))
    }
}

/// Where a replay starts, in the admin API's word.
///
/// # Errors
/// Names the words.
pub fn from_word(word: &str) -> Result<ReplayFrom, String> {
    match word {
        "retrieve" => Ok(ReplayFrom::Retrieve),
        "deliver" => Ok(ReplayFrom::Deliver),
        _ => Err(format!(
            "unknown start '{word}'; expected retrieve or deliver"
        )),
    }
}

/// Checks that each wanted sink is configured.
///
/// # Errors
/// Names the ones that are not, and those that are.
pub fn known_sinks(wanted: &[String], known: &[String]) -> Result<(), String> {
    let unknown: Vec<&str> = wanted
        .iter()
        .filter(|sink| !known.contains(sink))
        .map(String::as_str)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known = if known.is_empty() {
        "none is configured".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    Err(format!("no such sink: {}; {known}", unknown.join(", ")))
}

/// The sinks that a replay is for: those that are wanted, else those of the event's own that are configured. One that is
/// not configured is never among them: nobody would deliver to it.
///
/// # Errors
/// When all of the event's own are gone.
pub fn addressees(
    from: ReplayFrom,
    wanted: &[String],
    detail: &EventDetail,
    configured: &[String],
) -> Result<Vec<String>, &'static str> {
    if !wanted.is_empty() {
        return Ok(wanted.to_vec());
    }
    let had = || detail.deliveries.iter().map(|delivery| &delivery.sink);
    let own: Vec<String> = had()
        .filter(|sink| configured.contains(sink))
        .cloned()
        .collect();
    let is_any = had().next().is_some();
    match from {
        // After the retrieval each sink that wants the event gets it.
        ReplayFrom::Retrieve if is_any && !configured.is_empty() => Ok(configured.to_vec()),
        _ if is_any && own.is_empty() => {
            Err("none of the sinks that it was for is configured any more; name one that is")
        }
        _ => Ok(own),
    }
}

/// What came of a replay, for people.
pub fn words(end: Replayed) -> &'static str {
    match end {
        Replayed::Scheduled => "scheduled",
        Replayed::NotFound => "there is no event with this id",
        Replayed::NoContent => {
            "there is nothing to replay: the content is purged, or it is not a notification (quarantined)"
        }
        Replayed::NotRetrieved => {
            "its resources were never all retrieved; replay it from \"retrieve\""
        }
    }
}

fn wish(state: &State, from: Option<&str>, sinks: Option<Vec<String>>) -> Result<Wish, Error> {
    let from = from.unwrap_or("retrieve");
    let from = from_word(from).map_err(|why| Error::BadRequest(format!("from: {why}")))?;
    let sinks = sinks.unwrap_or_default();
    known_sinks(&sinks, &state.sinks).map_err(|why| Error::BadRequest(format!("sinks: {why}")))?;
    Ok(Wish { from, sinks })
}

/// A filter with at least one field: everything at once is hardly ever meant.
fn filter_of(fields: Map<String, Value>) -> Result<Filter, String> {
    let mut filter = Filter::default();
    let mut is_any = false;
    for (name, value) in fields {
        let Value::String(value) = value else {
            if value.is_null() {
                continue;
            }
            return Err(format!("filter: {name}: use a string"));
        };
        if !filter::set(&mut filter, &name, &value).map_err(|why| format!("filter: {why}"))? {
            return Err(format!("filter: {}", filter::unknown(&name, FIELDS)));
        }
        is_any = true;
    }
    if is_any {
        Ok(filter)
    } else {
        Err(format!("filter: give at least one of {FIELDS}"))
    }
}

pub(super) fn read<T: DeserializeOwned + Default>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Error> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(super::MAX_BODY_BYTES),
        _ => Error::BadRequest("the body broke off".to_owned()),
    })?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body).map_err(|error| Error::BadRequest(format!("body: {error}")))
}
