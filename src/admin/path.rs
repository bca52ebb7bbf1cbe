//! What stands in a path: an event's id, a session's, a job's number, a link's place.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::error::Error;
use crate::domain::{EventId, SessionId};

/// `{id}`: an event.
pub(crate) struct Id(pub(crate) EventId);

/// `{id}`: a session.
pub(crate) struct Session(pub(crate) SessionId);

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let params = Path::<BTreeMap<String, String>>::from_request_parts(parts, &()).await;
        params
            .ok()
            .and_then(|Path(mut params)| SessionId::new(params.remove("id")?))
            .map(Self)
            .ok_or_else(|| Error::BadRequest("id: use a session's id, percent-encoded".to_owned()))
    }
}

/// `{n}`: the place of one of its links, from 0.
pub(crate) struct Place(pub(crate) u32);

/// `{id}`: the number of a replay job.
pub(crate) struct Number(pub(crate) i64);

impl<S: Send + Sync> FromRequestParts<S> for Number {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        read(parts, "id", "a replay job's number").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        read(
            parts,
            "id",
            "an event's id, a UUID as in the list of events",
        )
        .await
        .map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        read(
            parts,
            "n",
            "the place of a link in the event's list, from 0",
        )
        .await
        .map(Self)
    }
}

async fn read<T: FromStr>(parts: &mut Parts, name: &str, allowed: &str) -> Result<T, Error> {
    let params = Path::<BTreeMap<String, String>>::from_request_parts(parts, &()).await;
    params
        .ok()
        .and_then(|Path(params)| params.get(name)?.parse().ok())
        .ok_or_else(|| Error::BadRequest(format!("{name}: use {allowed}")))
}
