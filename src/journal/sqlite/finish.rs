//! Ending attempts. Every write is fenced: it happens only while the lease it was made under still stands.

use rusqlite::{Connection, OptionalExtension, params};

use super::late;
use crate::domain::{EventState, Millis};
use crate::journal::{
    DeliveryEnd, DeliveryLease, Ended, Error, EventLease, Held, LinkUpdate, Retrieval,
};

const UPSERT_LINK: &str = "INSERT INTO links
    (event, n, link_group, href, state, http_status, fetched_at, reason, bytes, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT (event, n) DO UPDATE SET state = excluded.state, http_status = excluded.http_status,
        fetched_at = excluded.fetched_at, reason = excluded.reason, bytes = excluded.bytes, body = excluded.body";
const SETTLE: &str = "UPDATE events SET outcome = ?2, kind = ?3, session_status = ?4, state = ?5, next_attempt_at = ?6,
    last_error = ?7, retrieved_at = ?8, tried_ms = coalesce(?9, tried_ms), holder = NULL WHERE seq = ?1";
/// A sink that is there already is being replayed (or has it); it becomes due if it is pending.
const PLAN_DELIVERY: &str =
    "INSERT INTO deliveries (event, sink, state, started_at, next_attempt_at)
    VALUES (?1, ?2, 'pending', ?3, ?3)
    ON CONFLICT (event, sink) DO NOTHING";
/// Those that wait for it; not what is under way or waits for its next attempt.
const START_PENDING: &str = "UPDATE deliveries SET next_attempt_at = ?2, started_at = ?2
    WHERE event = ?1 AND state = 'pending' AND next_attempt_at IS NULL";
/// The same for one sink.
const START_ONE: &str = "UPDATE deliveries SET next_attempt_at = ?3, started_at = ?3
    WHERE event = ?1 AND sink = ?2 AND state = 'pending' AND next_attempt_at IS NULL";
/// Done when all sinks have it, dead when one has given up and none is left to try.
const END_EVENT: &str = "UPDATE events SET
    state = CASE WHEN EXISTS (SELECT 1 FROM deliveries WHERE event = seq AND state = 'dead') THEN 'dead' ELSE 'done' END,
    last_error = (SELECT sink || ': ' || coalesce(last_error, '') FROM deliveries WHERE event = seq AND state = 'dead' ORDER BY sink LIMIT 1),
    ended_at = ?2, next_attempt_at = NULL, holder = NULL
    WHERE seq = ?1 AND state = 'delivering'
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = seq AND state = 'pending')
    RETURNING state";

/// Writes down how links stand.
pub(super) fn links(
    connection: &Connection,
    lease: EventLease,
    links: &[LinkUpdate],
) -> Result<Held, Error> {
    if !holds(connection, lease)? {
        return Ok(Held::Lost);
    }
    write_links(connection, lease.event, links)?;
    Ok(Held::Kept)
}

/// Writes links, whoever holds the event.
pub(super) fn write_links(
    connection: &Connection,
    event: i64,
    links: &[LinkUpdate],
) -> Result<(), Error> {
    let mut upsert = connection.prepare_cached(UPSERT_LINK)?;
    for LinkUpdate { link, body } in links {
        upsert.execute(params![
            event,
            link.n,
            link.group.as_str(),
            link.href,
            link.state.as_str(),
            link.http_status,
            link.fetched_at.map(|time| time.as_millisecond()),
            link.reason,
            link.bytes,
            body.as_deref(),
        ])?;
    }
    Ok(())
}

