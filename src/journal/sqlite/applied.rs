//! Confirmations from sinks' targets that an event was applied, and those that are still awaited.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::counts::Tx;
use super::row;
use crate::domain::{EventId, Millis};
use crate::journal::{Applied, Error};

/// Records that a sink's target has applied an event.
pub(super) fn note(tx: &Tx<'_>, id: EventId, sink: &str, at: Timestamp) -> Result<Applied, Error> {
    let Some(event) = row::number_of(tx, id)? else {
        return Ok(Applied::NotFound);
    };
    let noted = tx
        .prepare_cached(
            "UPDATE deliveries SET applied_at = coalesce(applied_at, ?3)
             WHERE event = ?1 AND sink = ?2 AND state = 'delivered'",
        )?
        .execute(params![event, sink, at.as_millisecond()])?;
    if noted == 0 {
        return Ok(Applied::NotDelivered);
    }
    tx.prepare_cached("DELETE FROM unapplied WHERE event = ?1 AND sink = ?2")?
        .execute(params![event, sink])?;
    Ok(Applied::Noted)
}

/// Awaits a confirmation of a delivery that was just made, until `due`.
pub(super) fn await_it(tx: &Tx<'_>, event: i64, sink: &str, due: Millis) -> Result<(), Error> {
    tx.prepare_cached("INSERT OR REPLACE INTO unapplied (event, sink, due) VALUES (?1, ?2, ?3)")?
        .execute(params![event, sink, due])?;
    Ok(())
}

/// The number of overdue confirmations, by sink.
pub(super) fn overdue(connection: &Connection, now: Millis) -> Result<Vec<(String, u64)>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT sink, count(*) FROM unapplied WHERE due <= ?1 GROUP BY sink")?;
    let rows = statement.query_map([now], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
