//! Replay jobs, and failures grouped by cause, statement by statement.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::counts::Tx;
use super::{SqliteStore, list, operate, row};
use crate::domain::{Cause, EventId, Millis};
use crate::journal::{
    Cancelled, CauseGroup, Error, Filter, JobState, MOST_COUNTED, NewReplayJob, Preview, Progress,
    ReplayJob, ReplayStep, Replayed, Replays, Standing, Tally, addressees,
};

const BEGIN: &str =
    "INSERT INTO replay_jobs (created_at, actor, reason, filter, step, sinks, rate, total)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const JOB: &str =
    "SELECT id, created_at, actor, reason, filter, step, sinks, rate, total, cursor, scheduled,
        no_content, not_retrieved, no_sink, state, ended_at, cancelled_by FROM replay_jobs";
const PROGRESS: &str = "SELECT coalesce(endings.state, 'pending'), count(*) FROM replayed
    LEFT JOIN endings ON endings.event = replayed.event WHERE job = ?1 GROUP BY 1";
const CANCEL: &str = "UPDATE replay_jobs SET state = 'cancelled', ended_at = ?2, cancelled_by = ?3
    WHERE id = ?1 AND state = 'running'";
const ADVANCE: &str = "UPDATE replay_jobs SET cursor = ?3, scheduled = scheduled + ?4, no_content = no_content + ?5,
        not_retrieved = not_retrieved + ?6, no_sink = no_sink + ?7, state = CASE WHEN ?8 THEN 'done' ELSE state END,
        ended_at = CASE WHEN ?8 THEN ?9 END
    WHERE id = ?1 AND cursor = ?2 AND state = 'running'";
/// Grouped by the failed delivery if there is one, so an event may be in two of these groups.
const CAUSES: &str = "SELECT 'dead', deliveries.cause_code, deliveries.sink, count(*), min(ended_at), max(ended_at)
        FROM deliveries JOIN endings ON endings.event = deliveries.event
        WHERE deliveries.state = 'dead' AND endings.state = 'dead' AND purged_at IS NULL GROUP BY 2, 3
    UNION ALL
    SELECT endings.state, cause_code, NULL, count(*), min(ended_at), max(ended_at) FROM endings
        WHERE endings.state <> 'done' AND purged_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event = endings.event AND deliveries.state = 'dead')
        GROUP BY 1, 2
    UNION ALL
    SELECT 'rejected', 'signature.no_match', NULL, count(*), min(received_at), max(received_at) FROM unauthentic
        HAVING count(*) > 0
    ORDER BY 4 DESC";

#[async_trait]
impl Replays for SqliteStore {
    async fn count(&self, filter: Filter, most: u32) -> Result<u64, Error> {
        self.query_readers
            .read(move |connection| list::count(connection, &filter, most))
            .await
    }

    async fn preview(&self, filter: Filter) -> Result<Preview, Error> {
        self.query_readers
            .read(move |connection| list::preview(connection, &filter))
            .await
    }

    async fn begin_job(&self, job: NewReplayJob) -> Result<i64, Error> {
        // Counted before the write, so that the writer does not wait for it.
        let total = self.count(job.filter.clone(), MOST_COUNTED).await?;
        self.writer()?.write(move |tx| begin(tx, &job, total)).await
    }

    async fn job(&self, id: i64) -> Result<Option<ReplayJob>, Error> {
        let found = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(&format!("{JOB} WHERE id = ?1"))?;
            let mut rows = statement.query([id])?;
            rows.next()?.map(job).transpose()
        };
        self.query_readers.read(found).await
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<ReplayJob>, Error> {
        let sql = format!("{JOB} ORDER BY id DESC LIMIT {limit}");
        self.query_readers
            .read(move |connection| jobs(connection, &sql))
            .await
    }

    async fn progress(&self, id: i64) -> Result<Progress, Error> {
        self.query_readers
            .read(move |connection| progress(connection, id))
            .await
    }

    async fn cancel_job(&self, id: i64, actor: String) -> Result<Cancelled, Error> {
        let now = Timestamp::now().as_millisecond();
        let cancel = move |tx: &Tx<'_>| {
            let mut statement = tx.prepare_cached(CANCEL)?;
            if statement.execute(params![id, now, actor])? == 1 {
                return Ok(Cancelled::Stopped);
            }
            let mut known = tx.prepare_cached("SELECT 1 FROM replay_jobs WHERE id = ?1")?;
            Ok(if known.exists([id])? {
                Cancelled::Over
            } else {
                Cancelled::NotFound
            })
        };
        self.writer()?.write(cancel).await
    }

    /// Only one process works on an embedded store, so every job belongs to it.
    async fn claim_jobs(&self) -> Result<Vec<ReplayJob>, Error> {
        let sql = format!("{JOB} WHERE state = 'running' ORDER BY id");
        self.readers
            .read(move |connection| jobs(connection, &sql))
            .await
    }

    async fn advance_job(&self, step: ReplayStep) -> Result<bool, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |tx| advance(tx, &step, now))
            .await
    }

    async fn causes(&self) -> Result<Vec<CauseGroup>, Error> {
        self.query_readers.read(causes).await
    }
}

