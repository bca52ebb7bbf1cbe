//! Bulk replays of all events that a filter matches. A replay job is previewed before it begins, runs at a set rate,
//! can be cancelled and survives restarts. Also the events that need attention, grouped by the cause of their failure.
//!
//! A job runs from the oldest event to the newest. Its filter is bounded in time when it begins, so that events that
//! arrive later are not replayed. Each step replays events and moves the job's cursor in one transaction, so no event
//! is replayed twice by one job, whichever instance runs it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Error, Filter, ReplayFrom};
use crate::domain::{Cause, EventId, EventState, Outcome};

/// A replay job to begin.
#[derive(Debug, Clone)]
pub struct NewReplayJob {
    /// Which events.
    pub filter: Filter,
    /// The stage at which each replay starts.
    pub from: ReplayFrom,
    /// The sinks to replay to; if empty, each event's own sinks.
    pub sinks: Vec<String>,
    /// The rate in events per second; unlimited if `None`.
    pub rate: Option<u32>,
    /// Who begins the job.
    pub actor: String,
    /// The reason, in the operator's own words.
    pub reason: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// A replay job and its state.
#[derive(Debug, Clone)]
pub struct ReplayJob {
    /// Its number.
    pub id: i64,
    /// What was requested.
    pub asked: NewReplayJob,
    /// The job's state.
    pub state: JobState,
    /// The number of events that the filter matched at the start, counted up to [`MOST_COUNTED`].
    pub total: u64,
    /// The last event that the job has processed.
    pub cursor: i64,
    /// How many events were scheduled again, and how many were skipped.
    pub tally: Tally,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who cancelled it.
    pub cancelled_by: Option<String>,
}

crate::domain::worded! {
    /// The state of a job.
    JobState, "job state" {
        /// It is running.
        Running = "running",
        /// All of its events were processed.
        Done = "done",
        /// An operator cancelled it.
        Cancelled = "cancelled",
    }
}

/// The number of a job's events, by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Made due again.
    pub scheduled: u64,
    /// Skipped: the content is purged, or it is not a notification.
    pub no_content: u64,
    /// Skipped: its links were never all retrieved.
    pub not_retrieved: u64,
    /// Skipped: none of its sinks is configured any more.
    pub no_sink: u64,
}

impl Tally {
    /// The number of skipped events.
    pub fn skipped(&self) -> u64 {
        self.no_content + self.not_retrieved + self.no_sink
    }
}

/// The present states of the events that a job has scheduled again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Still in progress.
    pub in_progress: u64,
    /// Done.
    pub done: u64,
    /// Dead again.
    pub dead: u64,
}

impl Progress {
    /// Adds the number of events in this state.
    pub(super) fn add(&mut self, state: &str, events: u64) {
        match state {
            "done" => self.done += events,
            "dead" => self.dead += events,
            _ => self.in_progress += events,
        }
    }
}

/// The most events that a preview counts.
pub const MOST_COUNTED: u32 = 100_000;

/// What a job would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// The events that the filter matches, in groups. At most [`MOST_COUNTED`] are counted.
    pub groups: Vec<PreviewGroup>,
}

/// Events with the same properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewGroup {
    /// Their state.
    pub state: EventState,
    /// The outcome of their sessions.
    pub outcome: Outcome,
    /// The cause of their failure.
    pub cause: Option<Cause>,
    /// Whether they are notifications whose content is still stored.
    pub has_content: bool,
    /// Whether all of their links were retrieved.
    pub is_retrieved: bool,
    /// The number of events.
    pub events: u64,
    /// When the oldest was received.
    pub oldest: Timestamp,
    /// When the newest was received.
    pub newest: Timestamp,
}

impl Preview {
    /// The number of events.
    pub fn total(&self) -> u64 {
        self.groups.iter().map(|group| group.events).sum()
    }

    /// What a job would do with them. Whether their sinks are still configured is checked only when the job runs.
    pub fn tally(&self, from: ReplayFrom) -> Tally {
        let mut tally = Tally::default();
        for group in &self.groups {
            let count = if !group.has_content {
                &mut tally.no_content
            } else if from == ReplayFrom::Deliver && !group.is_retrieved {
                &mut tally.not_retrieved
            } else {
                &mut tally.scheduled
            };
            *count += group.events;
        }
        tally
    }
}

