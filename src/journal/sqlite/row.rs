//! Converts between columns and types.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::domain::{EncounterId, EventId, LinkGroup, SessionId, SessionKind};
use crate::journal::contents;
use crate::journal::{Error, Event, LinkRecord, Task};

/// Selects an event as operators see it, without a condition.
pub(super) const EVENT: &str = "SELECT receipts.id, received_at, generated_at, source,
    coalesce(found.outcome, receipts.outcome) AS outcome, status, session_id, encounter_id,
    coalesce(found.kind, receipts.kind),
    session_status,
    CASE WHEN purged_at IS NOT NULL AND endings.state <> 'done' THEN 'purged'
         WHEN endings.state IS NOT NULL THEN endings.state
         WHEN pending.task IS NULL THEN 'delivering'
         WHEN pending.owner IS NULL AND pending.task <> 'retrieve' THEN 'received'
         ELSE 'retrieving' END AS state,
    stale, coalesce(pending.tries + (pending.owner IS NOT NULL), found.attempts, 0),
    CASE WHEN pending.owner IS NULL THEN pending.due END, coalesce(pending.cause, endings.cause, junk), error_code,
    coalesce(has_content = 0, 0), seq, same_as, coalesce(pending.cause_code, endings.cause_code) AS cause_code
    FROM receipts LEFT JOIN endings ON endings.event = seq LEFT JOIN retrievals AS found ON found.event = seq
    LEFT JOIN work AS pending ON pending.event = seq AND pending.task IN ('forward', 'new', 'retrieve')";

/// Reads an [`Event`] from a row of [`EVENT`].
pub(super) fn event(row: &Row<'_>) -> Result<Event, Error> {
    Ok(Event {
        id: id(row.get(0)?),
        received_at: time(row.get(1)?)?,
        generated_at: optional_time(row.get(2)?)?,
        source: word(row, 3, "source")?,
        outcome: word(row, 4, "outcome")?,
        status: row.get(5)?,
        session_id: SessionId::new(row.get::<_, String>(6)?),
        encounter_id: row.get::<_, Option<String>>(7)?.and_then(EncounterId::new),
        kind: SessionKind::from_word(&row.get::<_, String>(8)?),
        session_status: row.get(9)?,
        state: word(row, 10, "state")?,
        stale: row.get(11)?,
        attempts: row.get(12)?,
        next_attempt_at: optional_time(row.get(13)?)?,
        last_error: row.get(14)?,
        cause: optional_word(row, 19, "cause")?,
        error_code: row.get(15)?,
        content_purged: row.get(16)?,
        same_as: row.get::<_, Option<[u8; 16]>>(18)?.map(id),
    })
}

/// Reads a [`LinkRecord`] from its columns: n, link_group, href, state, http_status, bytes, fetched_at, reason.
pub(super) fn link(row: &Row<'_>) -> Result<LinkRecord, Error> {
    let (group, href): (String, String) = (row.get(1)?, row.get(2)?);
    let reason: Option<String> = row.get(7)?;
    let (n, state) = (row.get(0)?, word(row, 3, "link state")?);
    Ok(LinkRecord {
        cause: contents::cause_by_texts(&group, &href, reason.as_deref()),
        http_status: row.get(4)?,
        bytes: row.get(5)?,
        fetched_at: optional_time(row.get(6)?)?,
        reason,
        ..LinkRecord::new(n, LinkGroup::new(group), href, state)
    })
}

/// An event's number.
pub(super) fn number_of(connection: &Connection, id: EventId) -> Result<Option<i64>, Error> {
    let number = connection
        .prepare_cached("SELECT seq FROM receipts WHERE id = ?1")?
        .query_row([id.as_bytes()], |found| found.get(0))
        .optional()?;
    Ok(number)
}

/// Parses a task.
pub(super) fn task(row: &Row<'_>, column: usize) -> Result<Task, Error> {
    let corrupt = || Error::Corrupt { what: "task" };
    let word = row.get_ref(column)?.as_str().map_err(|_| corrupt())?;
    word.parse().map_err(|_| corrupt())
}

pub(super) fn id(bytes: [u8; 16]) -> EventId {
    EventId::from_bytes(bytes)
}

pub(super) fn time(millis: i64) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(millis).map_err(|_| Error::Corrupt { what: "time" })
}

pub(super) fn optional_time(millis: Option<i64>) -> Result<Option<Timestamp>, Error> {
    millis.map(time).transpose()
}

pub(super) fn bytes(blob: Vec<u8>) -> Bytes {
    Bytes::from(blob)
}

/// Parses one of a closed set of words.
pub(super) fn word<T: FromStr>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<T, Error> {
    row.get_ref(column)?
        .as_str()
        .map_err(|_| Error::Corrupt { what })?
        .parse()
        .map_err(|_| Error::Corrupt { what })
}

/// Parses one of a closed set of words, or NULL.
pub(super) fn optional_word<T: FromStr>(
    row: &Row<'_>,
    column: usize,
    what: &'static str,
) -> Result<Option<T>, Error> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => word(row, column, what).map(Some),
    }
}

/// Reads a duration.
pub(super) fn took(row: &Row<'_>, column: usize) -> Result<Option<Duration>, Error> {
    let millis: Option<u64> = row.get(column)?;
    Ok(millis.map(Duration::from_millis))
}
