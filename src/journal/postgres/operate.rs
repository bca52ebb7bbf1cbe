//! Changes that operators make: replays and purges.

use std::collections::HashSet;

use deadpool_postgres::{Client, Transaction};

use super::{progress, row};
use crate::domain::{EventId, EventState};
use crate::journal::lease::{WHEN_RETRIEVED, new_fence};
use crate::journal::{Error, ReplayFrom, Replayed};

const FIND: &str = "SELECT seq, body IS NOT NULL AS has_content, junk IS NOT NULL AS is_junk,
        EXISTS (SELECT FROM retrievals WHERE event = seq AND retrieved_at IS NOT NULL) AS is_retrieved
    FROM receipts WHERE id = $1 FOR NO KEY UPDATE";
const MARK: &str = "INSERT INTO replays (event, step, sinks) VALUES ($1, $2, $3)
    ON CONFLICT (event) DO UPDATE SET step = excluded.step, sinks = excluded.sinks";
/// The replays whose events nobody works on any more.
const FREE: &str = "SELECT event, step, sinks,
        EXISTS (SELECT FROM receipts WHERE seq = event AND body IS NOT NULL) AS has_content
    FROM replays WHERE NOT EXISTS (SELECT FROM work WHERE work.event = replays.event AND owner IS NOT NULL)
    ORDER BY event FOR UPDATE SKIP LOCKED";
/// The sinks to deliver to again: the requested ones, or all that the event had. With $3 only those that the event had.
const AGAIN: &str = "WITH had AS (
        SELECT sink FROM deliveries WHERE event = $1
        UNION SELECT substr(task, 9) FROM work WHERE event = $1 AND task LIKE 'deliver:%')
    SELECT sink FROM had WHERE cardinality($2::text[]) = 0
    UNION SELECT sink FROM unnest($2::text[]) AS named (sink) WHERE NOT $3 OR sink IN (SELECT sink FROM had)";
/// All sinks that have a delivery of this event, in any state.
const SINKS: &str = "SELECT sink FROM deliveries WHERE event = $1
    UNION SELECT substr(task, 9) FROM work WHERE event = $1 AND task LIKE 'deliver:%'";
/// Keeps in the history that the event was delivered before it is delivered again.
const FORGET: &str = "WITH gone AS (DELETE FROM deliveries WHERE event = $1 AND sink = ANY ($2) RETURNING *)
    INSERT INTO attempts (event, at, what, detail, took_ms, instance)
    SELECT event, delivered_at, 'deliver to ' || sink, 'delivered, attempt ' || attempts, took_ms, instance
    FROM gone WHERE state = 'delivered'";
/// A delivery that is repeated waits for retrieval with the others.
const RESET: &str = "INSERT INTO work (event, task, due, fence, started_at)
    SELECT $1, task, $3, $4, server_millis() FROM unnest($2::text[]) AS again (task)
    ON CONFLICT (event, task) DO UPDATE SET due = excluded.due, owner = NULL, fence = excluded.fence, tries = 0,
        started_at = excluded.started_at, tried_ms = 0, cause = NULL, cause_code = NULL";
/// Deliveries to sinks that the replay does not name wait for retrieval as well: until then there is no content to
/// deliver.
const WAIT: &str =
    "UPDATE work SET due = $2, fence = $3 WHERE event = $1 AND task LIKE 'deliver:%'";
const RETRIEVE: &str = "INSERT INTO work (event, task, due, fence, started_at)
    SELECT seq, CASE WHEN needs_sdp THEN 'new' ELSE 'forward' END, server_millis(), $2, server_millis()
    FROM receipts WHERE seq = $1";
/// Takes an event out of its present state: out of that state's count, and out of the ended events.
const LEAVE: &str = "WITH ended AS (DELETE FROM endings WHERE event = $1 RETURNING state)
    INSERT INTO counts (state, n)
    SELECT coalesce((SELECT state FROM ended),
        (SELECT CASE task WHEN 'retrieve' THEN 'retrieving' ELSE 'received' END FROM work
         WHERE event = $1 AND task IN ('forward', 'new', 'retrieve')), 'delivering'), -1";
const PURGE_DELIVERIES: &str = "INSERT INTO deliveries (event, sink, state, attempts, started_at, last_error, cause_code)
    SELECT event, substr(task, 9), 'dead', tries, started_at, 'purged by an operator', 'purged' FROM work
    WHERE event = $1 AND task LIKE 'deliver:%'
    ON CONFLICT (event, sink) DO UPDATE SET state = excluded.state, last_error = excluded.last_error,
        cause_code = excluded.cause_code";
