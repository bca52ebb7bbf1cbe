//! The JSON of replay jobs, their previews, and causes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::openapi::query::FilterFields;
use super::openapi::words;
use crate::domain;
use crate::journal::{self, CauseGroup, Preview, PreviewGroup, Progress, ReplayFrom, ReplayJob};

/// A replay job.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the admin API's replay job, field by field")]
#[schema(as = ReplayJob)]
pub struct Job {
    pub id: i64,
    #[schema(value_type = words::JobState)]
    pub state: &'static str,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub actor: String,
    pub reason: Option<String>,
    #[schema(value_type = FilterFields)]
    pub filter: Value,
    #[schema(value_type = words::ReplayFrom)]
    pub from: &'static str,
    pub sinks: Vec<String>,
    pub rate: Option<u32>,
    pub total: u64,
    pub scheduled: u64,
    pub skipped: Skipped,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<JobProgress>,
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    pub cancelled_by: Option<String>,
}

/// Events that were not replayed, by reason.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "named after what they count")]
pub struct Skipped {
    pub no_content: u64,
    pub not_retrieved: u64,
    pub no_sink: u64,
}

/// The states of the events that a job has made due again.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "named after what they count")]
pub struct JobProgress {
    pub in_progress: u64,
    pub done: u64,
    pub dead: u64,
}

impl Job {
    /// A job, with the states of its events if they were looked up.
    pub fn of(job: &ReplayJob, progress: Option<&Progress>) -> Self {
        let asked = &job.asked;
        Self {
            id: job.id,
            state: job.state.as_str(),
            created_at: asked.created_at.to_string(),
            actor: asked.actor.clone(),
            reason: asked.reason.clone(),
            filter: asked.filter.to_json(),
            from: asked.from.as_str(),
            sinks: asked.sinks.clone(),
            rate: asked.rate,
            total: job.total,
            scheduled: job.tally.scheduled,
            skipped: Skipped::of(&job.tally),
            progress: progress.map(|progress| JobProgress {
                in_progress: progress.in_progress,
                done: progress.done,
                dead: progress.dead,
            }),
            ended_at: job.ended_at.map(|at| at.to_string()),
            cancelled_by: job.cancelled_by.clone(),
        }
    }
}

impl Skipped {
    fn of(tally: &journal::Tally) -> Self {
        Self {
            no_content: tally.no_content,
            not_retrieved: tally.not_retrieved,
            no_sink: tally.no_sink,
        }
    }
}

/// The effect of a replay of all events that match a filter.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "named after what they count")]
#[schema(as = ReplayPreview)]
pub struct Planned {
    pub dry_run: bool,
    pub events: u64,
    /// Whether there may be more events than were counted.
    pub is_capped: bool,
    pub scheduled: u64,
    pub skipped: Skipped,
    #[schema(value_type = BTreeMap<String, u64>)]
    pub by_state: BTreeMap<&'static str, u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    pub by_outcome: BTreeMap<&'static str, u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    pub by_cause: BTreeMap<&'static str, u64>,
    #[schema(format = DateTime)]
    pub oldest: Option<String>,
    #[schema(format = DateTime)]
    pub newest: Option<String>,
}

impl Planned {
    /// The counts of a preview for a replay that starts at `from`.
    pub fn of(preview: &Preview, from: ReplayFrom) -> Self {
        let tally = preview.tally(from);
        let by = |word: fn(&PreviewGroup) -> Option<&'static str>| {
            let mut counts = BTreeMap::new();
            for group in &preview.groups {
                if let Some(word) = word(group) {
                    *counts.entry(word).or_default() += group.events;
                }
            }
            counts
        };
        let groups = &preview.groups;
        let shown = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            dry_run: true,
            events: preview.total(),
            is_capped: preview.total() >= u64::from(journal::MOST_COUNTED),
            scheduled: tally.scheduled,
            skipped: Skipped::of(&tally),
            by_state: by(|group| Some(group.state.as_str())),
            by_outcome: by(|group| Some(group.outcome.as_str())),
            by_cause: by(|group| group.cause.map(|cause| cause.as_str())),
            oldest: shown(groups.iter().map(|group| group.oldest).min()),
            newest: shown(groups.iter().map(|group| group.newest).max()),
        }
    }
}

/// Events, or kept requests, that failed for the same cause.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[allow(missing_docs, reason = "the admin API's cause, field by field")]
#[schema(as = CauseGroup)]
pub struct Cause {
    #[schema(value_type = words::Standing)]
    pub state: &'static str,
    #[schema(value_type = words::Stage)]
    pub stage: &'static str,
    #[schema(value_type = words::Cause)]
    pub cause: &'static str,
    pub title: &'static str,
    pub advice: &'static str,
    pub sink: Option<String>,
    pub events: u64,
    #[schema(format = DateTime)]
    pub first_at: String,
    #[schema(format = DateTime)]
    pub last_at: String,
    /// The note of an operator; null if there is none.
    pub note: Option<CauseNote>,
}

/// The note of an operator on a cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CauseNote {
    /// The text of the note.
    pub text: String,
    /// Who wrote it.
    pub actor: String,
    /// When it was written.
    #[schema(format = DateTime)]
    pub at: String,
}

/// The failures that need attention.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Causes {
    /// The groups, the largest first.
    pub causes: Vec<Cause>,
}

/// The newest replay jobs.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ReplayJobs)]
pub struct Jobs {
    /// The jobs, the newest first.
    pub replays: Vec<Job>,
}

/// The answer to a caller that waited for a job.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ReplayEnd)]
pub struct JobEnd {
    /// The job's number.
    pub id: i64,
    /// How many events were made due again.
    pub scheduled: u64,
    /// How many events were not.
    pub skipped: u64,
}

impl Cause {
    /// A group, with its note if it is among these.
    pub fn of(group: &CauseGroup, notes: &[journal::CauseNote]) -> Self {
        Self {
            state: group.standing.as_str(),
            stage: group.cause.stage(),
            cause: group.cause.as_str(),
            title: group.cause.title(),
            advice: group.cause.advice(),
            sink: group.sink.clone(),
            events: group.events,
            first_at: group.first_at.to_string(),
            last_at: group.last_at.to_string(),
            note: CauseNote::on(group.cause, group.sink.as_deref(), notes),
        }
    }
}

impl CauseNote {
    /// The note on this cause and sink, if it is among these.
    pub fn on(
        cause: domain::Cause,
        sink: Option<&str>,
        notes: &[journal::CauseNote],
    ) -> Option<Self> {
        let mut notes = notes.iter();
        let note = notes.find(|note| note.cause == cause && note.sink.as_deref() == sink)?;
        Some(Self {
            text: note.text.clone(),
            actor: note.actor.clone(),
            at: note.at.to_string(),
        })
    }
}
