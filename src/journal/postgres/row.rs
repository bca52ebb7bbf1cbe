//! Converts between columns and types.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::domain::{EncounterId, EventId, LinkGroup, Millis, SessionId, SessionKind};
use crate::journal::contents;
use crate::journal::{Error, Event, LinkRecord, Task};

/// The tables that hold an event.
macro_rules! event_tables {
    () => {
        " FROM receipts LEFT JOIN endings ON endings.event = seq LEFT JOIN retrievals AS found ON found.event = seq
    LEFT JOIN work AS pending ON pending.event = seq AND pending.task IN ('forward', 'new', 'retrieve')"
    };
}

/// Selects an event as operators see it, without a condition.
pub(super) const EVENT: &str = concat!(
    "SELECT receipts.id, received_at, generated_at, source,
    coalesce(found.outcome, receipts.outcome) AS outcome, status, session_id, receipts.encounter_id,
    coalesce(found.kind, receipts.kind) AS kind, session_status,
    CASE WHEN purged_at IS NOT NULL AND endings.state <> 'done' THEN 'purged'
         WHEN endings.state IS NOT NULL THEN endings.state
         WHEN pending.task IS NULL THEN 'delivering'
         WHEN pending.owner IS NULL AND pending.task <> 'retrieve' THEN 'received'
         ELSE 'retrieving' END AS state,
    stale, coalesce(pending.tries + (pending.owner IS NOT NULL)::integer, found.attempts, 0) AS attempts,
    CASE WHEN pending.owner IS NULL THEN pending.due END AS next_attempt_at,
    coalesce(pending.cause, endings.cause, junk) AS last_error, error_code,
    coalesce(NOT has_content, false) AS is_purged, seq, same_as,
    coalesce(pending.cause_code, endings.cause_code) AS cause_code",
    event_tables!()
);
/// Selects an event's number. The planner leaves out the joins that the conditions do not need.
pub(super) const EVENT_NUMBER: &str = concat!("SELECT receipts.seq", event_tables!());

/// Reads an [`Event`] from a row of [`EVENT`].
pub(super) fn event(row: &Row) -> Result<Event, Error> {
    Ok(Event {
        id: id(row, "id")?,
        received_at: time(get(row, "received_at")?)?,
        generated_at: optional_time(get(row, "generated_at")?)?,
        source: word(row, "source")?,
        outcome: word(row, "outcome")?,
        status: get(row, "status")?,
        session_id: SessionId::new(get::<String>(row, "session_id")?),
        encounter_id: get::<Option<String>>(row, "encounter_id")?.and_then(EncounterId::new),
        kind: SessionKind::from_word(get(row, "kind")?),
        session_status: get(row, "session_status")?,
        state: word(row, "state")?,
        stale: get(row, "stale")?,
        attempts: count(row, "attempts")?,
        next_attempt_at: optional_time(get(row, "next_attempt_at")?)?,
        last_error: get(row, "last_error")?,
        cause: optional_word(row, "cause_code")?,
        error_code: get(row, "error_code")?,
        content_purged: get(row, "is_purged")?,
        same_as: get::<Option<Uuid>>(row, "same_as")?.map(event_id),
    })
}

/// Reads a [`LinkRecord`] from its columns.
pub(super) fn link(row: &Row) -> Result<LinkRecord, Error> {
    let (group, href): (String, String) = (get(row, "link_group")?, get(row, "href")?);
    let reason: Option<String> = get(row, "reason")?;
    let (n, state) = (number(row, "n")?, word(row, "state")?);
    Ok(LinkRecord {
        cause: contents::cause_by_texts(&group, &href, reason.as_deref()),
        http_status: http_status(row)?,
        bytes: get::<Option<i64>>(row, "bytes")?
            .map(|bytes| u64::try_from(bytes).map_err(|_| corrupt("bytes")))
            .transpose()?,
        fetched_at: optional_time(get(row, "fetched_at")?)?,
        reason,
        ..LinkRecord::new(n, LinkGroup::new(group), href, state)
    })
}

/// An event's number.
pub(super) async fn number_of(
    client: &impl GenericClient,
    id: EventId,
) -> Result<Option<i64>, Error> {
    let find = client
        .prepare_cached("SELECT seq FROM receipts WHERE id = $1")
        .await?;
    let found = client.query_opt(&find, &[&uuid(id)]).await?;
    found.map(|found| get(&found, "seq")).transpose()
}

/// Parses a task.
pub(super) fn task(row: &Row, column: &'static str) -> Result<Task, Error> {
    get::<&str>(row, column)?
        .parse()
        .map_err(|_| corrupt(column))
}

/// A column's value.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &'static str) -> Result<T, Error> {
    row.try_get(column).map_err(|_| corrupt(column))
}

pub(super) fn id(row: &Row, column: &'static str) -> Result<EventId, Error> {
    get(row, column).map(event_id)
}

pub(super) fn event_id(id: Uuid) -> EventId {
    EventId::from_bytes(id.into_bytes())
}

pub(super) fn uuid(id: EventId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

pub(super) fn time(millis: Millis) -> Result<Timestamp, Error> {
    Timestamp::from_millisecond(millis).map_err(|_| corrupt("time"))
}

pub(super) fn optional_time(millis: Option<Millis>) -> Result<Option<Timestamp>, Error> {
    millis.map(time).transpose()
}

pub(super) fn bytes(row: &Row, column: &'static str) -> Result<Bytes, Error> {
    get::<Vec<u8>>(row, column).map(Bytes::from)
}

/// An `integer` that is never negative.
pub(super) fn number(row: &Row, column: &'static str) -> Result<u32, Error> {
    u32::try_from(get::<i32>(row, column)?).map_err(|_| corrupt(column))
}

/// A number of attempts.
pub(super) fn count(row: &Row, column: &'static str) -> Result<u32, Error> {
    Ok(u32::try_from(get::<i32>(row, column)?).unwrap_or(0))
}

/// A count that is never negative.
pub(super) fn total(row: &Row, column: &'static str) -> Result<u64, Error> {
    u64::try_from(get::<i64>(row, column)?).map_err(|_| corrupt(column))
}

/// Parses one of a closed set of words.
pub(super) fn word<T: FromStr>(row: &Row, column: &'static str) -> Result<T, Error> {
    get::<&str>(row, column)?
        .parse()
        .map_err(|_| corrupt(column))
}

/// Parses one of a closed set of words, or NULL.
pub(super) fn optional_word<T: FromStr>(
    row: &Row,
    column: &'static str,
) -> Result<Option<T>, Error> {
    let word: Option<&str> = get(row, column)?;
    let word = word.map(|word| word.parse().map_err(|_| corrupt(column)));
    word.transpose()
}

/// The status of an answer.
pub(super) fn http_status(row: &Row) -> Result<Option<u16>, Error> {
    let status: Option<i32> = get(row, "http_status")?;
    let status = status.map(|status| u16::try_from(status).map_err(|_| corrupt("http_status")));
    status.transpose()
}

/// How long an attempt took.
pub(super) fn took(row: &Row) -> Result<Option<Duration>, Error> {
    let millis: Option<i64> = get(row, "took_ms")?;
    Ok(millis.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0))))
}

/// Text without U+0000, which JSON allows and PostgreSQL does not. The stored body is unchanged.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{FFFD}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A row limit as an SQL parameter.
pub(super) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn corrupt(what: &'static str) -> Error {
    Error::Corrupt { what }
}
