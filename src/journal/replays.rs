//! Replays of all that a filter finds, as jobs: they are looked over before they begin, go at a pace, can be stopped, and
//! survive restarts. And the causes that lead to them: what did not succeed, grouped.
//!
//! A job goes from the oldest event to the newest. Whoever begins it bounds its filter in time, so that what comes
//! meanwhile is not touched. Each step replays events and moves the job's cursor in one transaction: no event is replayed
//! twice by one job, whoever works on it.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Error, Filter, ReplayFrom};
use crate::domain::{Cause, EventId, EventState, Outcome};

/// A job to begin.
#[derive(Debug, Clone)]
pub struct NewReplayJob {
    /// Which events.
    pub filter: Filter,
    /// Where their replay starts.
    pub from: ReplayFrom,
    /// To which sinks; to those that they had where there is none.
    pub sinks: Vec<String>,
    /// Events a second; as many as can be where there is none.
    pub rate: Option<u32>,
    /// Who begins it.
    pub actor: String,
    /// Why, in his own words.
    pub reason: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// A job as it stands.
#[derive(Debug, Clone)]
pub struct ReplayJob {
    /// Its number.
    pub id: i64,
    /// What was asked for.
    pub asked: NewReplayJob,
    /// Where it stands.
    pub state: JobState,
    /// How many events the filter found at the start, at most [`MOST_COUNTED`].
    pub total: u64,
    /// The last event that was looked at.
    pub cursor: i64,
    /// How many events were made due again, and how many were not.
    pub tally: Tally,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who stopped it.
    pub cancelled_by: Option<String>,
}

crate::domain::worded! {
    /// Where a job stands.
    JobState, "job state" {
        /// It goes on.
        Running = "running",
        /// All of its events were looked at.
        Done = "done",
        /// Somebody stopped it.
        Cancelled = "cancelled",
    }
}

/// What became of a job's events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Made due again.
    pub scheduled: u64,
    /// Passed over: the content is purged, or it is no notification.
    pub no_content: u64,
    /// Passed over: what it leads to was never all retrieved.
    pub not_retrieved: u64,
    /// Passed over: none of its sinks is configured any more.
    pub no_sink: u64,
}

impl Tally {
    /// How many were passed over.
    pub fn skipped(&self) -> u64 {
        self.no_content + self.not_retrieved + self.no_sink
    }
}

/// Where the events stand that a job made due again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Not over yet.
    pub in_progress: u64,
    /// Done.
    pub done: u64,
    /// Dead again.
    pub dead: u64,
}

impl Progress {
    /// Counts events in this state.
    pub(super) fn add(&mut self, state: &str, events: u64) {
        match state {
            "done" => self.done += events,
            "dead" => self.dead += events,
            _ => self.in_progress += events,
        }
    }
}

/// Most events that are counted for a preview.
pub const MOST_COUNTED: u32 = 100_000;

/// What a job would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// The events that the filter finds, in groups; at most [`MOST_COUNTED`] are counted.
    pub groups: Vec<PreviewGroup>,
}

/// Events that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewGroup {
    /// Where they stand.
    pub state: EventState,
    /// How their sessions ended.
    pub outcome: Outcome,
    /// What they did not succeed for.
    pub cause: Option<Cause>,
    /// Whether their content is there, and they are notifications.
    pub has_content: bool,
    /// Whether what they lead to was all retrieved.
    pub is_retrieved: bool,
    /// How many there are.
    pub events: u64,
    /// When the first was received.
    pub oldest: Timestamp,
    /// When the last was received.
    pub newest: Timestamp,
}

impl Preview {
    /// How many events there are.
    pub fn total(&self) -> u64 {
        self.groups.iter().map(|group| group.events).sum()
    }

    /// What would become of them. Which of their sinks are still configured is seen only then.
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
    /// Where its cursor stands. Where it does not any more, nothing is done.
    pub cursor: i64,
    /// Where it stands afterwards.
    pub next: i64,
    /// The events in between.
    pub events: Vec<EventId>,
    /// Whether these are the last.
    pub is_last: bool,
    /// The sinks that are configured.
    pub configured: Vec<String>,
}

/// What came of a wish to stop a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It has stopped.
    Stopped,
    /// It was over.
    Over,
    /// There is no such job.
    NotFound,
}

/// Events or kept requests that did not succeed for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseGroup {
    /// Where they stand.
    pub standing: Standing,
    /// What they did not succeed for.
    pub cause: Cause,
    /// The sink that they failed at.
    pub sink: Option<String>,
    /// How many there are.
    pub events: u64,
    /// When the first of them ended.
    pub first_at: Timestamp,
    /// When the last of them ended.
    pub last_at: Timestamp,
}

crate::domain::worded! {
    /// Where those stand that need attention.
    Standing, "standing" {
        /// Given up.
        Dead = "dead",
        /// Authentic, and no notification.
        Quarantined = "quarantined",
        /// Not authentic, and kept to be verified again.
        Rejected = "rejected",
    }
}

/// The part of the store that knows of replay jobs and causes.
#[async_trait]
#[allow(
    clippy::missing_errors_doc,
    reason = "each fails with the same Error, when the store does"
)]
pub trait Replays: Send + Sync + 'static {
    /// How many events a filter finds, at most `most`.
    async fn count(&self, filter: Filter, most: u32) -> Result<u64, Error>;

    /// What a replay of all that a filter finds would do.
    async fn preview(&self, filter: Filter) -> Result<Preview, Error>;

    /// Begins a job and gives its number.
    async fn begin_job(&self, job: NewReplayJob) -> Result<i64, Error>;

    /// One job. `None` where there is none.
    async fn job(&self, id: i64) -> Result<Option<ReplayJob>, Error>;

    /// The newest jobs, the newest first.
    async fn jobs(&self, limit: usize) -> Result<Vec<ReplayJob>, Error>;

    /// Where the events stand that a job made due again.
    async fn progress(&self, id: i64) -> Result<Progress, Error>;

    /// Stops a job.
    async fn cancel_job(&self, id: i64, actor: String) -> Result<Cancelled, Error>;

    /// The running jobs that are this instance's to work on, from now on for some seconds.
    async fn claim_jobs(&self) -> Result<Vec<ReplayJob>, Error>;

    /// Replays a job's next events and moves its cursor. `false` where it has stopped, or somebody else did.
    async fn advance_job(&self, step: ReplayStep) -> Result<bool, Error>;

    /// What needs attention, by cause.
    async fn causes(&self) -> Result<Vec<CauseGroup>, Error>;
}

/// The sinks that a replay is for: those that are wanted, else those of the event's own that are configured. One that is
/// not configured is never among them: nobody would deliver to it.
///
/// # Errors
/// When all of the event's own are gone.
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
        // After the retrieval each sink that wants the event gets it.
        ReplayFrom::Retrieve if !had.is_empty() && !configured.is_empty() => {
            Ok(configured.to_vec())
        }
        ReplayFrom::Retrieve | ReplayFrom::Deliver if !had.is_empty() && own.is_empty() => {
            Err(NoSink)
        }
        ReplayFrom::Retrieve | ReplayFrom::Deliver => Ok(own),
    }
}

/// A replay would lead nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of the sinks that it was for is configured any more; name one that is")]
pub struct NoSink;
