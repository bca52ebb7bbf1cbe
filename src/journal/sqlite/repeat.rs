//! Handles a notification that is sent again later: the vendor may have made another note and announce it with
//! identical content. What was fetched before is fetched again and compared.

use rusqlite::{OptionalExtension, Row, params};

use super::counts::Tx;
use super::row;
use crate::domain::{EventId, Millis};
use crate::journal::lease::{LATER_BY, WHEN_RETRIEVED, new_fence};
use crate::journal::{Again, Error};

const FIND: &str =
    "SELECT seq, generated_at, body IS NOT NULL AND junk IS NULL FROM receipts WHERE id = ?1";
/// The event that has replaced this one: its deduplication key is this one's id.
const NEXT: &str = "SELECT id FROM receipts WHERE dedupe = ?1";
const RETRIEVED: &str =
    "SELECT retrieved_at, EXISTS (SELECT 1 FROM endings WHERE event = ?1 AND state = 'dead')
    FROM retrievals WHERE event = ?1";
/// What somebody asked for includes what a repeated notification asks for, so it stays asked for.
const NOTE: &str = "INSERT INTO work (event, task, due, fence, started_at, noted_at, cause)
    VALUES (?1, 'refresh', ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (event, task) DO UPDATE SET due = min(due, excluded.due),
        cause = CASE work.cause WHEN 'asked' THEN work.cause ELSE excluded.cause END,
        noted_at = max(coalesce(noted_at, 0), excluded.noted_at)";

const ASK: &str = "INSERT INTO work (event, task, due, fence, started_at, noted_at, cause)
    SELECT seq, 'refresh', ?2, ?3, ?2, ?2, 'asked' FROM receipts JOIN retrievals ON event = seq
    WHERE id = ?1 AND body IS NOT NULL AND retrieved_at IS NOT NULL
    ON CONFLICT (event, task) DO UPDATE SET due = min(due, excluded.due), cause = excluded.cause,
        noted_at = max(coalesce(noted_at, 0), excluded.noted_at)";

/// Records that an event's notification came again, sent at `generated_at`.
pub(super) fn note(
    tx: &Tx<'_>,
    first: EventId,
    generated_at: Millis,
    now: Millis,
) -> Result<(), Error> {
    let newest = newest(tx, first)?;
    let found: Option<(i64, Option<Millis>, bool)> = tx
        .prepare_cached(FIND)?
        .query_row([newest.as_bytes()], |found| {
            Ok((found.get(0)?, found.get(1)?, found.get(2)?))
        })
        .optional()?;
    let Some((event, sent_at, true)) = found else {
        return Ok(());
    };
    if sent_at.is_none_or(|sent_at| generated_at <= sent_at) {
        return Ok(());
    }
    let retrieved: Option<(Option<Millis>, bool)> = tx
        .prepare_cached(RETRIEVED)?
        .query_row([event], |found| Ok((found.get(0)?, found.get(1)?)))
        .optional()?;
    let due = match retrieved {
        Some((Some(retrieved_at), false)) if generated_at > retrieved_at + LATER_BY => now,
        Some((None, false)) | None => WHEN_RETRIEVED,
        Some(_) => return Ok(()),
    };
    schedule(tx, event, Again::Repeated(generated_at), due, now)
}

/// Reads the cause and the time of a refresh.
pub(super) fn again(row: &Row<'_>) -> rusqlite::Result<Again> {
    Ok(Again::of(row.get_ref(0)?.as_str_or_null()?, row.get(1)?))
}

/// Schedules a refresh at `due`.
pub(super) fn schedule(
    tx: &Tx<'_>,
    event: i64,
    again: Again,
    due: Millis,
    now: Millis,
) -> Result<(), Error> {
    let (noted_at, cause) = (again.noted_at(), again.cause());
    tx.prepare_cached(NOTE)?
        .execute(params![event, due, new_fence(), now, noted_at, cause])?;
    Ok(())
}

/// Schedules another fetch of an event's newest version because somebody asked for it. Returns `false` when it was
/// never retrieved.
pub(super) fn ask(tx: &Tx<'_>, first: EventId, now: Millis) -> Result<bool, Error> {
    let newest = newest(tx, first)?;
    let asked = tx
        .prepare_cached(ASK)?
        .execute(params![newest.as_bytes(), now, new_fence()])?;
    Ok(asked == 1)
}

/// The newest version of an event. Each version has the id of the one before as its deduplication key, so the chain
/// ends.
fn newest(tx: &Tx<'_>, first: EventId) -> Result<EventId, Error> {
    let mut newest = first;
    while let Some(next) = tx
        .prepare_cached(NEXT)?
        .query_row([&newest.as_bytes()[..]], |found| found.get(0))
        .optional()?
    {
        newest = row::id(next);
    }
    Ok(newest)
}
