//! Keeping an event: the one write that a sender waits for.

use rusqlite::{Connection, OptionalExtension, params};

use super::row;
use crate::domain::{EventState, Millis, Outcome, SessionKind};
use crate::journal::record::NewContent;
use crate::journal::{Appended, Error, NewEvent};

const INSERT: &str = "INSERT INTO events
    (id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code,
     state, needs_sdp, started_at, next_attempt_at, last_error, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
    ON CONFLICT (session_id, dedupe) DO NOTHING";
const FIND: &str = "SELECT id FROM events WHERE session_id = ?1 AND dedupe = ?2";

/// Keeps an event or finds the one that it repeats. It is due at `now`, by the steady clock: the wall clock, which says
/// when it was received, may have jumped since the start.
pub(super) fn append(
    connection: &Connection,
    event: &NewEvent,
    now: Millis,
) -> Result<Appended, Error> {
    let received_at = event.received_at.as_millisecond();
    let generated_at = event.generated_at.map(|time| time.as_millisecond());
    let mut insert = connection.prepare_cached(INSERT)?;
    let (session_id, dedupe, inserted) = match &event.content {
        NewContent::Notification(notification) => {
            let session_id = notification.session_id.as_str();
            let inserted = insert.execute(params![
                event.id.as_bytes(),
                session_id,
                notification.dedupe.as_bytes(),
                notification.encounter_id.as_ref().map(|id| id.as_str()),
                received_at,
                generated_at,
                event.source.as_str(),
                event.stale,
                notification.status,
                notification.outcome.as_str(),
                notification.kind.as_str(),
                notification.error_code,
                EventState::Received.as_str(),
                notification.needs_sdp(),
                now,
                now,
                None::<&str>,
                &notification.body[..],
            ])?;
            (session_id, &notification.dedupe, inserted)
        }
        NewContent::Junk {
            body,
            dedupe,
            reason,
        } => {
            let inserted = insert.execute(params![
                event.id.as_bytes(),
                "",
                dedupe.as_bytes(),
                None::<&str>,
                received_at,
                generated_at,
                event.source.as_str(),
                event.stale,
                None::<&str>,
                Outcome::Unknown.as_str(),
                SessionKind::Unknown.as_str(),
                None::<&str>,
                EventState::Quarantined.as_str(),
                false,
                now,
                None::<i64>,
                reason,
                &body[..],
            ])?;
            ("", dedupe, inserted)
        }
    };
    if inserted == 1 {
        return Ok(Appended::New(event.id));
    }
    let first = connection
        .prepare_cached(FIND)?
        .query_row(params![session_id, dedupe.as_bytes()], |found| found.get(0))
        .optional()?
        .ok_or(Error::Corrupt { what: "dedupe key" })?;
    Ok(Appended::Duplicate(row::id(first)))
}
