//! Replay jobs, and failures grouped by cause, statement by statement.

use async_trait::async_trait;
use deadpool_postgres::{Client, Transaction};
use tokio_postgres::Row;

use super::{PostgresStore, list, operate, row};
use crate::domain::{Cause, EventId};
use crate::journal::{
    Cancelled, CauseGroup, Error, Filter, JobState, MOST_COUNTED, NewReplayJob, Preview, Progress,
    ReplayJob, ReplayStep, Replayed, Replays, Tally, addressees,
};

const BEGIN: &str =
    "INSERT INTO replay_jobs (created_at, actor, reason, filter, step, sinks, rate, total)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
const JOB: &str =
    "SELECT id, created_at, actor, reason, filter, step, sinks, rate, total, cursor, scheduled,
    no_content, not_retrieved, no_sink, state, ended_at, cancelled_by FROM replay_jobs";
const PROGRESS: &str =
    "SELECT coalesce(endings.state, 'pending') AS state, count(*) AS n FROM replayed
    LEFT JOIN endings ON endings.event = replayed.event WHERE job = $1 GROUP BY 1";
const CANCEL: &str =
    "UPDATE replay_jobs SET state = 'cancelled', ended_at = server_millis(), cancelled_by = $2
    WHERE id = $1 AND state = 'running'";
/// How long an instance's claim on a job lasts, unless it is renewed.
const LEASE_MS: i64 = 10_000;
const CLAIM: &str = "UPDATE replay_jobs SET owner = $1, leased_until = server_millis() + $2
    WHERE state = 'running' AND (owner = $1 OR leased_until < server_millis())";
const ADVANCE: &str = "UPDATE replay_jobs SET cursor = $2, scheduled = scheduled + $3, no_content = no_content + $4,
        not_retrieved = not_retrieved + $5, no_sink = no_sink + $6, state = CASE WHEN $7 THEN 'done' ELSE state END,
        ended_at = CASE WHEN $7 THEN server_millis() END
    WHERE id = $1";
/// Grouped by the failed delivery if there is one, so an event may be in two of these groups.
const CAUSES: &str = "SELECT 'dead' AS standing, deliveries.cause_code, deliveries.sink, count(*) AS n,
        min(ended_at) AS first_at, max(ended_at) AS last_at
        FROM deliveries JOIN endings ON endings.event = deliveries.event
        WHERE deliveries.state = 'dead' AND endings.state = 'dead' AND purged_at IS NULL GROUP BY 2, 3
    UNION ALL
    SELECT endings.state, cause_code, NULL, count(*), min(ended_at), max(ended_at) FROM endings
        WHERE endings.state <> 'done' AND purged_at IS NULL
            AND NOT EXISTS (SELECT FROM deliveries WHERE deliveries.event = endings.event AND deliveries.state = 'dead')
        GROUP BY 1, 2
    UNION ALL
    SELECT 'rejected', 'signature.no_match', NULL, count(*), min(received_at), max(received_at) FROM unauthentic
        HAVING count(*) > 0
    ORDER BY n DESC";

#[async_trait]
impl Replays for PostgresStore {
    async fn count(&self, filter: Filter, most: u32) -> Result<u64, Error> {
        self.query(async |client| list::count(client, &filter, most).await)
            .await
    }

    async fn preview(&self, filter: Filter) -> Result<Preview, Error> {
        self.query(async |client| list::preview(client, &filter).await)
            .await
    }

    async fn begin_job(&self, job: NewReplayJob) -> Result<i64, Error> {
        let total = self.count(job.filter.clone(), MOST_COUNTED).await?;
        self.work(async |client| begin(client, &job, total).await)
            .await
    }

    async fn job(&self, id: i64) -> Result<Option<ReplayJob>, Error> {
        let sql = format!("{JOB} WHERE id = {id}");
        let found = self.query(async |client| jobs(client, &sql).await).await?;
        Ok(found.into_iter().next())
    }

    async fn jobs(&self, limit: usize) -> Result<Vec<ReplayJob>, Error> {
        let sql = format!("{JOB} ORDER BY id DESC LIMIT {}", row::limit(limit));
        self.query(async |client| jobs(client, &sql).await).await
    }

    async fn progress(&self, id: i64) -> Result<Progress, Error> {
        self.query(async |client| progress(client, id).await).await
    }

    async fn cancel_job(&self, id: i64, actor: String) -> Result<Cancelled, Error> {
        self.work(async |client| cancel(client, id, &actor).await)
            .await
    }

    async fn claim_jobs(&self) -> Result<Vec<ReplayJob>, Error> {
        if !self.alive.is_valid() {
            return Ok(Vec::new());
        }
        let owner = self.owner;
        self.work(async |client: &mut Client| {
            let claim = client.prepare_cached(CLAIM).await?;
            if client.execute(&claim, &[&owner, &LEASE_MS]).await? == 0 {
                return Ok(Vec::new());
            }
            let sql = format!("{JOB} WHERE state = 'running' AND owner = '{owner}' ORDER BY id");
            jobs(client, &sql).await
        })
        .await
    }

    async fn advance_job(&self, step: ReplayStep) -> Result<bool, Error> {
        self.work(async |client| advance(client, &step).await).await
    }

    async fn causes(&self) -> Result<Vec<CauseGroup>, Error> {
        self.query(async |client| causes(client).await).await
    }
}

