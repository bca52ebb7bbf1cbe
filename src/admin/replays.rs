//! Replay jobs: replay all events that match a filter, at a limited rate. A job can be previewed first and cancelled
//! later.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::auth::audit;
use super::error::Error;
use super::jobs_view::{Job, JobEnd, Jobs, Planned};
use super::openapi::answers::{BadRequest, Conflict, NotFound, StoreFailed, TooLarge};
use super::openapi::query::{FilterFields, Limit};
use super::openapi::words;
use super::path::Number;
use super::replay::{ReplayRequest, checked, read};
use super::{Caller, State, filter};
use crate::journal::{Cancelled, Filter, JobState, NewReplayJob, ReplayJob};

/// The default rate in events per second. A backlog that is replayed at full speed would overload a system that was
/// just repaired.
const RATE: u32 = 5;
/// The highest rate that may be requested, in events per second.
const MOST_RATE: u32 = 1000;
/// The interval at which a job is checked while a caller waits for its end.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The body of `POST /replay`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplayMany)]
pub(super) struct Many {
    /// Where each replay starts; `retrieve` by default.
    #[schema(value_type = Option<words::ReplayFrom>)]
    from: Option<String>,
    /// The sinks to deliver to; if none is named, the sinks that had the event.
    #[serde(default)]
    sinks: Option<Vec<String>>,
    /// The filter of the events, with at least one field.
    #[serde(default)]
    #[schema(value_type = FilterFields, required)]
    filter: Map<String, Value>,
    /// Only report what the job would do.
    #[serde(default)]
    dry_run: bool,
    /// Events per second; 5 by default.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    rate: Option<NonZeroU32>,
    /// Answer only when all events are scheduled; without a rate they are scheduled as fast as possible.
    #[serde(default)]
    wait: bool,
    /// The reason for the audit log, as in the header `X-Audit-Reason`.
    reason: Option<String>,
}

/// The answer when a job has begun: the job, or its result if the caller waited.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only described")]
enum Begun {
    Job(Box<Job>),
    End(JobEnd),
}

/// Start a replay job.
///
/// Replays all events that match a filter, at a limited rate. Try it with `dry_run` first, which reports what the job
/// would do. The job goes on if the caller disconnects; with `wait` the answer comes when all events are scheduled.
#[utoipa::path(
    post, path = "/replay", tag = "replays", operation_id = "begin_replay",
    request_body(
        content = Many,
        example = json!({"filter": {"state": "dead", "sink": "ehr"}, "from": "deliver", "dry_run": true}),
    ),
    responses(
        (status = 200, description = "With `dry_run`: what the job would do.", body = Planned),
        (
            status = 202, description = "The job has begun, or with `wait` is over.", body = Begun,
            headers(("Location" = String, description = "The path of the job; without `wait`.")),
            links(
                ("ShowReplay" = (
                    operation_id = "show_replay", parameters(("id" = "$response.body#/id")),
                    description = "The job with its state.",
                )),
                ("CancelReplay" = (
                    operation_id = "cancel_replay", parameters(("id" = "$response.body#/id")),
                    description = "Stop it.",
                )),
            ),
        ),
        BadRequest, TooLarge, StoreFailed,
    ),
    extensions(("x-audited" = json!(true))),
)]
pub(super) async fn begin(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let many: Many = read(body)?;
    let request = checked(&state, many.from.as_deref(), many.sinks)?;
    let filter = filter_of(&many.filter).map_err(Error::BadRequest)?;
    let rate = match many.rate.map(NonZeroU32::get) {
        Some(rate) if rate > MOST_RATE => {
            return Err(Error::BadRequest(format!(
                "rate: use a number of events a second from 1 to {MOST_RATE}"
            )));
        }
        Some(rate) => Some(rate),
        None => (!many.wait).then_some(RATE),
    };
    if many.dry_run {
        let preview = state.records().preview(filter).await?;
        return Ok(Json(Planned::of(&preview, request.from)).into_response());
    }
    let caller = caller.for_reason(many.reason);
    let job = start(&state, &caller, request, filter, rate).await?;
    if many.wait {
        return Ok(wait(&state, job.id).await?.into_response());
    }
    let location = format!("/api/v1/replays/{}", job.id);
    let answer = Json(Job::of(&job, None));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], answer).into_response())
}