/// An event that has not ended ends as dead, and is counted as such.
const PURGE_EVENT: &str = "WITH counted AS (
        INSERT INTO counts (state, n)
        SELECT * FROM (VALUES
            (coalesce((SELECT CASE task WHEN 'retrieve' THEN 'retrieving' ELSE 'received' END FROM work
                       WHERE event = $1 AND task IN ('forward', 'new', 'retrieve')), 'delivering'), -1),
            ('dead', 1)) AS moved (state, n)
        WHERE NOT EXISTS (SELECT FROM endings WHERE event = $1))
    INSERT INTO endings (event, state, ended_at, cause, cause_code, has_content, purged_at)
    VALUES ($1, 'dead', server_millis(), 'purged by an operator', 'purged', false, server_millis())
    ON CONFLICT (event) DO UPDATE SET has_content = false, purged_at = coalesce(endings.purged_at, excluded.purged_at)";

/// Makes an event due again, for `sinks` or, if none is given, for those it had. Work that is under way ends first.
pub(super) async fn replay(
    client: &mut Client,
    id: EventId,
    from: ReplayFrom,
    sinks: &[String],
    actor: &str,
) -> Result<Replayed, Error> {
    let transaction = client.transaction().await?;
    let Some(replayable) = find(&transaction, id).await? else {
        return Ok(Replayed::NotFound);
    };
    let replayed = replay_found(&transaction, &replayable, from, sinks, actor).await?;
    transaction.commit().await?;
    Ok(replayed)
}

/// An event that may be replayed. Its row is locked from then on.
pub(super) struct Replayable {
    pub(super) seq: i64,
    has_content: bool,
    is_retrieved: bool,
}

/// Finds and locks the event with this id.
pub(super) async fn find(
    transaction: &Transaction<'_>,
    id: EventId,
) -> Result<Option<Replayable>, Error> {
    let find = transaction.prepare_cached(FIND).await?;
    let Some(found) = transaction.query_opt(&find, &[&row::uuid(id)]).await? else {
        return Ok(None);
    };
    Ok(Some(Replayable {
        seq: row::get(&found, "seq")?,
        has_content: row::get(&found, "has_content")? && !row::get::<bool>(&found, "is_junk")?,
        is_retrieved: row::get(&found, "is_retrieved")?,
    }))
}

/// All sinks that have a delivery of this event, in any state.
pub(super) async fn sinks_of(
    transaction: &Transaction<'_>,
    event: i64,
) -> Result<Vec<String>, Error> {
    let sinks = transaction.prepare_cached(SINKS).await?;
    let rows = transaction.query(&sinks, &[&event]).await?;
    rows.iter().map(|found| row::get(found, "sink")).collect()
}

/// Makes an event due again that was found before.
pub(super) async fn replay_found(
    transaction: &Transaction<'_>,
    replayable: &Replayable,
    from: ReplayFrom,
    sinks: &[String],
    actor: &str,
) -> Result<Replayed, Error> {
    let seq = replayable.seq;
    if !replayable.has_content {
        return Ok(Replayed::NoContent);
    }
    if from == ReplayFrom::Deliver && !replayable.is_retrieved {
        return Ok(Replayed::NotRetrieved);
    }
    let step = from.as_str();
    let detail = format!("from {step} by {actor}");
    progress::history(transaction, seq, "replay", &detail).await?;
    if is_held(transaction, seq).await? {
        transaction.execute(MARK, &[&seq, &step, &sinks]).await?;
    } else {
        start_again(transaction, seq, from, sinks).await?;
    }
    Ok(Replayed::Scheduled)
}

/// Whether an instance works on the event. Locks the rows of its work.
async fn is_held(transaction: &Transaction<'_>, event: i64) -> Result<bool, Error> {
    let mut is_held = false;
    for work in super::work::lock(transaction, &[event]).await? {
        is_held |= row::get::<Option<uuid::Uuid>>(&work, "owner")?.is_some();
    }
    Ok(is_held)
}

