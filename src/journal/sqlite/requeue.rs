//! Taking an event out of the quarantine, now that its bytes can be read.

use rusqlite::{Connection, OptionalExtension, params};

use super::row;
use crate::domain::{EventId, Millis, Notification};
use crate::journal::{Error, Requeued};

const FIND: &str = "SELECT state = 'quarantined' AND body IS NOT NULL FROM events WHERE id = ?1";
const SAME: &str = "SELECT id FROM events WHERE session_id = ?1 AND dedupe = ?2";
const REQUEUE: &str = "UPDATE events SET session_id = ?2, dedupe = ?3, encounter_id = ?4, status = ?5, outcome = ?6,
    kind = ?7, error_code = ?8, state = 'received', needs_sdp = ?9, started_at = ?10, next_attempt_at = ?10, attempts = 0,
    fence = fence + 1, holder = NULL, last_error = NULL, ended_at = NULL WHERE id = ?1";

/// Makes the event that was quarantined the notification that it is.
pub(super) fn requeue(
    connection: &Connection,
    id: EventId,
    notification: &Notification,
    actor: &str,
    now: Millis,
) -> Result<Requeued, Error> {
    let found: Option<bool> = connection
        .prepare_cached(FIND)?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?;
    match found {
        None => return Ok(Requeued::NotFound),
        Some(false) => return Ok(Requeued::NotQuarantined),
        Some(true) => {}
    }
    let session_id = notification.session_id.as_str();
    let same = connection
        .prepare_cached(SAME)?
        .query_row(params![session_id, notification.dedupe.as_bytes()], |row| {
            row.get(0)
        })
        .optional()?;
    if let Some(same) = same {
        return Ok(Requeued::Duplicate(row::id(same)));
    }
    connection.prepare_cached(REQUEUE)?.execute(params![
        id.as_bytes(),
        session_id,
        notification.dedupe.as_bytes(),
        notification.encounter_id.as_ref().map(|id| id.as_str()),
        notification.status,
        notification.outcome.as_str(),
        notification.kind.as_str(),
        notification.error_code,
        notification.needs_sdp(),
        now,
    ])?;
    connection
        .prepare_cached(
            "INSERT INTO attempts (event, at, what, detail)
             SELECT seq, ?2, 'requeue', ?3 FROM events WHERE id = ?1",
        )?
        .execute(params![id.as_bytes(), now, format!("by {actor}")])?;
    Ok(Requeued::Scheduled)
}
