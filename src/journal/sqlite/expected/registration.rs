//! Registers sessions, and fills in unknown fields of sessions that are already registered.

use rusqlite::params;

use super::read::{event_of, one};
use crate::domain::Expected;
use crate::domain::{EncounterId, Millis, Poll, SessionId};
use crate::journal::sqlite::counts::Tx;
use crate::journal::sqlite::expectation::MEET;
use crate::journal::{Change, Error, NewExpected, Registered};

const INSERT: &str =
    "INSERT INTO expected (session_id, encounter_id, kind, provider, origin, started_at, ended_at,
        deadline, registered_at, context, state, due, lane, due_since)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open', ?11, ?12, ?11)
    ON CONFLICT (session_id) DO NOTHING";
/// Fills in unknown fields. A sibling session that the partner registers itself is no longer marked as a sibling.
const MERGE: &str = "UPDATE expected SET encounter_id = coalesce(encounter_id, ?2),
    kind = CASE kind WHEN 'unknown' THEN ?3 ELSE kind END, provider = coalesce(provider, ?4),
    origin = CASE origin WHEN 'sibling' THEN ?5 ELSE origin END, started_at = coalesce(started_at, ?6),
    ended_at = coalesce(ended_at, ?7), deadline = coalesce(deadline, ?8), context = coalesce(context, ?9)
    WHERE session_id = ?1";
const RESCHEDULE: &str = "UPDATE expected SET due = ?2, lane = ?3, due_since = min(due_since, ?2)
    WHERE seq = ?1 AND due IS NOT NULL AND due > ?2";

pub(super) fn expect(tx: &Tx<'_>, new: &NewExpected, now: Millis) -> Result<Registered, Error> {
    let said = &new.registration;
    let (encounter, context) = (
        said.encounter_id.as_ref().map(EncounterId::as_str),
        said.context.as_ref().map(|context| &context.0[..]),
    );
    let millis = |time: Option<jiff::Timestamp>| time.map(|time| time.as_millisecond());
    let inserted = tx.prepare_cached(INSERT)?.execute(params![
        said.session_id.as_str(),
        encounter,
        said.kind.as_str(),
        said.provider,
        said.origin.as_str(),
        millis(said.started_at),
        millis(said.ended_at),
        millis(said.deadline),
        new.registered_at.as_millisecond(),
        context,
        new.first_poll.due,
        new.first_poll.lane.number(),
    ])?;
    let is_new = inserted == 1;
    if is_new {
        let (seq, event) = (tx.last_insert_rowid(), event_of(tx, &said.session_id)?);
        if let Some(event) = event {
            tx.prepare_cached(MEET)?
                .execute(params![seq, now, event.as_bytes()])?;
        }
    } else {
        tx.prepare_cached(MERGE)?.execute(params![
            said.session_id.as_str(),
            encounter,
            said.kind.as_str(),
            said.provider,
            said.origin.as_str(),
            millis(said.started_at),
            millis(said.ended_at),
            millis(said.deadline),
            context,
        ])?;
    }
    let mut expected = one(tx, &said.session_id)?.ok_or(Error::Corrupt { what: "session" })?;
    // The new data may make the next poll due sooner.
    if !is_new
        && tx.prepare_cached(RESCHEDULE)?.execute(params![
            expected.number,
            new.first_poll.due,
            new.first_poll.lane.number()
        ])? == 1
    {
        expected = one(tx, &said.session_id)?.ok_or(Error::Corrupt { what: "session" })?;
    }
    Ok(Registered { is_new, expected })
}

pub(super) fn change_one(
    tx: &Tx<'_>,
    id: &SessionId,
    change: &Change,
    poll: Option<Poll>,
) -> Result<Option<Expected>, Error> {
    tx.prepare_cached(
        "UPDATE expected SET ended_at = coalesce(?2, ended_at), provider = coalesce(?3, provider),
            deadline = coalesce(?4, deadline) WHERE session_id = ?1",
    )?
    .execute(params![
        id.as_str(),
        change.ended_at.map(|time| time.as_millisecond()),
        change.provider,
        change.deadline.map(|time| time.as_millisecond()),
    ])?;
    if let Some(poll) = poll {
        tx.prepare_cached(
            "UPDATE expected SET due = ?2, lane = ?3, due_since = ?2 WHERE session_id = ?1 AND due IS NOT NULL",
        )?
        .execute(params![id.as_str(), poll.due, poll.lane.number()])?;
    }
    one(tx, id)
}
