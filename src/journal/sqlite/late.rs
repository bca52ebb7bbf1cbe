//! Events that were delivered without something: asking for it again, and the amendment when it came.

use rusqlite::{Connection, params};

use super::{finish, query, row};
use crate::domain::{EventState, Millis, Source};
use crate::journal::{Amendment, Due, Error, EventLease, Held, LateEvent};

/// What is purged, or fetched anew from the start, has nothing to be amended.
const FORGET: &str = "DELETE FROM late WHERE refresh_at <= ?1 AND NOT EXISTS
    (SELECT 1 FROM events WHERE seq = event AND body IS NOT NULL AND retrieved_at IS NOT NULL)";
const CLAIM: &str = "UPDATE late SET refresh_at = ?2
    WHERE event IN (SELECT event FROM late WHERE refresh_at <= ?1 ORDER BY refresh_at LIMIT ?3) RETURNING event";
const EVENT: &str = "SELECT fence, id, retrieved_at, outcome FROM events WHERE seq = ?1";
/// While nobody has changed the event since, nor amended it.
const END: &str = "DELETE FROM late WHERE event = ?1 AND EXISTS
    (SELECT 1 FROM events WHERE seq = ?1 AND fence = ?2 AND body IS NOT NULL AND retrieved_at IS NOT NULL)";
const LOOK: &str = "INSERT INTO late (event, refresh_at) VALUES (?1, ?2)
    ON CONFLICT (event) DO UPDATE SET refresh_at = excluded.refresh_at";
/// The same event with another id. It is a duplicate of nothing: its key is the id of what it replaces.
const INSERT: &str = "INSERT INTO events
    (id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code,
     session_status, state, needs_sdp, started_at, retrieved_at, body)
    SELECT ?2, session_id, id, encounter_id, ?3, generated_at, ?4, stale, status, outcome, kind, error_code,
     session_status, ?5, needs_sdp, ?6, retrieved_at, body
    FROM events WHERE seq = ?1";
const AMENDS: &str = "INSERT INTO amendments (event, revision, replaces)
    SELECT ?2, 1 + coalesce((SELECT revision FROM amendments WHERE event = ?1), 1), id FROM events WHERE seq = ?1";
const COPY_LINKS: &str = "INSERT INTO links
    (event, n, link_group, href, state, http_status, fetched_at, reason, bytes, body)
    SELECT ?2, n, link_group, href, state, http_status, fetched_at, reason, bytes, body FROM links WHERE event = ?1";

/// Whether anything is due.
pub(super) fn is_due(connection: &Connection, now: Millis) -> Result<bool, Error> {
    let mut due = connection.prepare_cached("SELECT 1 FROM late WHERE refresh_at <= ?1 LIMIT 1")?;
    Ok(due.exists([now])?)
}

/// Claims what is due.
pub(super) fn claim(connection: &Connection, due: Due) -> Result<Vec<LateEvent>, Error> {
    connection.prepare_cached(FORGET)?.execute([due.now])?;
    let mut claim = connection.prepare_cached(CLAIM)?;
    let limit = i64::try_from(due.limit).unwrap_or(i64::MAX);
    let events = claim.query_map(params![due.now, due.until, limit], |row| row.get(0))?;
    let events: Vec<i64> = events.collect::<Result<_, _>>()?;
    let mut find = connection.prepare_cached(EVENT)?;
    let mut claimed = Vec::with_capacity(events.len());
    for event in events {
        let mut rows = find.query([event])?;
        let Some(found) = rows.next()? else { continue };
        claimed.push(LateEvent {
            lease: EventLease {
                event,
                fence: found.get(0)?,
            },
            id: row::id(found.get(1)?),
            retrieved_at: found.get(2)?,
            outcome: row::word(found, 3, "outcome")?,
            links: query::links(connection, event)?,
        });
    }
    Ok(claimed)
}

/// Asks for what an event was delivered without at that time.
pub(super) fn look_at(connection: &Connection, event: i64, at: Millis) -> Result<(), Error> {
    connection
        .prepare_cached(LOOK)?
        .execute(params![event, at])?;
    Ok(())
}

/// Asks for nothing of an event any more.
pub(super) fn forget(connection: &Connection, event: i64) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM late WHERE event = ?1")?
        .execute([event])?;
    Ok(())
}

/// Ends a look.
pub(super) fn finish(
    connection: &Connection,
    lease: EventLease,
    next: Option<Millis>,
    amendment: Option<&Amendment>,
    now: Millis,
) -> Result<Held, Error> {
    let kept = connection
        .prepare_cached(END)?
        .execute(params![lease.event, lease.fence])?;
    if kept == 0 {
        return Ok(Held::Lost);
    }
    let Some(amendment) = amendment else {
        next.map_or(Ok(()), |next| look_at(connection, lease.event, next))?;
        return Ok(Held::Kept);
    };
    connection.prepare_cached(INSERT)?.execute(params![
        lease.event,
        amendment.id.as_bytes(),
        amendment.received_at.as_millisecond(),
        Source::Refresh.as_str(),
        EventState::Delivering.as_str(),
        amendment.at,
    ])?;
    let event = connection.last_insert_rowid();
    connection
        .prepare_cached(AMENDS)?
        .execute(params![lease.event, event])?;
    next.map_or(Ok(()), |next| look_at(connection, event, next))?;
    connection
        .prepare_cached(COPY_LINKS)?
        .execute(params![lease.event, event])?;
    finish::write_links(connection, event, &amendment.links)?;
    finish::plan_deliveries(connection, event, &amendment.sinks, amendment.at)?;
    finish::end_event(connection, event, now)?;
    let detail = format!("late content came; amended by {}", amendment.id);
    finish::history(connection, lease.event, now, "refresh", &detail)?;
    Ok(Held::Kept)
}
