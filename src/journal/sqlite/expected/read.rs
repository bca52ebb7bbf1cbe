//! Reads an expected session from its row.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::domain::{EncounterId, EventId, Expected, Origin, Registration, SessionId, SessionKind};
use crate::journal::Error;
use crate::journal::sqlite::expectation::context;
use crate::journal::sqlite::row;

pub(super) const SELECT: &str = "SELECT seq, session_id, encounter_id, kind, provider, origin, started_at, ended_at, deadline,
    registered_at, context, state, due, due_since, polls, last_status, last_result, aborted_at, settled_at, event
    FROM expected";
const EVENT_OF: &str = "SELECT id FROM mentions JOIN receipts ON receipts.seq = event
    WHERE name = ?1 AND session_id = ?1 ORDER BY event LIMIT 1";

pub(super) fn one(connection: &Connection, id: &SessionId) -> Result<Option<Expected>, Error> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} WHERE session_id = ?1"))?;
    let mut found = all(statement.query([id.as_str()])?)?;
    Ok(found.pop())
}

/// The first event of a session that was worked on. An event that nobody has worked on yet meets its expectation when
/// its work begins.
pub(super) fn event_of(
    connection: &Connection,
    session: &SessionId,
) -> Result<Option<EventId>, Error> {
    let id = connection
        .prepare_cached(EVENT_OF)?
        .query_row([session.as_str()], |found| found.get(0))
        .optional()?;
    Ok(id.map(row::id))
}

pub(super) fn all(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Expected>, Error> {
    let mut sessions = Vec::new();
    while let Some(found) = rows.next()? {
        sessions.push(read(found)?);
    }
    Ok(sessions)
}

/// Reads a session from a row of [`SELECT`].
pub(super) fn read(row: &Row<'_>) -> Result<Expected, Error> {
    let corrupt = Error::Corrupt { what: "session id" };
    Ok(Expected {
        number: row.get(0)?,
        registration: Registration {
            session_id: SessionId::new(row.get::<_, String>(1)?).ok_or(corrupt)?,
            encounter_id: row.get::<_, Option<String>>(2)?.and_then(EncounterId::new),
            kind: SessionKind::from_word(&row.get::<_, String>(3)?),
            provider: row.get(4)?,
            origin: row::word::<Origin>(row, 5, "origin")?,
            started_at: row::optional_time(row.get(6)?)?,
            ended_at: row::optional_time(row.get(7)?)?,
            deadline: row::optional_time(row.get(8)?)?,
            context: context(row, 10)?,
        },
        registered_at: row::time(row.get(9)?)?,
        state: row::word(row, 11, "state")?,
        next_poll_at: row::optional_time(row.get(12)?)?,
        due_since: row::time(row.get(13)?)?,
        polls: row.get(14)?,
        last_status: row.get(15)?,
        last_result: row.get(16)?,
        aborted_at: row::optional_time(row.get(17)?)?,
        settled_at: row::optional_time(row.get(18)?)?,
        event: row.get::<_, Option<[u8; 16]>>(19)?.map(row::id),
    })
}