/// Ends an attempt at retrieving.
pub(super) fn retrieval(
    connection: &Connection,
    lease: EventLease,
    updates: &[LinkUpdate],
    end: &Retrieval,
    now: Millis,
) -> Result<Held, Error> {
    if links(connection, lease, updates)? == Held::Lost {
        return Ok(Held::Lost);
    }
    match end {
        Retrieval::Deliver {
            outcome,
            kind,
            session_status,
            sinks,
            at,
            refresh_at,
        } => {
            connection.prepare_cached(SETTLE)?.execute(params![
                lease.event,
                outcome.as_str(),
                kind.as_str(),
                session_status,
                EventState::Delivering.as_str(),
                None::<Millis>,
                None::<&str>,
                now,
                None::<Millis>,
            ])?;
            refresh_at.map_or(Ok(()), |at| late::look_at(connection, lease.event, at))?;
            plan_deliveries(connection, lease.event, sinks, *at)?;
            end_event(connection, lease.event, now)?;
        }
        Retrieval::Retry {
            outcome,
            kind,
            session_status,
            at,
            tried_for,
            reason,
            sinks,
        } => {
            announce(connection, lease.event, sinks, now)?;
            connection.prepare_cached(SETTLE)?.execute(params![
                lease.event,
                outcome.as_str(),
                kind.as_str(),
                session_status,
                EventState::Retrieving.as_str(),
                at,
                reason,
                None::<Millis>,
                Millis::try_from(tried_for.as_millis()).unwrap_or(Millis::MAX),
            ])?;
            history(connection, lease.event, now, "retrieve", reason)?;
        }
        Retrieval::Announced { sinks, at } => {
            announce(connection, lease.event, sinks, *at)?;
            connection
                .prepare_cached(
                    "UPDATE events SET next_attempt_at = ?2, attempts = attempts - 1, holder = NULL WHERE seq = ?1",
                )?
                .execute(params![lease.event, at])?;
        }
        Retrieval::Dead { reason, sinks, at } => {
            announce(connection, lease.event, sinks, *at)?;
            connection
                .prepare_cached(
                    "UPDATE events SET state = 'dead', next_attempt_at = NULL, holder = NULL, last_error = ?2,
                     ended_at = ?3 WHERE seq = ?1",
                )?
                .execute(params![lease.event, reason, now])?;
            history(
                connection,
                lease.event,
                now,
                "retrieve",
                &format!("given up: {reason}"),
            )?;
        }
    }
    Ok(Held::Kept)
}

/// Ends a delivery attempt.
pub(super) fn delivery(
    connection: &Connection,
    lease: &DeliveryLease,
    end: &DeliveryEnd,
    now: Millis,
) -> Result<Ended, Error> {
    let (state, at, delivered_at, reason) = match end {
        DeliveryEnd::Delivered { at } => ("delivered", None, Some(at.as_millisecond()), None),
        DeliveryEnd::Retry { at, reason } => ("pending", Some(*at), None, Some(reason)),
        DeliveryEnd::Dead { reason } => ("dead", None, None, Some(reason)),
    };
    let kept = connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?4, next_attempt_at = ?5, delivered_at = ?6, last_error = ?7, holder = NULL
             WHERE event = ?1 AND sink = ?2 AND fence = ?3 AND holder IS NOT NULL",
        )?
        .execute(params![lease.event, lease.sink, lease.fence, state, at, delivered_at, reason])?;
    if kept == 0 {
        return Ok(Ended::Lost);
    }
    if let Some(reason) = reason {
        history(
            connection,
            lease.event,
            now,
            &format!("deliver to {}", lease.sink),
            reason,
        )?;
    }
    Ok(end_event(connection, lease.event, now)?.map_or(Ended::NotYet, Ended::Event))
}

/// One line of an event's history.
pub(super) fn history(
    connection: &Connection,
    event: i64,
    now: Millis,
    what: &str,
    detail: &str,
) -> Result<(), Error> {
    connection
        .prepare_cached("INSERT INTO attempts (event, at, what, detail) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![event, now, what, detail])?;
    Ok(())
}

/// Makes deliveries to these sinks due, and those to no other.
fn announce(
    connection: &Connection,
    event: i64,
    sinks: &[String],
    at: Millis,
) -> Result<(), Error> {
    for sink in sinks {
        for sql in [PLAN_DELIVERY, START_ONE] {
            connection
                .prepare_cached(sql)?
                .execute(params![event, sink, at])?;
        }
    }
    Ok(())
}

/// Makes deliveries due: those that are new, and those that a replay has set to pending.
pub(super) fn plan_deliveries(
    connection: &Connection,
    event: i64,
    sinks: &[String],
    at: Millis,
) -> Result<(), Error> {
    let mut plan = connection.prepare_cached(PLAN_DELIVERY)?;
    for sink in sinks {
        plan.execute(params![event, sink, at])?;
    }
    connection
        .prepare_cached(START_PENDING)?
        .execute(params![event, at])?;
    Ok(())
}

/// Ends the event if no delivery is left to try.
pub(super) fn end_event(
    connection: &Connection,
    event: i64,
    now: Millis,
) -> Result<Option<EventState>, Error> {
    let state: Option<String> = connection
        .prepare_cached(END_EVENT)?
        .query_row(params![event, now], |row| row.get(0))
        .optional()?;
    state
        .map(|word| word.parse().map_err(|_| Error::Corrupt { what: "state" }))
        .transpose()
}

fn holds(connection: &Connection, lease: EventLease) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached(
            "SELECT 1 FROM events WHERE seq = ?1 AND fence = ?2 AND holder IS NOT NULL",
        )?
        .exists(params![lease.event, lease.fence])?)
}