/// The events whose replay waits for work on them to end.
pub(super) async fn waiting(transaction: &Transaction<'_>) -> Result<HashSet<i64>, Error> {
    let waiting = transaction
        .prepare_cached("SELECT event FROM replays")
        .await?;
    let rows = transaction.query(&waiting, &[]).await?;
    rows.iter().map(|found| row::get(found, "event")).collect()
}

/// Starts the replays that were waiting for work that has ended.
pub(super) async fn replay_what_is_free(transaction: &Transaction<'_>) -> Result<(), Error> {
    let free = transaction.prepare_cached(FREE).await?;
    for found in transaction.query(&free, &[]).await? {
        let event: i64 = row::get(&found, "event")?;
        // Another instance may have claimed some of the work meanwhile; then the replay waits for that.
        if is_held(transaction, event).await? {
            continue;
        }
        transaction
            .execute("DELETE FROM replays WHERE event = $1", &[&event])
            .await?;
        let from: ReplayFrom = row::word(&found, "step")?;
        let sinks: Vec<String> = row::get(&found, "sinks")?;
        if row::get(&found, "has_content")? {
            start_again(transaction, event, from, &sinks).await?;
        }
    }
    Ok(())
}

/// Makes an event due again that nobody works on.
async fn start_again(
    transaction: &Transaction<'_>,
    event: i64,
    from: ReplayFrom,
    sinks: &[String],
) -> Result<(), Error> {
    transaction.execute(LEAVE, &[&event]).await?;
    let only_had = from == ReplayFrom::Retrieve;
    let again = transaction
        .query(AGAIN, &[&event, &sinks, &only_had])
        .await?;
    let again = again.iter().map(|found| row::get::<String>(found, "sink"));
    let again: Vec<String> = again.collect::<Result<_, _>>()?;
    transaction.execute(FORGET, &[&event, &again]).await?;
    let tasks: Vec<String> = again
        .into_iter()
        .map(|sink| crate::journal::Task::Deliver(sink).to_string())
        .collect();
    let (when, fence) = (WHEN_RETRIEVED, new_fence());
    transaction
        .execute(RESET, &[&event, &tasks, &when, &fence])
        .await?;
    let enters = match from {
        ReplayFrom::Retrieve => {
            for sql in [
                "DELETE FROM retrievals WHERE event = $1",
                "DELETE FROM links WHERE event = $1",
                "DELETE FROM work WHERE event = $1 AND task NOT LIKE 'deliver:%'",
            ] {
                transaction.execute(sql, &[&event]).await?;
            }
            transaction.execute(WAIT, &[&event, &when, &fence]).await?;
            transaction.execute(RETRIEVE, &[&event, &fence]).await?;
            EventState::Received
        }
        ReplayFrom::Deliver => {
            // The event's content is delivered as it is, so its pending retrieval is dropped.
            transaction
                .execute(
                    "DELETE FROM work WHERE event = $1 AND task IN ('forward', 'new', 'retrieve')",
                    &[&event],
                )
                .await?;
            EventState::Delivering
        }
    };
    transaction
        .execute(
            "INSERT INTO counts (state, n) VALUES ($1, 1)",
            &[&enters.as_str()],
        )
        .await?;
    if from == ReplayFrom::Deliver {
        progress::plan_due(transaction, event, &[]).await?;
        progress::end_event(transaction, event).await?;
    }
    Ok(())
}

/// Removes an event's content and keeps its receipt. Leases on the event's work are no longer valid.
pub(super) async fn purge(client: &mut Client, id: EventId, actor: &str) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let Some(found) = transaction.query_opt(FIND, &[&row::uuid(id)]).await? else {
        return Ok(false);
    };
    let seq: i64 = row::get(&found, "seq")?;
    super::work::lock(&transaction, &[seq]).await?;
    for sql in [
        PURGE_EVENT,
        PURGE_DELIVERIES,
        "DELETE FROM work WHERE event = $1",
        "DELETE FROM replays WHERE event = $1",
        "UPDATE receipts SET body = NULL WHERE seq = $1",
        "UPDATE retrievals SET bodies = NULL WHERE event = $1",
        "UPDATE links SET body = NULL WHERE event = $1",
        "UPDATE expected SET context = NULL WHERE context IS NOT NULL
            AND session_id = (SELECT session_id FROM receipts WHERE seq = $1)",
    ] {
        transaction.execute(sql, &[&seq]).await?;
    }
    progress::history(&transaction, seq, "purge", &format!("by {actor}")).await?;
    transaction.commit().await?;
    Ok(true)
}
