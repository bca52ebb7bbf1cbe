//! What operators change: replays, purges, audit entries.

use rusqlite::{Connection, OptionalExtension, params};

use super::{finish, late, retain};
use crate::domain::{EventId, EventState, Millis};
use crate::journal::{AuditEntry, Error, ReplayFrom, Replayed};

/// Makes an event due again, for `sinks` or (none given) for those it had.
pub(super) fn replay(
    connection: &Connection,
    id: EventId,
    from: ReplayFrom,
    sinks: &[String],
    actor: &str,
    now: Millis,
) -> Result<Replayed, Error> {
    let found: Option<(i64, String, bool, bool)> = connection
        .prepare_cached("SELECT seq, state, body IS NOT NULL, retrieved_at IS NOT NULL FROM events WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((seq, state, has_content, is_retrieved)) = found else {
        return Ok(Replayed::NotFound);
    };
    if !has_content || state == EventState::Quarantined.as_str() {
        return Ok(Replayed::NoContent);
    }
    if from == ReplayFrom::Deliver && !is_retrieved {
        return Ok(Replayed::NotRetrieved);
    }
    reset_deliveries(connection, seq, sinks)?;
    match from {
        ReplayFrom::Retrieve => {
            connection.execute("DELETE FROM links WHERE event = ?1", [seq])?;
            late::forget(connection, seq)?;
            // The sinks that were not named wait as well: there is nothing to give them now.
            connection.execute(
                "UPDATE deliveries SET next_attempt_at = NULL, holder = NULL, fence = fence + 1
                 WHERE event = ?1 AND state = 'pending'",
                [seq],
            )?;
            connection.execute(
                "UPDATE events SET state = 'received', next_attempt_at = ?2, started_at = ?2, attempts = 0,
                 fence = fence + 1, holder = NULL, last_error = NULL, ended_at = NULL, retrieved_at = NULL,
                 tried_ms = 0 WHERE seq = ?1",
                params![seq, now],
            )?;
        }
        ReplayFrom::Deliver => {
            connection.execute(
                "UPDATE events SET state = 'delivering', next_attempt_at = NULL, fence = fence + 1, holder = NULL,
                 last_error = NULL, ended_at = NULL WHERE seq = ?1",
                [seq],
            )?;
            finish::plan_deliveries(connection, seq, sinks, now)?;
            finish::end_event(connection, seq, now)?;
        }
    }
    let step = match from {
        ReplayFrom::Retrieve => "retrieve",
        ReplayFrom::Deliver => "deliver",
    };
    finish::history(
        connection,
        seq,
        now,
        "replay",
        &format!("from {step} by {actor}"),
    )?;
    Ok(Replayed::Scheduled)
}

/// Sets deliveries back to pending, not due yet. Without names, all of the event's.
fn reset_deliveries(connection: &Connection, seq: i64, sinks: &[String]) -> Result<(), Error> {
    const RESET: &str = "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = NULL, holder = NULL,
        fence = fence + 1, delivered_at = NULL, last_error = NULL WHERE event = ?1";
    if sinks.is_empty() {
        connection.execute(RESET, [seq])?;
    }
    for sink in sinks {
        connection.execute(&format!("{RESET} AND sink = ?2"), params![seq, sink])?;
    }
    Ok(())
}

/// Removes an event's content and keeps its receipt. Whoever works on it finds its lease lost.
pub(super) fn purge(
    connection: &Connection,
    id: EventId,
    actor: &str,
    now: Millis,
) -> Result<bool, Error> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM events WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    let Some(seq) = seq else { return Ok(false) };
    retain::purge_content(connection, seq)?;
    connection.execute(
        "UPDATE events SET state = CASE WHEN state IN ('done', 'quarantined') THEN state ELSE 'dead' END,
         last_error = CASE WHEN state IN ('done', 'dead', 'quarantined') THEN last_error ELSE 'purged by an operator' END,
         next_attempt_at = NULL, holder = NULL, fence = fence + 1, ended_at = coalesce(ended_at, ?2),
         purged_at = coalesce(purged_at, ?2) WHERE seq = ?1",
        params![seq, now],
    )?;
    connection.execute(
        "UPDATE deliveries SET state = 'dead', next_attempt_at = NULL, holder = NULL, fence = fence + 1,
         last_error = 'purged by an operator' WHERE event = ?1 AND state = 'pending'",
        [seq],
    )?;
    finish::history(connection, seq, now, "purge", &format!("by {actor}"))?;
    Ok(true)
}

/// Writes down who read or changed what.
pub(super) fn audit(connection: &Connection, entry: &AuditEntry) -> Result<(), Error> {
    connection
        .prepare_cached("INSERT INTO audit (at, actor, action, event) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![
            entry.at.as_millisecond(),
            entry.actor,
            entry.action,
            entry.event.as_ref().map(EventId::as_bytes)
        ])?;
    Ok(())
}
