//! Stores an event: the only write that a sender waits for.

use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

use super::counts::Tx;
use super::{expectation, repeat, row};
use crate::domain::{DedupeKey, EventState, Millis, Outcome, SessionKind, Source};
use crate::journal::lease::first_task;
use crate::journal::record::NewContent;
use crate::journal::{Appended, Error, Kept, Lease, NewEvent};

const INSERT: &str = "INSERT INTO receipts
    (id, dedupe, session_id, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code,
     junk, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT (dedupe) DO NOTHING";
const WORK: &str =
    "INSERT INTO work (event, task, due, owner, fence, started_at) VALUES (?1, ?2, ?3, ?4, ?5, ?3)";
const JUNK: &str = "INSERT INTO endings (event, state, ended_at, cause_code, has_content)
    VALUES (?1, 'quarantined', ?2, ?3, 1)";

/// The stored part of a deduplication key: half of it, which is long enough and makes the index smaller.
pub(super) fn stored(key: &DedupeKey) -> &[u8] {
    &key.as_bytes()[..16]
}

/// Stores an event, or finds the one that it duplicates. Its work is due at `now`, by the monotonic clock, because the
/// wall clock of its receipt may have jumped since the start. If there is an `owner`, the work is leased to it.
pub(super) fn append(
    tx: &Tx<'_>,
    event: &NewEvent,
    owner: Option<Uuid>,
    fence: i64,
    now: Millis,
) -> Result<Kept, Error> {
    let received_at = event.received_at.as_millisecond();
    let generated_at = event.generated_at.map(|time| time.as_millisecond());
    let mut insert = tx.prepare_cached(INSERT)?;
    let (dedupe, inserted) = match &event.content {
        NewContent::Notification(notification) => {
            let dedupe = stored(&notification.dedupe);
            let inserted = insert.execute(params![
                event.id.as_bytes(),
                dedupe,
                notification.session_id.as_str(),
                notification.encounter_id.as_ref().map(|id| id.as_str()),
                received_at,
                generated_at,
                event.source.as_str(),
                event.stale,
                notification.status(),
                notification.outcome().as_str(),
                notification.kind().as_str(),
                notification.error_code(),
                None::<&str>,
                &notification.body[..],
            ])?;
            (dedupe, inserted)
        }
        NewContent::Malformed {
            body,
            dedupe,
            malformed,
        } => {
            let dedupe = stored(dedupe);
            let inserted = insert.execute(params![
                event.id.as_bytes(),
                dedupe,
                "",
                None::<&str>,
                received_at,
                generated_at,
                event.source.as_str(),
                event.stale,
                None::<&str>,
                Outcome::Unknown.as_str(),
                SessionKind::Unknown.as_str(),
                None::<&str>,
                malformed.to_string(),
                &body[..],
            ])?;
            (dedupe, inserted)
        }
    };
    if inserted == 0 {
        let first = tx
            .prepare_cached("SELECT id FROM receipts WHERE dedupe = ?1")?
            .query_row([dedupe], |found| found.get(0))
            .optional()?
            .ok_or(Error::Corrupt { what: "dedupe key" })?;
        let first = row::id(first);
        if let (NewContent::Notification(_), Some(at)) = (&event.content, generated_at) {
            repeat::note(tx, first, at, now)?;
        }
        return Ok(Kept::new(Appended::Duplicate(first), None));
    }
    let seq = tx.last_insert_rowid();
    let lease = plan(tx, event, seq, owner, fence, now).inspect_err(|_| {
        // A receipt without work would never be processed. If this deletion fails too, the whole batch fails.
        tx.execute("DELETE FROM receipts WHERE seq = ?1", [seq])
            .ok();
    })?;
    let mut kept = Kept::new(Appended::New(event.id), lease);
    if let NewContent::Notification(notification) = &event.content
        && event.source != Source::Reconcile
        && let Some(met) = expectation::meet(tx, &notification.session_id, (seq, event.id), now)?
    {
        (kept.expected, kept.amends) = (Some(met.expectation), met.amends);
    }
    Ok(kept)
}

/// Stores the first task of a new event.
fn plan(
    tx: &Tx<'_>,
    event: &NewEvent,
    seq: i64,
    owner: Option<Uuid>,
    fence: i64,
    now: Millis,
) -> Result<Option<Lease>, Error> {
    let notification = match &event.content {
        NewContent::Notification(notification) => notification,
        NewContent::Malformed { malformed, .. } => {
            let cause = malformed.cause().as_str();
            tx.prepare_cached(JUNK)?.execute(params![seq, now, cause])?;
            tx.enters(EventState::Quarantined);
            return Ok(None);
        }
    };
    let task = first_task(notification.needs_sdp());
    let holder = owner.as_ref().map(Uuid::as_bytes);
    tx.prepare_cached(WORK)?
        .execute(params![seq, task.to_string(), now, holder, fence])?;
    tx.enters(EventState::Received);
    Ok(owner.map(|_| Lease {
        event: seq,
        task,
        fence,
    }))
}
