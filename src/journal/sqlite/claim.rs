//! Claiming what is due. A claim moves `next_attempt_at` to the lease's end and the fence on by one: a lease that runs
//! out is due again by itself, and whoever held it can no longer write.
//!
//! What is due is read beside the writer and then taken by it, if it is still as it was read. So the writer reads no
//! bodies, and a damaged page is met by a reader: within a transaction that writes it would undo the appends of its
//! batch.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::damage::Met;
use super::readers::Readers;
use super::row;
use super::writer::Writer;
use crate::domain::{Millis, SessionKind};
use crate::journal::{ClaimedDelivery, ClaimedEvent, DeliveryLease, Due, Error, EventLease};

const DUE_EVENTS: &str = "SELECT seq FROM events INDEXED BY events_due
    WHERE needs_sdp = ?1 AND next_attempt_at <= ?2 ORDER BY next_attempt_at";
const EVENT: &str = "SELECT seq, fence + 1, id, received_at, started_at, attempts + 1, outcome, kind, session_status, body,
    session_id, encounter_id, status, needs_sdp, next_attempt_at, tried_ms, source, error_code FROM events WHERE seq = ?1";
const NEW_EVENTS: &str = "SELECT seq FROM events INDEXED BY events_state
    WHERE state = 'received' AND needs_sdp AND next_attempt_at <= ?1 ORDER BY seq";
const TAKE_EVENT: &str = "UPDATE events
    SET next_attempt_at = ?1, holder = ?2, fence = fence + 1, attempts = attempts + 1, state = 'retrieving'
    WHERE seq = ?3 AND fence = ?4 - 1 AND next_attempt_at = ?5";
const DUE_DELIVERIES: &str = "SELECT event FROM deliveries INDEXED BY deliveries_due
    WHERE sink = ?1 AND next_attempt_at <= ?2 ORDER BY next_attempt_at";
const DELIVERY: &str = "SELECT event, fence + 1, sink, started_at, attempts + 1,
    (SELECT id FROM events WHERE seq = event), next_attempt_at FROM deliveries WHERE sink = ?1 AND event = ?2";
const TAKE_DELIVERY: &str = "UPDATE deliveries
    SET next_attempt_at = ?1, holder = ?2, fence = fence + 1, attempts = attempts + 1
    WHERE sink = ?3 AND event = ?4 AND fence = ?5 - 1 AND next_attempt_at = ?6";

/// Something that is due, as it will be once it is claimed, and since when it is due.
struct Found<T> {
    item: T,
    due_at: Millis,
}

/// Whom to ask.
pub(super) struct Claims<'a> {
    pub(super) readers: &'a Readers,
    pub(super) writer: &'a Writer,
    pub(super) damage: &'a Met,
    pub(super) holder: Uuid,
}

impl Claims<'_> {
    /// Claims due events: first those that need no call to the vendor's API, then at most `most_with_sdp` of those that
    /// do.
    pub(super) async fn events(
        &self,
        due: Due,
        most_with_sdp: usize,
    ) -> Result<Vec<ClaimedEvent>, Error> {
        let damage = self.damage.clone();
        let find = move |reader: &Connection| due_events(reader, &damage, due, most_with_sdp);
        let found = self.readers.read(find).await?;
        self.take(due, found).await
    }

    /// Claims due events that were never worked on and need the vendor's API.
    pub(super) async fn new_events(&self, due: Due) -> Result<Vec<ClaimedEvent>, Error> {
        let damage = self.damage.clone();
        let find = move |reader: &Connection| {
            let mut seqs = reader.prepare_cached(NEW_EVENTS)?;
            let seqs = seqs.query_map([due.now], |row| row.get(0))?;
            readable(seqs, due.limit, &damage, |seq: i64| {
                one(reader, EVENT, params![seq], event)
            })
        };
        let found = self.readers.read(find).await?;
        self.take(due, found).await
    }

    /// Takes what was found, with the links of earlier attempts.
    async fn take(
        &self,
        due: Due,
        found: Vec<Found<ClaimedEvent>>,
    ) -> Result<Vec<ClaimedEvent>, Error> {
        let holder = self.holder;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let take = move |writer: &Connection| take_events(writer, holder, due.until, found);
        let claimed = self.writer.write(take).await?;
        if claimed.iter().all(|event| event.lease.is_first()) {
            return Ok(claimed);
        }
        let damage = self.damage.clone();
        let add_links = move |reader: &Connection| with_links(reader, &damage, claimed);
        self.readers.read(add_links).await
    }

    /// Claims due deliveries to a sink.
    pub(super) async fn deliveries(
        &self,
        sink: &str,
        due: Due,
    ) -> Result<Vec<ClaimedDelivery>, Error> {
        let (holder, damage, sink) = (self.holder, self.damage.clone(), sink.to_owned());
        let find = move |reader: &Connection| due_deliveries(reader, &damage, &sink, due);
        let found = self.readers.read(find).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let take = move |writer: &Connection| take_deliveries(writer, holder, due.until, found);
        self.writer.write(take).await
    }
}

