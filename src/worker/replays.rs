//! Runs replay jobs, each at its own rate. The events that they make due are processed like all others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::journal::{Error, Filter, Order, ReplayJob, ReplayStep, Tally};
use crate::lifecycle::TaskGroup;
use crate::metrics::Metrics;

/// How often the worker checks for jobs that another instance has begun.
const IDLE: Duration = Duration::from_secs(2);
/// The most events of one step, which are replayed in one transaction.
const STEP: u32 = 64;

/// Runs jobs until `tasks` stops.
pub(super) async fn run(shared: Arc<Shared>, configured: Vec<String>, tasks: TaskGroup) {
    let mut due: HashMap<i64, Instant> = HashMap::new();
    loop {
        let next = match advance_all(&shared, &configured, &mut due).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(error = %error, "replay jobs cannot go on now; trying again");
                Instant::now() + IDLE
            }
        };
        tokio::select! {
            () = tasks.stopping() => return,
            () = shared.journal.job_begun() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// Advances every job that is due, and returns when the next one is due.
async fn advance_all(
    shared: &Shared,
    configured: &[String],
    due: &mut HashMap<i64, Instant>,
) -> Result<Instant, Error> {
    let jobs = shared.journal.records().claim_jobs().await?;
    due.retain(|id, _| jobs.iter().any(|job| job.id == *id));
    for job in &jobs {
        let now = Instant::now();
        if due.get(&job.id).is_some_and(|at| *at > now) {
            continue;
        }
        let is_over = advance(shared, configured, job).await?;
        if is_over {
            tracing::info!(job = job.id, actor = job.asked.actor, "replay job is done");
        }
        due.insert(job.id, now + wait(job));
    }
    let idle = Instant::now() + IDLE;
    Ok(due.values().copied().min().unwrap_or(idle).min(idle))
}

/// Advances a job by one step. Returns whether that was its last.
async fn advance(shared: &Shared, configured: &[String], job: &ReplayJob) -> Result<bool, Error> {
    let filter = Filter {
        order: Order::OldestFirst,
        ..job.asked.filter.clone()
    };
    let limit = usize::try_from(step_of(job)).unwrap_or(1);
    let page = shared
        .journal
        .records()
        .list(filter, limit, Some(job.cursor))
        .await?;
    let step = ReplayStep {
        job: job.id,
        cursor: job.cursor,
        next: page.next.unwrap_or(job.cursor),
        events: page.events.iter().map(|event| event.id).collect(),
        is_last: page.next.is_none(),
        configured: configured.to_vec(),
    };
    let is_last = step.is_last;
    let advanced = shared.journal.records().advance_job(step).await?;
    if advanced {
        shared.journal.wake();
        // The step was made from the cursor that was read with `job`, so the tally of `job` is the one before the step.
        if let Some(now) = shared.journal.records().job(job.id).await? {
            count(&shared.metrics, job.tally, now.tally);
        }
    }
    Ok(advanced && is_last)
}

/// Adds the results of one step to the metrics.
fn count(metrics: &Metrics, before: Tally, now: Tally) {
    for (result, before, now) in [
        ("scheduled", before.scheduled, now.scheduled),
        ("no_content", before.no_content, now.no_content),
        ("not_retrieved", before.not_retrieved, now.not_retrieved),
        ("no_sink", before.no_sink, now.no_sink),
    ] {
        metrics.replays(result, now.saturating_sub(before));
    }
}

/// The number of events in a job's next step.
fn step_of(job: &ReplayJob) -> u32 {
    job.asked.rate.map_or(STEP, |rate| rate.clamp(1, STEP))
}

/// The wait after a step of this job.
fn wait(job: &ReplayJob) -> Duration {
    match job.asked.rate {
        None => Duration::ZERO,
        Some(rate) => Duration::from_secs(1) * step_of(job) / rate.max(1),
    }
}