/// Starts a job.
pub(crate) async fn start(
    state: &State,
    caller: &Caller,
    request: ReplayRequest,
    filter: Filter,
    rate: Option<u32>,
) -> Result<ReplayJob, Error> {
    let now = state.clock.now();
    let action = format!("{} of all with {}", request.action(), filter.to_json());
    audit(state, caller, action, None).await?;
    // Events that are received after the job's start are left out.
    let until = filter.until.map_or(now, |until| until.min(now));
    let job = NewReplayJob {
        filter: Filter {
            until: Some(until),
            ..filter
        },
        from: request.from,
        sinks: request.sinks,
        rate,
        actor: caller.name.clone(),
        reason: caller.reason.clone(),
        created_at: now,
    };
    let id = state.records().begin_job(job).await?;
    state.journal.notify_job_begun();
    state.records().job(id).await?.ok_or_else(no_job)
}

/// Waits until a job is over. The answer has the fields that this call had before there were jobs, and the job's
/// number.
async fn wait(state: &State, id: i64) -> Result<impl IntoResponse + use<>, Error> {
    loop {
        let job = state.records().job(id).await?.ok_or_else(no_job)?;
        if job.state != JobState::Running {
            let answer = JobEnd {
                id: job.id,
                scheduled: job.tally.scheduled,
                skipped: job.tally.skipped(),
            };
            return Ok((StatusCode::ACCEPTED, Json(answer)));
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// List replay jobs.
///
/// The newest first.
#[utoipa::path(
    get, path = "/replays", tag = "replays", operation_id = "list_replays",
    params(Limit),
    responses(
        (
            status = 200, description = "The jobs.", body = Jobs,
            links(("ShowReplay" = (
                operation_id = "show_replay", parameters(("id" = "$response.body#/replays/0/id")),
                description = "The newest job.",
            ))),
        ),
        BadRequest, StoreFailed,
    ),
)]
pub(super) async fn list(
    Shared(state): Shared<State>,
    RawQuery(query): RawQuery,
) -> Result<Json<Jobs>, Error> {
    let limit = filter::only_limit(query.as_deref()).map_err(Error::BadRequest)?;
    let jobs = state.records().jobs(limit).await?;
    Ok(Json(Jobs {
        replays: jobs.iter().map(|job| Job::of(job, None)).collect(),
    }))
}

/// Show a replay job.
///
/// With the present states of its events.
#[utoipa::path(
    get, path = "/replays/{id}", tag = "replays", operation_id = "show_replay",
    params(Number),
    responses((status = 200, description = "The job.", body = Job), BadRequest, NotFound, StoreFailed),
)]
pub(super) async fn show(
    Shared(state): Shared<State>,
    Number(id): Number,
) -> Result<Json<Job>, Error> {
    let job = state.records().job(id).await?.ok_or_else(no_job)?;
    let progress = state.records().progress(id).await?;
    Ok(Json(Job::of(&job, Some(&progress))))
}

/// Cancel a replay job.
///
/// Events that are already scheduled stay scheduled.
#[utoipa::path(
    post, path = "/replays/{id}/cancel", tag = "replays", operation_id = "cancel_replay",
    params(Number),
    responses((status = 200, description = "The job, stopped.", body = Job), BadRequest, NotFound, Conflict, StoreFailed),
    extensions(("x-audited" = json!(true))),
)]
pub(crate) async fn cancel(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Number(id): Number,
) -> Result<Json<Job>, Error> {
    audit(&state, &caller, format!("cancel replay job {id}"), None).await?;
    let end = state.records().cancel_job(id, caller.name.clone()).await?;
    match end {
        Cancelled::Stopped => {}
        Cancelled::Over => return Err(Error::Conflict("this job is over".to_owned())),
        Cancelled::NotFound => return Err(no_job()),
    }
    let job = state.records().job(id).await?.ok_or_else(no_job)?;
    Ok(Json(Job::of(&job, None)))
}

fn no_job() -> Error {
    Error::NotFound("there is no replay job with this number")
}

/// Parses a filter with at least one field: replaying all events is hardly ever intended.
fn filter_of(fields: &Map<String, Value>) -> Result<Filter, String> {
    let filter = Filter::from_json(fields).map_err(|why| format!("filter: {why}"))?;
    if filter.is_empty() {
        return Err(format!("filter: give at least one of {}", Filter::FIELDS));
    }
    Ok(filter)
}
