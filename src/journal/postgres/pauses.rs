//! Sinks that an operator has paused. The statements that claim deliveries check for a pause themselves (see `work`).

use async_trait::async_trait;
use deadpool_postgres::Client;
use tokio_postgres::Row;

use super::{PostgresStore, row};
use crate::journal::lease::WHEN_RETRIEVED;
use crate::journal::{Error, Pause, Pauses, Task};

const PAUSED: &str =
    "SELECT sink, since, actor, reason FROM sink_pauses WHERE resumed_at IS NULL ORDER BY sink";
/// A pause in force is locked and stays as it is; one that has ended begins again.
const PAUSE: &str = "INSERT INTO sink_pauses (sink, since, actor, reason) VALUES ($1, server_millis(), $2, $3)
    ON CONFLICT (sink) DO UPDATE SET since = excluded.since, actor = excluded.actor, reason = excluded.reason,
        resumed_at = NULL
    WHERE sink_pauses.resumed_at IS NOT NULL";
const STANDING: &str =
    "SELECT sink, since, actor, reason FROM sink_pauses WHERE sink = $1 AND resumed_at IS NULL";
const RESUME: &str =
    "UPDATE sink_pauses SET resumed_at = server_millis() WHERE sink = $1 AND resumed_at IS NULL
    RETURNING sink, since, actor, reason";
/// Makes deliveries due now that were to be tried later. Those that wait for retrieval are left waiting. A row that is
/// locked is being changed, and is handled after that.
const HURRY: &str = "WITH later AS (
        SELECT event, task FROM work
        WHERE owner IS NULL AND task = $1 AND due > server_millis() AND due < $2 FOR UPDATE SKIP LOCKED)
    UPDATE work SET due = server_millis() FROM later WHERE work.event = later.event AND work.task = later.task";

#[async_trait]
impl Pauses for PostgresStore {
    async fn paused(&self) -> Result<Vec<Pause>, Error> {
        self.query(async |client| paused(client).await).await
    }

    async fn pause(
        &self,
        sink: String,
        actor: String,
        reason: Option<String>,
    ) -> Result<Option<Pause>, Error> {
        self.work(async |client| pause(client, &sink, &actor, reason.as_deref()).await)
            .await
    }

    async fn resume(&self, sink: String) -> Result<Option<Pause>, Error> {
        self.work(async |client| resume(client, &sink).await).await
    }
}

async fn paused(client: &Client) -> Result<Vec<Pause>, Error> {
    let statement = client.prepare_cached(PAUSED).await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter().map(read).collect()
}

async fn pause(
    client: &mut Client,
    sink: &str,
    actor: &str,
    reason: Option<&str>,
) -> Result<Option<Pause>, Error> {
    let transaction = client.transaction().await?;
    let pause = transaction.prepare_cached(PAUSE).await?;
    let (actor, reason) = (row::text(actor), reason.map(row::text));
    let paused = transaction
        .execute(&pause, &[&sink, &actor, &reason])
        .await?;
    let standing = if paused == 0 {
        let standing = transaction.prepare_cached(STANDING).await?;
        transaction.query_opt(&standing, &[&sink]).await?
    } else {
        None
    };
    let standing = standing.as_ref().map(read).transpose()?;
    transaction.commit().await?;
    Ok(standing)
}

async fn resume(client: &mut Client, sink: &str) -> Result<Option<Pause>, Error> {
    let transaction = client.transaction().await?;
    let resume = transaction.prepare_cached(RESUME).await?;
    let ended = transaction.query_opt(&resume, &[&sink]).await?;
    let ended = ended.as_ref().map(read).transpose()?;
    if ended.is_some() {
        let task = Task::Deliver(sink.to_owned()).to_string();
        let hurry = transaction.prepare_cached(HURRY).await?;
        transaction
            .execute(&hurry, &[&task, &WHEN_RETRIEVED])
            .await?;
    }
    transaction.commit().await?;
    Ok(ended)
}

fn read(row: &Row) -> Result<Pause, Error> {
    Ok(Pause {
        sink: row::get(row, "sink")?,
        since: row::time(row::get(row, "since")?)?,
        actor: row::get(row, "actor")?,
        reason: row::get(row, "reason")?,
    })
}
