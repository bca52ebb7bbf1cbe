//! Changes that operators make: replays and purges.

use rusqlite::{Connection, OptionalExtension, params};

use super::counts::Tx;
use super::{progress, retain, row};
use crate::domain::{EventId, EventState, Millis};
use crate::journal::lease::{WHEN_RETRIEVED, first_task, new_fence};
use crate::journal::{Error, ReplayFrom, Replayed, Task};

const FIND: &str = "SELECT seq, body IS NOT NULL, junk IS NOT NULL,
    (SELECT retrieved_at FROM retrievals WHERE event = seq) IS NOT NULL FROM receipts WHERE id = ?1";
const IS_HELD: &str = "SELECT 1 FROM work WHERE event = ?1 AND owner IS NOT NULL LIMIT 1";
const MARK: &str = "INSERT INTO replays (event, step, sinks) VALUES (?1, ?2, ?3)
    ON CONFLICT (event) DO UPDATE SET step = excluded.step, sinks = excluded.sinks";
/// The replays whose events nobody works on any more.
const FREE: &str = "SELECT event, step, sinks FROM replays
    WHERE NOT EXISTS (SELECT 1 FROM work WHERE work.event = replays.event AND owner IS NOT NULL)";
/// Keeps in the history that the event was delivered before it is delivered again.
const DELIVERED_BEFORE: &str = "INSERT INTO attempts (event, at, what, detail, took_ms, instance)
    SELECT event, delivered_at, 'deliver to ' || sink, 'delivered, attempt ' || attempts, took_ms, instance
    FROM deliveries WHERE event = ?1 AND sink = ?2 AND state = 'delivered'";
/// A delivery that is repeated waits for retrieval with the others.
const RESET: &str =
    "INSERT OR REPLACE INTO work (event, task, due, fence, started_at) VALUES (?1, ?2, ?3, ?4, ?5)";
const SINKS: &str = "SELECT sink FROM deliveries WHERE event = ?1
    UNION SELECT substr(task, 9) FROM work WHERE event = ?1 AND task LIKE 'deliver:%'";
/// Deliveries to sinks that the replay does not name wait for retrieval as well: until then there is no content to
/// deliver.
const WAIT: &str =
    "UPDATE work SET due = ?2, fence = ?3 WHERE event = ?1 AND task LIKE 'deliver:%'";

/// Makes an event due again, for `sinks` or, if none is given, for those it had. Work that is under way ends first.
pub(super) fn replay(
    tx: &Tx<'_>,
    id: EventId,
    from: ReplayFrom,
    sinks: &[String],
    actor: &str,
    now: Millis,
) -> Result<Replayed, Error> {
    let found: Option<(i64, bool, bool, bool)> = tx
        .prepare_cached(FIND)?
        .query_row([id.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((seq, has_content, is_junk, is_retrieved)) = found else {
        return Ok(Replayed::NotFound);
    };
    if !has_content || is_junk {
        return Ok(Replayed::NoContent);
    }
    if from == ReplayFrom::Deliver && !is_retrieved {
        return Ok(Replayed::NotRetrieved);
    }
    let step = from.as_str();
    progress::history(tx, seq, now, "replay", &format!("from {step} by {actor}"))?;
    if tx.prepare_cached(IS_HELD)?.exists([seq])? {
        let sinks = serde_json::to_string(sinks).unwrap_or_default();
        tx.prepare_cached(MARK)?
            .execute(params![seq, step, sinks])?;
    } else {
        start_again(tx, seq, from, sinks, now)?;
    }
    Ok(Replayed::Scheduled)
}

/// Whether a replay of this event waits for its work to end.
pub(super) fn waits(connection: &Connection, event: i64) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM replays WHERE event = ?1")?
        .exists([event])?)
}

/// Whether any replay waits.
pub(super) fn is_any_replay_waiting(connection: &Connection) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM replays LIMIT 1")?
        .exists([])?)
}

/// Starts the replays that were waiting for work that has ended.
pub(super) fn replay_what_is_free(tx: &Tx<'_>, now: Millis) -> Result<(), Error> {
    let mut free = tx.prepare_cached(FREE)?;
    let free = free.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let free: Vec<(i64, String, String)> = free.collect::<Result<_, _>>()?;
    for (event, step, sinks) in free {
        tx.prepare_cached("DELETE FROM replays WHERE event = ?1")?
            .execute([event])?;
        let (Ok(from), Ok(sinks)) = (
            step.parse::<ReplayFrom>(),
            serde_json::from_str::<Vec<String>>(&sinks),
        ) else {
            return Err(Error::Corrupt { what: "replay" });
        };
        let has_content: Option<bool> = tx
            .prepare_cached("SELECT body IS NOT NULL FROM receipts WHERE seq = ?1")?
            .query_row([event], |row| row.get(0))
            .optional()?;
        if has_content == Some(true) {
            start_again(tx, event, from, &sinks, now)?;
        }
    }
    Ok(())
}