/// Finds due events: first those that need no call to the vendor's API, then at most `most_with_sdp` of those that do.
fn due_events(
    connection: &Connection,
    damage: &Met,
    due: Due,
    most_with_sdp: usize,
) -> Result<Vec<Found<ClaimedEvent>>, Error> {
    let mut found = Vec::new();
    for (needs_sdp, most) in [(false, due.limit), (true, most_with_sdp)] {
        let room = most.min(due.limit - found.len());
        let mut seqs = connection.prepare_cached(DUE_EVENTS)?;
        let seqs = seqs.query_map(params![needs_sdp, due.now], |row| row.get(0))?;
        found.extend(readable(seqs, room, damage, |seq: i64| {
            one(connection, EVENT, params![seq], event)
        })?);
    }
    Ok(found)
}

/// Reads at most `room` of what is due. One that stands on a damaged page must not take the others with it.
fn readable<T>(
    due: impl Iterator<Item = rusqlite::Result<i64>>,
    room: usize,
    damage: &Met,
    read: impl Fn(i64) -> Result<Option<Found<T>>, Error>,
) -> Result<Vec<Found<T>>, Error> {
    let mut found = Vec::new();
    for number in due {
        if found.len() == room {
            break;
        }
        match damage.watch(read(number?)) {
            Ok(one) => found.extend(one),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    by: &[&dyn rusqlite::ToSql],
    item: fn(&Row<'_>) -> Result<Found<T>, Error>,
) -> Result<Option<Found<T>>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(by, |row| Ok(item(row))).optional()?;
    found.transpose()
}

fn event(found: &Row<'_>) -> Result<Found<ClaimedEvent>, Error> {
    let item = ClaimedEvent {
        lease: EventLease {
            event: found.get(0)?,
            fence: found.get(1)?,
        },
        id: row::id(found.get(2)?),
        received_at: row::time(found.get(3)?)?,
        started_at: found.get(4)?,
        attempt: found.get(5)?,
        outcome: row::word(found, 6, "outcome")?,
        kind: SessionKind::from_word(&found.get::<_, String>(7)?),
        session_status: found.get(8)?,
        body: row::bytes(found.get(9)?),
        session_id: found.get(10)?,
        encounter_id: found.get(11)?,
        status: found.get(12)?,
        needs_sdp: found.get(13)?,
        tried_for: Duration::from_millis(found.get(15)?),
        source: row::word(found, 16, "source")?,
        error_code: found.get(17)?,
        links: Vec::new(),
    };
    let due_at = found.get(14)?;
    Ok(Found { item, due_at })
}

/// Claims those that are still as they were found.
fn take_events(
    connection: &Connection,
    holder: Uuid,
    until: Millis,
    found: Vec<Found<ClaimedEvent>>,
) -> Result<Vec<ClaimedEvent>, Error> {
    let mut take = connection.prepare_cached(TAKE_EVENT)?;
    let mut claimed = Vec::with_capacity(found.len());
    for Found { item, due_at } in found {
        let EventLease { event, fence } = item.lease;
        if take.execute(params![until, holder.as_bytes(), event, fence, due_at])? == 1 {
            claimed.push(item);
        }
    }
    Ok(claimed)
}

/// Adds the links that earlier attempts wrote down; no such attempt can write any more. An event whose links cannot be
/// read for damage is left out.
fn with_links(
    connection: &Connection,
    damage: &Met,
    claimed: Vec<ClaimedEvent>,
) -> Result<Vec<ClaimedEvent>, Error> {
    let mut complete = Vec::with_capacity(claimed.len());
    for mut event in claimed {
        if event.lease.is_first() {
            complete.push(event);
            continue;
        }
        match damage.watch(super::query::links(connection, event.lease.event)) {
            Ok(links) => {
                event.links = links;
                complete.push(event);
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(complete)
}

/// Finds due deliveries to a sink.
fn due_deliveries(
    connection: &Connection,
    damage: &Met,
    sink: &str,
    due: Due,
) -> Result<Vec<Found<ClaimedDelivery>>, Error> {
    let mut events = connection.prepare_cached(DUE_DELIVERIES)?;
    let events = events.query_map(params![sink, due.now], |row| row.get(0))?;
    readable(events, due.limit, damage, |event: i64| {
        one(connection, DELIVERY, params![sink, event], delivery)
    })
}

fn delivery(found: &Row<'_>) -> Result<Found<ClaimedDelivery>, Error> {
    let item = ClaimedDelivery {
        lease: DeliveryLease {
            event: found.get(0)?,
            fence: found.get(1)?,
            sink: found.get(2)?,
        },
        started_at: found.get(3)?,
        attempt: found.get(4)?,
        id: row::id(found.get(5)?),
    };
    let due_at = found.get(6)?;
    Ok(Found { item, due_at })
}

/// Claims those that are still as they were found.
fn take_deliveries(
    connection: &Connection,
    holder: Uuid,
    until: Millis,
    found: Vec<Found<ClaimedDelivery>>,
) -> Result<Vec<ClaimedDelivery>, Error> {
    let mut take = connection.prepare_cached(TAKE_DELIVERY)?;
    let mut claimed = Vec::with_capacity(found.len());
    for Found { item, due_at } in found {
        let DeliveryLease { event, sink, fence } = &item.lease;
        if take.execute(params![
            until,
            holder.as_bytes(),
            sink,
            event,
            fence,
            due_at
        ])? == 1
        {
            claimed.push(item);
        }
    }
    Ok(claimed)
}