/// One step of a job.
#[derive(Debug, Clone)]
pub struct ReplayStep {
    /// The job.
    pub job: i64,
    /// The cursor before the step. If the job's cursor has moved since, nothing is done.
    pub cursor: i64,
    /// The cursor after the step.
    pub next: i64,
    /// The events in between.
    pub events: Vec<EventId>,
    /// Whether these are the job's last events.
    pub is_last: bool,
    /// The configured sinks.
    pub configured: Vec<String>,
}

/// The result of cancelling a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It was stopped.
    Stopped,
    /// It had already ended.
    Over,
    /// There is no such job.
    NotFound,
}

/// Events or rejected requests that failed for the same cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseGroup {
    /// Their standing.
    pub standing: Standing,
    /// The cause of their failure.
    pub cause: Cause,
    /// The sink at which they failed.
    pub sink: Option<String>,
    /// How many there are.
    pub events: u64,
    /// When the first of them failed.
    pub first_at: Timestamp,
    /// When the last of them failed.
    pub last_at: Timestamp,
}

crate::domain::worded! {
    /// The standing of an event or request that needs attention.
    Standing, "standing" {
        /// Given up.
        Dead = "dead",
        /// Authentic, but not a notification.
        Quarantined = "quarantined",
        /// Not authentic, and stored to be verified again.
        Rejected = "rejected",
    }
}

/// The part of the store that keeps replay jobs and groups failures by cause.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Replays: Send + Sync + 'static {
    /// The number of events that a filter matches, counted up to `most`.
    async fn count(&self, filter: Filter, most: u32) -> Result<u64, Error>;

    /// What a replay of all events that a filter matches would do.
    async fn preview(&self, filter: Filter) -> Result<Preview, Error>;

    /// Begins a job and returns its number.
    async fn begin_job(&self, job: NewReplayJob) -> Result<i64, Error>;

    /// One job. `None` when there is no such job.
    async fn job(&self, id: i64) -> Result<Option<ReplayJob>, Error>;

    /// The newest jobs, newest first.
    async fn jobs(&self, limit: usize) -> Result<Vec<ReplayJob>, Error>;

    /// The present states of the events that a job has scheduled again.
    async fn progress(&self, id: i64) -> Result<Progress, Error>;

    /// Stops a job.
    async fn cancel_job(&self, id: i64, actor: String) -> Result<Cancelled, Error>;

    /// Claims the running jobs that this instance works on. A claim lasts for some seconds.
    async fn claim_jobs(&self) -> Result<Vec<ReplayJob>, Error>;

    /// Replays a job's next events and moves its cursor. Returns `false` when the job was cancelled or another instance
    /// has moved its cursor.
    async fn advance_job(&self, step: ReplayStep) -> Result<bool, Error>;

    /// What needs attention, grouped by cause.
    async fn causes(&self) -> Result<Vec<CauseGroup>, Error>;
}

/// The sinks that a replay delivers to: the requested ones, or else those of the event's own that are configured. A
/// sink that is not configured is never among them, because nothing would deliver to it.
///
/// # Errors
/// When none of the event's own sinks is configured any more.
pub fn addressees(
    from: ReplayFrom,
    wanted: &[String],
    had: &[String],
    configured: &[String],
) -> Result<Vec<String>, NoSink> {
    if !wanted.is_empty() {
        return Ok(wanted.to_vec());
    }
    let own = had.iter().filter(|sink| configured.contains(sink));
    let own: Vec<String> = own.cloned().collect();
    match from {
        // After retrieval the event goes to every sink that wants its outcome.
        ReplayFrom::Retrieve if !had.is_empty() && !configured.is_empty() => {
            Ok(configured.to_vec())
        }
        ReplayFrom::Retrieve | ReplayFrom::Deliver if !had.is_empty() && own.is_empty() => {
            Err(NoSink)
        }
        ReplayFrom::Retrieve | ReplayFrom::Deliver => Ok(own),
    }
}

/// A replay would have no sink to deliver to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of the sinks that it was for is configured any more; name one that is")]
pub struct NoSink;
