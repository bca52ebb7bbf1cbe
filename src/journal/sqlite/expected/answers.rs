//! Records answers to polls while the session is still awaited, and makes an event for a session that has ended.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::read::event_of;
use crate::domain::{EventId, ExpectedState, Millis, Poll, SessionId, Source};
use crate::journal::lease::new_fence;
use crate::journal::record::NewContent;
use crate::journal::sqlite::counts::Tx;
use crate::journal::sqlite::{append, finish, row};
use crate::journal::{
    Appended, Error, Follows, Found, NewEvent, PollAnswer, PollEnded, Polled, Recovered,
};

const UNSEEN: &str = "SELECT id FROM work JOIN receipts ON receipts.seq = work.event
    WHERE task IN ('forward', 'new', 'retrieve')
        AND receipts.session_id = (SELECT session_id FROM expected WHERE seq = ?1) LIMIT 1";

/// The events of these sessions that nobody has worked on yet, by the session's number. They are found by a scan,
/// because only their receipts name the session.
pub(super) fn unseen(
    connection: &Connection,
    numbers: &[i64],
) -> Result<HashMap<i64, EventId>, Error> {
    let mut unseen = HashMap::new();
    for number in numbers {
        let id = connection
            .prepare_cached(UNSEEN)?
            .query_row([number], |found| found.get(0))
            .optional()?;
        if let Some(id) = id {
            unseen.insert(*number, row::id(id));
        }
    }
    Ok(unseen)
}

/// Records the answer to a poll. `unseen` is an event of the session that nobody has worked on yet, if there is one.
pub(super) fn end(
    tx: &Tx<'_>,
    polled: &Polled,
    unseen: Option<EventId>,
    now: Millis,
) -> Result<PollEnded, Error> {
    let found = tx
        .prepare_cached(
            "SELECT session_id, polls, due IS NOT NULL, state FROM expected WHERE seq = ?1",
        )?
        .query_row([polled.number], |found| {
            Ok((
                found.get::<_, String>(0)?,
                found.get::<_, u32>(1)?,
                found.get::<_, bool>(2)?,
                found.get::<_, String>(3)?,
            ))
        })
        .optional()?;
    let session = match found {
        Some((session, polls, true, _)) if polls == polled.polls => session,
        Some((.., state)) if state == ExpectedState::Met.as_str() => return Ok(PollEnded::Met),
        Some(_) | None => return Ok(PollEnded::Lost),
    };
    match &polled.answer.follows {
        Follows::Again {
            poll,
            state,
            counts,
        } => {
            note(tx, polled, *state, Some(*poll), *counts)?;
            Ok(PollEnded::Kept)
        }
        Follows::Over(state) => {
            note(tx, polled, *state, None, true)?;
            Ok(PollEnded::Kept)
        }
        Follows::Recovered(recovered) => {
            let session = SessionId::new(session).ok_or(Error::Corrupt { what: "session id" })?;
            recover(tx, polled, (&session, unseen), recovered, now)
        }
    }
}

/// Writes the answer and the session's state.
fn note(
    tx: &Tx<'_>,
    polled: &Polled,
    state: ExpectedState,
    poll: Option<Poll>,
    counts: bool,
) -> Result<(), Error> {
    let PollAnswer {
        status,
        result,
        kind,
        aborted_at,
        ..
    } = &polled.answer;
    tx.prepare_cached(
        "UPDATE expected SET state = ?2, due = ?3, lane = coalesce(?4, lane), polls = polls + ?5,
            last_status = coalesce(?6, last_status), last_result = ?7, kind = CASE ?8 WHEN 'unknown' THEN kind ELSE ?8 END,
            aborted_at = ?9, settled_at = CASE WHEN ?3 IS NULL THEN ?10 END WHERE seq = ?1",
    )?
    .execute(params![
        polled.number,
        state.as_str(),
        poll.map(|poll| poll.due),
        poll.map(|poll| poll.lane.number()),
        counts,
        status,
        result,
        kind.as_str(),
        aborted_at.map(|time| time.as_millisecond()),
        polled.at.as_millisecond(),
    ])?;
    Ok(())
}

/// Makes the event of a session that has ended, unless it has one already.
fn recover(
    tx: &Tx<'_>,
    polled: &Polled,
    (session, unseen): (&SessionId, Option<EventId>),
    recovered: &Recovered,
    now: Millis,
) -> Result<PollEnded, Error> {
    let met = |event: EventId| {
        note(tx, polled, ExpectedState::Met, None, true)?;
        tx.prepare_cached("UPDATE expected SET event = ?2 WHERE seq = ?1")?
            .execute(params![polled.number, event.as_bytes()])?;
        Ok(PollEnded::Met)
    };
    if let Some(event) = event_of(tx, session)?.or(unseen) {
        return met(event);
    }
    let event = NewEvent {
        id: recovered.id,
        received_at: polled.at,
        generated_at: None,
        source: Source::Reconcile,
        stale: false,
        content: NewContent::Notification(std::sync::Arc::new(recovered.notification.clone())),
    };
    match append::append(tx, &event, None::<Uuid>, new_fence(), now)?.appended {
        Appended::Duplicate(event) => met(event),
        Appended::New(id) => {
            let seq = tx.last_insert_rowid();
            let found = Found {
                session: recovered.session.clone(),
                links: Vec::new(),
            };
            finish::write_found(tx, seq, &found, 0, None)?;
            note(tx, polled, ExpectedState::Recovered, None, true)?;
            tx.prepare_cached("UPDATE expected SET event = ?2 WHERE seq = ?1")?
                .execute(params![polled.number, id.as_bytes()])?;
            Ok(PollEnded::Recovered(id))
        }
    }
}
