//! Releases an event from quarantine when its bytes can be parsed.

use rusqlite::{OptionalExtension, params};

use super::append::stored;
use super::counts::Tx;
use super::{expectation, progress, row};
use crate::domain::{EventId, EventState, Millis, Notification};
use crate::journal::lease::{first_task, new_fence};
use crate::journal::{Error, Requeued};

const FIND: &str = "SELECT seq, junk IS NOT NULL AND body IS NOT NULL FROM receipts WHERE id = ?1";
const SAME: &str = "SELECT id FROM receipts WHERE dedupe = ?1";
const REQUEUE: &str = "UPDATE receipts SET session_id = ?2, dedupe = ?3, encounter_id = ?4, status = ?5, outcome = ?6,
    kind = ?7, error_code = ?8, junk = NULL WHERE seq = ?1";
const WORK: &str =
    "INSERT INTO work (event, task, due, fence, started_at) VALUES (?1, ?2, ?3, ?4, ?3)";

/// Turns a quarantined event into the notification that its bytes are.
pub(super) fn requeue(
    tx: &Tx<'_>,
    id: EventId,
    notification: &Notification,
    actor: &str,
    now: Millis,
) -> Result<Requeued, Error> {
    let found: Option<(i64, bool)> = tx
        .prepare_cached(FIND)?
        .query_row([id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let seq = match found {
        None => return Ok(Requeued::NotFound),
        Some((_, false)) => return Ok(Requeued::NotQuarantined),
        Some((seq, true)) => seq,
    };
    let dedupe = stored(&notification.dedupe);
    let same = tx
        .prepare_cached(SAME)?
        .query_row([dedupe], |row| row.get(0))
        .optional()?;
    if let Some(same) = same {
        return Ok(Requeued::Duplicate(row::id(same)));
    }
    tx.prepare_cached(REQUEUE)?.execute(params![
        seq,
        notification.session_id.as_str(),
        dedupe,
        notification.encounter_id.as_ref().map(|id| id.as_str()),
        notification.status(),
        notification.outcome().as_str(),
        notification.kind().as_str(),
        notification.error_code(),
    ])?;
    tx.prepare_cached("DELETE FROM endings WHERE event = ?1")?
        .execute([seq])?;
    tx.leaves(EventState::Quarantined);
    let task = first_task(notification.needs_sdp()).to_string();
    tx.prepare_cached(WORK)?
        .execute(params![seq, task, now, new_fence()])?;
    tx.enters(EventState::Received);
    expectation::meet(tx, &notification.session_id, (seq, id), now)?;
    progress::history(tx, seq, now, "requeue", &format!("by {actor}"))?;
    Ok(Requeued::Scheduled)
}
