//! The effect of a new event on the expectation of its session: it is met, and its data is attached to the event.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::counts::Tx;
use super::row;
use crate::domain::{Context, EventId, Expectation, ExpectedState, Millis, SessionId};
use crate::journal::Error;

pub(super) const MEET: &str =
    "UPDATE expected SET state = 'met', due = NULL, settled_at = ?2, event = ?3 WHERE seq = ?1";
const AMENDS: &str = "INSERT INTO amendments (event, revision, replaces)
    SELECT ?1, 1 + coalesce((SELECT revision FROM amendments JOIN receipts ON seq = event WHERE id = ?2), 1), ?2";

/// Makes a recovered event that was not delivered yet due at once. Its next attempt ends it, because the notification
/// is delivered in its place.
const HURRY: &str = "UPDATE work SET due = ?2 WHERE event = (SELECT seq FROM receipts WHERE id = ?1) AND owner IS NULL
    AND task IN ('forward', 'new', 'retrieve')";

/// The expectation that a new event of its session meets.
pub(super) struct Met {
    pub(super) expectation: Expectation,
    /// The recovered event of the session, which the new one replaces.
    pub(super) amends: Option<EventId>,
}

/// Ends the expectation of a session for which an event came. If the session had been recovered by polling, it is now
/// late, and the new event is compared with the recovered one before it is delivered.
pub(super) fn meet(
    tx: &Tx<'_>,
    session: &SessionId,
    event: (i64, EventId),
    now: Millis,
) -> Result<Option<Met>, Error> {
    let found = tx
        .prepare_cached(
            "SELECT seq, state, registered_at, ended_at, provider, context, event FROM expected WHERE session_id = ?1",
        )?
        .query_row([session.as_str()], |found| {
            Ok((
                found.get::<_, i64>(0)?,
                found.get::<_, String>(1)?,
                expectation(found, 2)?,
                found.get::<_, Option<[u8; 16]>>(6)?,
            ))
        })
        .optional()?;
    let Some((seq, state, expectation, before)) = found else {
        return Ok(None);
    };
    let state: ExpectedState = state
        .parse()
        .map_err(|_| Error::Corrupt { what: "state" })?;
    let mut amends = None;
    match state {
        ExpectedState::Recovered => {
            tx.prepare_cached("UPDATE expected SET state = 'late' WHERE seq = ?1")?
                .execute([seq])?;
            amends = before.map(row::id);
            tx.prepare_cached(AMENDS)?
                .execute(params![event.0, before])?;
            tx.prepare_cached(HURRY)?.execute(params![before, now])?;
        }
        ExpectedState::Met | ExpectedState::Late | ExpectedState::Withdrawn => {}
        ExpectedState::Open
        | ExpectedState::Polling
        | ExpectedState::Denied
        | ExpectedState::Absent
        | ExpectedState::Expired => {
            tx.prepare_cached(MEET)?
                .execute(params![seq, now, event.1.as_bytes()])?;
        }
    }
    Ok(Some(Met {
        expectation: expectation?,
        amends,
    }))
}

/// The data of an expected session that is attached to its events.
pub(super) fn expectation_of(
    connection: &Connection,
    session: &str,
) -> Result<Option<Expectation>, Error> {
    connection
        .prepare_cached(
            "SELECT registered_at, ended_at, provider, context FROM expected WHERE session_id = ?1",
        )?
        .query_row([session], |found| expectation(found, 0))
        .optional()?
        .transpose()
}

/// Reads the columns from `at` on: registered_at, ended_at, provider, context.
fn expectation(row: &Row<'_>, at: usize) -> rusqlite::Result<Result<Expectation, Error>> {
    let (registered_at, ended_at): (i64, Option<i64>) = (row.get(at)?, row.get(at + 1)?);
    let (provider, context) = (row.get(at + 2)?, context(row, at + 3)?);
    Ok((|| {
        Ok(Expectation {
            registered_at: row::time(registered_at)?,
            ended_at: row::optional_time(ended_at)?,
            provider,
            context,
        })
    })())
}

pub(super) fn context(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Context>> {
    let context: Option<Vec<u8>> = row.get(at)?;
    Ok(context.map(|context| Context(row::bytes(context))))
}

/// Meets the expectation of an event that is processed for the first time: the session may have been registered after
/// its notification was received.
pub(super) fn meet_late(tx: &Tx<'_>, event: i64, now: Millis) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE expected SET state = 'met', due = NULL, settled_at = ?2,
            event = (SELECT id FROM receipts WHERE seq = ?1)
         WHERE session_id = (SELECT session_id FROM receipts WHERE seq = ?1) AND event IS NULL AND due IS NOT NULL",
    )?
    .execute([event, now])?;
    Ok(())
}
