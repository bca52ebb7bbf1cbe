//! Refuses a query on calls that take none: who writes `?dry_run=true` must not find out afterwards that it was ignored.
//! Calls that take a query check its parameters themselves.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{OpenApi, RefOr};

use super::error::Error;

/// The paths, without their prefix, whose `GET` takes a query.
#[derive(Debug, Clone)]
pub(super) struct Queried(Arc<HashSet<String>>);

impl Queried {
    /// Those of the described operations. Only a `GET` takes a query.
    pub(super) fn of(description: &OpenApi) -> Self {
        let takes_query = |operation: &Operation| {
            let mut parameters = operation.parameters.iter().flatten();
            parameters.any(|parameter| {
                matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Query)
            })
        };
        let paths = description.paths.paths.iter();
        let queried = paths.filter(|(_, item)| item.get.as_ref().is_some_and(takes_query));
        Self(Arc::new(queried.map(|(path, _)| path.clone()).collect()))
    }
}

/// Passes a request on unless it has a query that the call would ignore.
pub(super) async fn refuse_unused(
    State(queried): State<Queried>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let has_query = request.uri().query().is_some_and(|query| !query.is_empty());
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = path.as_str();
    let described_as = path.strip_prefix("/api/v1").unwrap_or(path);
    let takes_query = is_read && queried.0.contains(described_as);
    if has_query && !takes_query {
        let why = "this call takes no parameters after a '?'; nothing was done";
        return Error::BadRequest(why.to_owned()).into_response();
    }
    next.run(request).await
}