fn begin(tx: &Tx<'_>, job: &NewReplayJob, total: u64) -> Result<i64, Error> {
    tx.prepare_cached(BEGIN)?.execute(params![
        job.created_at.as_millisecond(),
        job.actor,
        job.reason,
        job.filter.to_json().to_string(),
        job.from.as_str(),
        serde_json::to_string(&job.sinks).unwrap_or_default(),
        job.rate,
        total,
    ])?;
    Ok(tx.last_insert_rowid())
}

fn jobs(connection: &Connection, sql: &str) -> Result<Vec<ReplayJob>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut jobs = Vec::new();
    while let Some(found) = rows.next()? {
        jobs.push(job(found)?);
    }
    Ok(jobs)
}

fn job(found: &Row<'_>) -> Result<ReplayJob, Error> {
    let corrupt = || Error::Corrupt { what: "replay job" };
    let (filter, sinks): (String, String) = (found.get(4)?, found.get(6)?);
    let filter = serde_json::from_str(&filter).map_err(|_| corrupt())?;
    Ok(ReplayJob {
        id: found.get(0)?,
        asked: NewReplayJob {
            created_at: row::time(found.get(1)?)?,
            actor: found.get(2)?,
            reason: found.get(3)?,
            filter: Filter::from_json(&filter).map_err(|_| corrupt())?,
            from: row::word(found, 5, "replay job")?,
            sinks: serde_json::from_str(&sinks).map_err(|_| corrupt())?,
            rate: found.get(7)?,
        },
        total: found.get(8)?,
        cursor: found.get(9)?,
        tally: Tally {
            scheduled: found.get(10)?,
            no_content: found.get(11)?,
            not_retrieved: found.get(12)?,
            no_sink: found.get(13)?,
        },
        state: row::word::<JobState>(found, 14, "job state")?,
        ended_at: row::optional_time(found.get(15)?)?,
        cancelled_by: found.get(16)?,
    })
}

fn progress(connection: &Connection, id: i64) -> Result<Progress, Error> {
    let mut statement = connection.prepare_cached(PROGRESS)?;
    let mut rows = statement.query([id])?;
    let mut progress = Progress::default();
    while let Some(found) = rows.next()? {
        progress.add(&found.get::<_, String>(0)?, found.get(1)?);
    }
    Ok(progress)
}

/// Replays the events and moves the cursor, or does nothing.
fn advance(tx: &Tx<'_>, step: &ReplayStep, now: Millis) -> Result<bool, Error> {
    let mut find = tx.prepare_cached(&format!("{JOB} WHERE id = ?1"))?;
    let mut rows = find.query([step.job])?;
    let Some(job) = rows.next()?.map(job).transpose()? else {
        return Ok(false);
    };
    if job.cursor != step.cursor || job.state != JobState::Running {
        return Ok(false);
    }
    let mut tally = Tally::default();
    for id in &step.events {
        match replay(tx, *id, &job, &step.configured, now)? {
            None => tally.no_sink += 1,
            Some(Replayed::Scheduled) => tally.scheduled += 1,
            Some(Replayed::NotRetrieved) => tally.not_retrieved += 1,
            Some(Replayed::NotFound | Replayed::NoContent) => tally.no_content += 1,
        }
    }
    let moved = tx.prepare_cached(ADVANCE)?.execute(params![
        step.job,
        step.cursor,
        step.next,
        tally.scheduled,
        tally.no_content,
        tally.not_retrieved,
        tally.no_sink,
        step.is_last,
        Timestamp::now().as_millisecond(),
    ])?;
    Ok(moved == 1)
}

/// Replays one event of a job. `None` when it has no sink to go to.
fn replay(
    tx: &Tx<'_>,
    id: EventId,
    job: &ReplayJob,
    configured: &[String],
    now: Millis,
) -> Result<Option<Replayed>, Error> {
    let asked = &job.asked;
    let Some(seq) = row::number_of(tx, id)? else {
        return Ok(Some(Replayed::NotFound));
    };
    let had = operate::sinks_of(tx, seq)?;
    let Ok(sinks) = addressees(asked.from, &asked.sinks, &had, configured) else {
        return Ok(None);
    };
    let replayed = operate::replay(tx, id, asked.from, &sinks, &asked.actor, now)?;
    if replayed == Replayed::Scheduled {
        tx.prepare_cached("INSERT OR IGNORE INTO replayed (job, event) VALUES (?1, ?2)")?
            .execute(params![job.id, seq])?;
    }
    Ok(Some(replayed))
}

fn causes(connection: &Connection) -> Result<Vec<CauseGroup>, Error> {
    let mut statement = connection.prepare_cached(CAUSES)?;
    let mut rows = statement.query([])?;
    let mut groups = Vec::new();
    while let Some(found) = rows.next()? {
        let cause: Option<Cause> = row::optional_word(found, 1, "cause")?;
        groups.push(CauseGroup {
            standing: row::word::<Standing>(found, 0, "standing")?,
            // A failure without a cause was recorded by an instance of an earlier version.
            cause: cause.unwrap_or(Cause::Unclassified),
            sink: found.get(2)?,
            events: found.get(3)?,
            first_at: row::time(found.get(4)?)?,
            last_at: row::time(found.get(5)?)?,
        });
    }
    Ok(groups)
}
