//! Sinks that an operator has paused. The statements that claim deliveries check for a pause themselves (see `work`).

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::counts::Tx;
use super::{SqliteStore, row};
use crate::domain::Millis;
use crate::journal::lease::WHEN_RETRIEVED;
use crate::journal::{Error, Pause, Pauses, Task};

/// The deliveries that one transaction makes due, limited so that no notification waits for long.
const BATCH: usize = 200;
const PAUSED: &str =
    "SELECT sink, since, actor, reason FROM sink_pauses WHERE resumed_at IS NULL ORDER BY sink";
const STANDING: &str =
    "SELECT sink, since, actor, reason FROM sink_pauses WHERE sink = ?1 AND resumed_at IS NULL";
const PAUSE: &str =
    "INSERT OR REPLACE INTO sink_pauses (sink, since, actor, reason) VALUES (?1, ?2, ?3, ?4)";
const RESUME: &str = "UPDATE sink_pauses SET resumed_at = ?2 WHERE sink = ?1";
/// Makes deliveries due now that were to be tried later. Those that wait for retrieval are left waiting.
const HURRY: &str = "UPDATE work SET due = ?2 WHERE task = ?1 AND event IN
    (SELECT event FROM work INDEXED BY work_due WHERE owner IS NULL AND task = ?1 AND due > ?2 AND due < ?3 LIMIT ?4)";

#[async_trait]
impl Pauses for SqliteStore {
    async fn paused(&self) -> Result<Vec<Pause>, Error> {
        self.query_readers.read(paused).await
    }

    async fn pause(
        &self,
        sink: String,
        actor: String,
        reason: Option<String>,
    ) -> Result<Option<Pause>, Error> {
        let now = self.clock.monotonic();
        self.writer()?
            .write(move |tx| pause(tx, &sink, &actor, reason.as_deref(), now))
            .await
    }

    async fn resume(&self, sink: String) -> Result<Option<Pause>, Error> {
        let (writer, now) = (self.writer()?, self.clock.monotonic());
        let task = Task::Deliver(sink.clone()).to_string();
        let ended = writer.write(move |tx| resume(tx, &sink, now)).await?;
        if ended.is_none() {
            return Ok(None);
        }
        loop {
            let task = task.clone();
            let hurried = writer.write(move |tx| hurry(tx, &task, now)).await?;
            if hurried < BATCH {
                return Ok(ended);
            }
        }
    }
}

/// Whether a sink is paused.
pub(super) fn is_paused(tx: &Tx<'_>, sink: &str) -> Result<bool, Error> {
    Ok(tx.prepare_cached(STANDING)?.exists([sink])?)
}

fn paused(connection: &Connection) -> Result<Vec<Pause>, Error> {
    let mut statement = connection.prepare_cached(PAUSED)?;
    let mut rows = statement.query([])?;
    let mut paused = Vec::new();
    while let Some(found) = rows.next()? {
        paused.push(read(found)?);
    }
    Ok(paused)
}

fn standing(tx: &Tx<'_>, sink: &str) -> Result<Option<Pause>, Error> {
    let mut statement = tx.prepare_cached(STANDING)?;
    let mut rows = statement.query([sink])?;
    rows.next()?.map(read).transpose()
}

fn pause(
    tx: &Tx<'_>,
    sink: &str,
    actor: &str,
    reason: Option<&str>,
    now: Millis,
) -> Result<Option<Pause>, Error> {
    let standing = standing(tx, sink)?;
    if standing.is_none() {
        tx.prepare_cached(PAUSE)?
            .execute(params![sink, now, actor, reason])?;
    }
    Ok(standing)
}

fn resume(tx: &Tx<'_>, sink: &str, now: Millis) -> Result<Option<Pause>, Error> {
    let standing = standing(tx, sink)?;
    if standing.is_some() {
        tx.prepare_cached(RESUME)?.execute(params![sink, now])?;
    }
    Ok(standing)
}

fn hurry(tx: &Tx<'_>, task: &str, now: Millis) -> Result<usize, Error> {
    let mut hurry = tx.prepare_cached(HURRY)?;
    Ok(hurry.execute(params![task, now, WHEN_RETRIEVED, BATCH])?)
}

fn read(row: &Row<'_>) -> Result<Pause, Error> {
    Ok(Pause {
        sink: row.get(0)?,
        since: row::time(row.get(1)?)?,
        actor: row.get(2)?,
        reason: row.get(3)?,
    })
}