/// Makes an event due again that nobody works on.
fn start_again(
    tx: &Tx<'_>,
    event: i64,
    from: ReplayFrom,
    sinks: &[String],
    now: Millis,
) -> Result<(), Error> {
    leave(tx, event)?;
    let had = sinks_of(tx, event)?;
    let again: Vec<String> = if sinks.is_empty() {
        had
    } else {
        // In a replay from retrieval only the event's own sinks wait; whether it goes to others is decided after
        // retrieval.
        let is_wanted = |sink: &&String| from == ReplayFrom::Deliver || had.contains(sink);
        sinks.iter().filter(is_wanted).cloned().collect()
    };
    for sink in again {
        for sql in [
            DELIVERED_BEFORE,
            "DELETE FROM deliveries WHERE event = ?1 AND sink = ?2",
        ] {
            tx.prepare_cached(sql)?.execute(params![event, sink])?;
        }
        let task = Task::Deliver(sink).to_string();
        tx.prepare_cached(RESET)?.execute(params![
            event,
            task,
            WHEN_RETRIEVED,
            new_fence(),
            now
        ])?;
    }
    match from {
        ReplayFrom::Retrieve => {
            for sql in [
                "DELETE FROM retrievals WHERE event = ?1",
                "DELETE FROM links WHERE event = ?1",
                "DELETE FROM work WHERE event = ?1 AND task NOT LIKE 'deliver:%'",
            ] {
                tx.prepare_cached(sql)?.execute([event])?;
            }
            tx.prepare_cached(WAIT)?
                .execute(params![event, WHEN_RETRIEVED, new_fence()])?;
            let task = first_task(needs_sdp(tx, event)?);
            tx.prepare_cached(RESET)?.execute(params![
                event,
                task.to_string(),
                now,
                new_fence(),
                now
            ])?;
            tx.enters(EventState::Received);
        }
        ReplayFrom::Deliver => {
            // The event's content is delivered as it is, so its pending retrieval is dropped.
            tx.prepare_cached(
                "DELETE FROM work WHERE event = ?1 AND task IN ('forward', 'new', 'retrieve')",
            )?
            .execute([event])?;
            tx.enters(EventState::Delivering);
            progress::plan_due(tx, event, &[], now)?;
            progress::end_event(tx, event, now)?;
        }
    }
    Ok(())
}

/// All sinks that have a delivery of this event, in any state.
pub(super) fn sinks_of(connection: &Connection, event: i64) -> Result<Vec<String>, Error> {
    let mut sinks = connection.prepare_cached(SINKS)?;
    let sinks = sinks.query_map([event], |row| row.get(0))?;
    Ok(sinks.collect::<Result<_, _>>()?)
}

/// Whether the event needs a call to the vendor's API, according to its notification.
fn needs_sdp(connection: &Connection, event: i64) -> Result<bool, Error> {
    let content = super::content::event(connection, event)?;
    let notification = content.and_then(|(receipt, found)| receipt.notification(&found));
    Ok(notification.is_none_or(|notification| notification.needs_sdp()))
}

/// Takes an event out of its present state: out of that state's count, and out of the ended events.
fn leave(tx: &Tx<'_>, event: i64) -> Result<(), Error> {
    if let Some(state) = state(tx, event)? {
        tx.leaves(state);
    }
    tx.prepare_cached("DELETE FROM endings WHERE event = ?1")?
        .execute([event])?;
    Ok(())
}

/// The state in which an event is counted. `None` when there is no such event.
pub(super) fn state(connection: &Connection, event: i64) -> Result<Option<EventState>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT coalesce((SELECT state FROM endings WHERE event = seq),
             (SELECT CASE task WHEN 'retrieve' THEN 'retrieving' ELSE 'received' END FROM work
              WHERE event = seq AND task IN ('forward', 'new', 'retrieve')), 'delivering')
         FROM receipts WHERE seq = ?1",
    )?;
    let mut rows = statement.query([event])?;
    rows.next()?
        .map(|found| row::word(found, 0, "state"))
        .transpose()
}

/// Removes an event's content and keeps its receipt. Leases on the event's work are no longer valid.
pub(super) fn purge(tx: &Tx<'_>, id: EventId, actor: &str, now: Millis) -> Result<bool, Error> {
    let Some(seq) = row::number_of(tx, id)? else {
        return Ok(false);
    };
    let before = state(tx, seq)?;
    retain::purge_content(tx, seq)?;
    retain::give_up_work(tx, seq, "purged by an operator")?;
    tx.execute(
        "INSERT INTO endings (event, state, ended_at, cause, cause_code, has_content, purged_at)
         VALUES (?1, 'dead', ?2, 'purged by an operator', 'purged', 0, ?2)
         ON CONFLICT (event) DO UPDATE SET has_content = 0, purged_at = coalesce(purged_at, excluded.purged_at)",
        params![seq, now],
    )?;
    if let Some(before) = before
        && !matches!(
            before,
            EventState::Done | EventState::Dead | EventState::Quarantined
        )
    {
        tx.leaves(before);
        tx.enters(EventState::Dead);
    }
    progress::history(tx, seq, now, "purge", &format!("by {actor}"))?;
    Ok(true)
}
