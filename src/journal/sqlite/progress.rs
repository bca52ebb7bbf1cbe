//! Advances a single event, within the caller's transaction.

use rusqlite::params;

use super::counts::Tx;
use super::row;
use crate::domain::{EventState, Millis, Reason};
use crate::journal::contents::millis;
use crate::journal::lease::{WHEN_RETRIEVED, new_fence};
use crate::journal::{End, Error};

pub(super) const PLAN: &str = "INSERT INTO work (event, task, due, owner, fence, started_at)
    SELECT ?1, 'deliver:' || ?2, ?3, ?4, ?5, ?3
    WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1 AND sink = ?2)
    ON CONFLICT (event, task) DO NOTHING";
/// Starts the deliveries that were waiting for retrieval.
const START: &str =
    "UPDATE work SET due = ?2, started_at = ?2 WHERE event = ?1 AND due = ?3 AND owner IS NULL";
const REFRESH: &str =
    "INSERT INTO work (event, task, due, fence, started_at) VALUES (?1, 'refresh', ?2, ?3, ?2)
    ON CONFLICT (event, task) DO UPDATE SET due = CASE WHEN noted_at IS NULL THEN excluded.due ELSE due END";
/// Ends an event: done when all sinks have it, dead when a sink has given up and none is left to try.
const END_EVENT: &str = "INSERT INTO endings (event, state, ended_at, cause, cause_code, has_content)
    SELECT ?1, CASE WHEN sink IS NULL THEN 'done' ELSE 'dead' END, ?2, sink || ': ' || coalesce(last_error, ''),
        cause_code, 1
    FROM (SELECT 1) LEFT JOIN
        (SELECT sink, last_error, cause_code FROM deliveries WHERE event = ?1 AND state = 'dead' ORDER BY sink LIMIT 1)
    WHERE NOT EXISTS (SELECT 1 FROM work WHERE event = ?1 AND task <> 'refresh')
    ON CONFLICT (event) DO NOTHING
    RETURNING state";

/// Adds an entry to an event's history for an operator's action.
pub(super) fn history(
    tx: &Tx<'_>,
    event: i64,
    now: Millis,
    what: &str,
    detail: &str,
) -> Result<(), Error> {
    tx.prepare_cached("INSERT INTO attempts (event, at, what, detail) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![event, now, what, detail])?;
    Ok(())
}

/// Adds an entry to an event's history for a failed attempt.
pub(super) fn failed(
    tx: &Tx<'_>,
    event: i64,
    now: Millis,
    what: &str,
    (reason, end): (&Reason, &End),
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO attempts (event, at, what, detail, cause_code, http_status, took_ms, instance)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        event,
        now,
        what,
        reason.text,
        reason.cause.as_str(),
        reason.http_status,
        millis(end.took),
        &*end.instance
    ])?;
    Ok(())
}

/// Plans deliveries that any instance may claim, apart from those that were already made.
pub(super) fn plan_due(
    tx: &Tx<'_>,
    event: i64,
    sinks: &[String],
    now: Millis,
) -> Result<(), Error> {
    let mut plan = tx.prepare_cached(PLAN)?;
    for sink in sinks {
        plan.execute(params![event, sink, now, None::<&[u8]>, new_fence()])?;
    }
    start_waiting(tx, event, now)
}

pub(super) fn start_waiting(tx: &Tx<'_>, event: i64, now: Millis) -> Result<(), Error> {
    tx.prepare_cached(START)?
        .execute(params![event, now, WHEN_RETRIEVED])?;
    Ok(())
}

/// Schedules another fetch of the content that is missing, for that time.
pub(super) fn schedule_refresh(tx: &Tx<'_>, event: i64, at: Millis) -> Result<(), Error> {
    tx.prepare_cached(REFRESH)?
        .execute(params![event, at, new_fence()])?;
    Ok(())
}

/// Ends an event that is being delivered, if no delivery is left to try.
pub(super) fn end_event(tx: &Tx<'_>, event: i64, now: Millis) -> Result<Option<EventState>, Error> {
    let mut end = tx.prepare_cached(END_EVENT)?;
    let mut rows = end.query(params![event, now])?;
    let Some(ended) = rows.next()? else {
        return Ok(None);
    };
    let state = row::word(ended, 0, "state")?;
    tx.leaves(EventState::Delivering);
    tx.enters(state);
    Ok(Some(state))
}
