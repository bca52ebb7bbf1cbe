//! Path parameters: an event's id, a session's id, a job's number, a link's index, a cause, a sink.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::error::Error;
use crate::domain::{Cause, EventId, SessionId};

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

/// `{n}`: the index of one of an event's links, from 0.
pub(crate) struct Place(pub(crate) u32);

/// `{id}`: the number of a replay job.
pub(crate) struct Number(pub(crate) i64);

/// `{name}`: a sink, which need not be configured.
pub(crate) struct SinkName(pub(crate) String);

/// `{cause}`: a cause by its name.
pub(crate) struct CauseWord(pub(crate) Cause);

impl<S: Send + Sync> FromRequestParts<S> for CauseWord {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        read(parts, "cause", "a cause as in the list of causes")
            .await
            .map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SinkName {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        read(parts, "name", "a sink's name").await.map(Self)
    }
}

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

impl IntoParams for Id {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let format = SchemaFormat::Custom("uuid".to_owned());
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(format));
        vec![parameter("id", "The event's id.", schema)]
    }
}

impl IntoParams for Session {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(SessionId::MAX_BYTES))
            // Not blank: the control character U+0085 is white space here, and not in `\s` of a pattern.
            .pattern(Some(r"[^\s\u0085]"));
        vec![parameter(
            "id",
            "The session's id, percent-encoded.",
            schema,
        )]
    }
}

impl IntoParams for Number {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let format = SchemaFormat::KnownFormat(KnownFormat::Int64);
        let schema = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(format));
        vec![parameter("id", "The job's number.", schema)]
    }
}

impl IntoParams for Place {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(u32::MAX));
        let what = "The link's place in the event's list, from 0.";
        vec![parameter("n", what, schema)]
    }
}

impl IntoParams for CauseWord {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = Cause::ALL.iter().map(|cause| cause.as_str());
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(words));
        vec![parameter("cause", "The cause, as in the list.", schema)]
    }
}

impl IntoParams for SinkName {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let what = "The sink's name; it need not be configured any more.";
        vec![parameter("name", what, schema)]
    }
}

/// A path parameter for the description.
fn parameter(name: &str, what: &str, schema: ObjectBuilder) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(what))
        .schema(Some(schema))
        .build()
}