async fn begin(client: &Client, job: &NewReplayJob, total: u64) -> Result<i64, Error> {
    let begun = client
        .query_one(
            BEGIN,
            &[
                &job.created_at.as_millisecond(),
                &row::text(&job.actor),
                &job.reason.as_deref().map(row::text),
                &row::text(&job.filter.to_json().to_string()),
                &job.from.as_str(),
                &job.sinks,
                &job.rate.map(|rate| i32::try_from(rate).unwrap_or(i32::MAX)),
                &i64::try_from(total).unwrap_or(i64::MAX),
            ],
        )
        .await?;
    row::get(&begun, "id")
}

async fn jobs(client: &Client, sql: &str) -> Result<Vec<ReplayJob>, Error> {
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(job).collect()
}

fn job(found: &Row) -> Result<ReplayJob, Error> {
    let corrupt = || row::corrupt("replay job");
    let filter = serde_json::from_str(row::get(found, "filter")?).map_err(|_| corrupt())?;
    let rate: Option<i32> = row::get(found, "rate")?;
    Ok(ReplayJob {
        id: row::get(found, "id")?,
        asked: NewReplayJob {
            created_at: row::time(row::get(found, "created_at")?)?,
            actor: row::get(found, "actor")?,
            reason: row::get(found, "reason")?,
            filter: Filter::from_json(&filter).map_err(|_| corrupt())?,
            from: row::word(found, "step")?,
            sinks: row::get(found, "sinks")?,
            rate: rate.and_then(|rate| u32::try_from(rate).ok()),
        },
        total: row::total(found, "total")?,
        cursor: row::get(found, "cursor")?,
        tally: Tally {
            scheduled: row::total(found, "scheduled")?,
            no_content: row::total(found, "no_content")?,
            not_retrieved: row::total(found, "not_retrieved")?,
            no_sink: row::total(found, "no_sink")?,
        },
        state: row::word(found, "state")?,
        ended_at: row::optional_time(row::get(found, "ended_at")?)?,
        cancelled_by: row::get(found, "cancelled_by")?,
    })
}

async fn progress(client: &Client, id: i64) -> Result<Progress, Error> {
    let statement = client.prepare_cached(PROGRESS).await?;
    let mut progress = Progress::default();
    for found in client.query(&statement, &[&id]).await? {
        progress.add(row::get(&found, "state")?, row::total(&found, "n")?);
    }
    Ok(progress)
}

async fn cancel(client: &Client, id: i64, actor: &str) -> Result<Cancelled, Error> {
    let actor = row::text(actor);
    if client.execute(CANCEL, &[&id, &actor]).await? == 1 {
        return Ok(Cancelled::Stopped);
    }
    let known = client
        .query_opt("SELECT FROM replay_jobs WHERE id = $1", &[&id])
        .await?;
    Ok(match known {
        Some(_) => Cancelled::Over,
        None => Cancelled::NotFound,
    })
}

/// Replays the events and moves the cursor, or does nothing.
async fn advance(client: &mut Client, step: &ReplayStep) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let sql = format!("{JOB} WHERE id = $1 FOR NO KEY UPDATE");
    let Some(found) = transaction.query_opt(&sql, &[&step.job]).await? else {
        return Ok(false);
    };
    let job = job(&found)?;
    if job.cursor != step.cursor || job.state != JobState::Running {
        return Ok(false);
    }
    let mut tally = Tally::default();
    for id in &step.events {
        match replay(&transaction, *id, &job, &step.configured).await? {
            None => tally.no_sink += 1,
            Some(Replayed::Scheduled) => tally.scheduled += 1,
            Some(Replayed::NotRetrieved) => tally.not_retrieved += 1,
            Some(Replayed::NotFound | Replayed::NoContent) => tally.no_content += 1,
        }
    }
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    transaction
        .execute(
            ADVANCE,
            &[
                &step.job,
                &step.next,
                &number(tally.scheduled),
                &number(tally.no_content),
                &number(tally.not_retrieved),
                &number(tally.no_sink),
                &step.is_last,
            ],
        )
        .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Replays one event of a job. `None` when it has no sink to go to.
async fn replay(
    transaction: &Transaction<'_>,
    id: EventId,
    job: &ReplayJob,
    configured: &[String],
) -> Result<Option<Replayed>, Error> {
    let asked = &job.asked;
    let Some(replayable) = operate::find(transaction, id).await? else {
        return Ok(Some(Replayed::NotFound));
    };
    let had = operate::sinks_of(transaction, replayable.seq).await?;
    let Ok(sinks) = addressees(asked.from, &asked.sinks, &had, configured) else {
        return Ok(None);
    };
    let replayed =
        operate::replay_found(transaction, &replayable, asked.from, &sinks, &asked.actor).await?;
    if replayed == Replayed::Scheduled {
        transaction
            .execute(
                "INSERT INTO replayed (job, event) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&job.id, &replayable.seq],
            )
            .await?;
    }
    Ok(Some(replayed))
}

async fn causes(client: &Client) -> Result<Vec<CauseGroup>, Error> {
    let rows = client.query(CAUSES, &[]).await?;
    rows.iter()
        .map(|found| {
            let cause: Option<Cause> = row::optional_word(found, "cause_code")?;
            Ok(CauseGroup {
                standing: row::word(found, "standing")?,
                // A failure without a cause was recorded by an instance of an earlier version.
                cause: cause.unwrap_or(Cause::Unclassified),
                sink: row::get(found, "sink")?,
                events: row::total(found, "n")?,
                first_at: row::time(row::get(found, "first_at")?)?,
                last_at: row::time(row::get(found, "last_at")?)?,
            })
        })
        .collect()
}
