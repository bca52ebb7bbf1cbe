//! Reads one event, its bodies, and the counts.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

use super::{content, row};
use crate::domain::{EventId, EventState};
use crate::journal::lease::WHEN_RETRIEVED;
use crate::journal::{Attempt, Delivery, Error, Event, EventDetail, Found, Stats};

/// One event with its links, deliveries and attempts.
pub(super) fn event(connection: &Connection, id: EventId) -> Result<Option<EventDetail>, Error> {
    let mut statement =
        connection.prepare_cached(&format!("{} WHERE receipts.id = ?1", row::EVENT))?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let seq: i64 = found.get(17)?;
    Ok(Some(EventDetail {
        event: row::event(found)?,
        links: content::links(connection, seq)?,
        deliveries: deliveries(connection, seq)?,
        attempts: attempts(connection, seq)?,
    }))
}

/// The deliveries that were made and those that are pending.
fn deliveries(connection: &Connection, seq: i64) -> Result<Vec<Delivery>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT sink, state, attempts, NULL, delivered_at, last_error, applied_at, cause_code, http_status, took_ms, instance
         FROM deliveries WHERE event = ?1
         UNION ALL
         SELECT substr(task, 9), 'pending', tries + (owner IS NOT NULL),
             CASE WHEN owner IS NULL AND due < ?2 THEN due END, NULL, cause, NULL, cause_code, NULL, NULL, NULL
         FROM work WHERE event = ?1 AND task LIKE 'deliver:%'
         ORDER BY 1",
    )?;
    let mut rows = statement.query(params![seq, WHEN_RETRIEVED])?;
    let mut deliveries = Vec::new();
    while let Some(found) = rows.next()? {
        deliveries.push(Delivery {
            sink: found.get(0)?,
            state: row::word(found, 1, "delivery state")?,
            attempts: found.get(2)?,
            next_attempt_at: row::optional_time(found.get(3)?)?,
            delivered_at: row::optional_time(found.get(4)?)?,
            last_error: found.get(5)?,
            applied_at: row::optional_time(found.get(6)?)?,
            cause: row::optional_word(found, 7, "cause")?,
            http_status: found.get(8)?,
            took: row::took(found, 9)?,
            instance: found.get(10)?,
        });
    }
    Ok(deliveries)
}

fn attempts(connection: &Connection, seq: i64) -> Result<Vec<Attempt>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT at, what, detail, cause_code, http_status, took_ms, instance FROM attempts WHERE event = ?1 ORDER BY rowid")?;
    let mut rows = statement.query([seq])?;
    let mut attempts = Vec::new();
    while let Some(found) = rows.next()? {
        attempts.push(Attempt {
            at: row::time(found.get(0)?)?,
            what: found.get(1)?,
            detail: found.get(2)?,
            cause: row::optional_word(found, 3, "cause")?,
            http_status: found.get(4)?,
            took: row::took(found, 5)?,
            instance: found.get(6)?,
        });
    }
    Ok(attempts)
}

/// An event, and what was retrieved for it. `None` when its content is purged.
pub(super) fn found(connection: &Connection, id: EventId) -> Result<Option<(Event, Found)>, Error> {
    let sql = format!("{} WHERE receipts.id = ?1 AND body IS NOT NULL", row::EVENT);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(event) = rows.next()? else {
        return Ok(None);
    };
    let content = content::event(connection, event.get(17)?)?;
    let event = row::event(event)?;
    Ok(content.map(|(_, found)| (event, found)))
}

/// The notification's body.
pub(super) fn payload(connection: &Connection, id: EventId) -> Result<Option<Bytes>, Error> {
    let body: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT body FROM receipts WHERE id = ?1")?
        .query_row([id.as_bytes()], |found| found.get(0))
        .optional()?;
    // Empty for an event that was recovered by polling.
    let body = body.flatten().filter(|body| !body.is_empty());
    Ok(body.map(row::bytes))
}

/// The id of the event with this number, if it can be read.
pub(super) fn id(connection: &Connection, seq: i64) -> Option<EventId> {
    let mut find = connection
        .prepare_cached("SELECT id FROM receipts WHERE seq = ?1")
        .ok()?;
    find.query_row([seq], |found| found.get(0))
        .ok()
        .map(row::id)
}

/// The body fetched for a link.
pub(super) fn resource(
    connection: &Connection,
    id: EventId,
    n: u32,
) -> Result<Option<Bytes>, Error> {
    let Some(seq) = row::number_of(connection, id)? else {
        return Ok(None);
    };
    let links = content::found(connection, seq, true)?.map(|found| found.links);
    let mut links = links.into_iter().flatten();
    Ok(links
        .find(|linked| linked.link.n == n)
        .and_then(|linked| linked.body))
}

/// The number of events by state.
pub(super) fn stats(connection: &Connection) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    let mut statement = connection.prepare_cached("SELECT state, n FROM counts")?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        stats
            .events
            .push((row::word(found, 0, "state")?, found.get(1)?));
    }
    stats.show_purged(&purged(connection)?);
    let begun = connection
        .prepare_cached(
            "SELECT count(*) FROM work INDEXED BY work_due WHERE owner IS NOT NULL AND task IN ('forward', 'new')",
        )?
        .query_row([], |found| found.get(0))?;
    stats.show_begun(begun);
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT received_at FROM work JOIN receipts ON seq = event WHERE task <> 'refresh'
             AND NOT EXISTS (SELECT 1 FROM endings WHERE endings.event = work.event) ORDER BY work.event LIMIT 1",
        )?
        .query_row([], |found| found.get(0))
        .optional()?;
    stats.oldest_pending = row::optional_time(oldest)?;
    stats.rejected = connection
        .prepare_cached("SELECT count(*) FROM unauthentic")?
        .query_row([], |found| found.get(0))?;
    Ok(stats)
}

/// The events that an operator has purged, by the state that they had before.
fn purged(connection: &Connection) -> Result<Vec<(EventState, u64)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT state, count(*) FROM endings INDEXED BY endings_purged
         WHERE purged_at IS NOT NULL AND state <> 'done' GROUP BY state",
    )?;
    let mut rows = statement.query([])?;
    let mut purged = Vec::new();
    while let Some(found) = rows.next()? {
        purged.push((row::word(found, 0, "state")?, found.get(1)?));
    }
    Ok(purged)
}
