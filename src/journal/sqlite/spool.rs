//! The operations that the spool needs from the embedded store: reading its oldest events as they were appended, and
//! removing them.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::counts::Tx;
use super::damage::DamageFlag;
use super::{retain, row};
use crate::domain::{DedupeKey, Notification};
use crate::journal::record::NewContent;
use crate::journal::{Error, NewEvent};

/// The most events that are read at once from a damaged file.
const FEW: usize = 16;

/// A spooled event with its number, also when the event cannot be read.
pub(in crate::journal) type Spooled = (i64, Result<NewEvent, Error>);

const OLDEST: &str =
    "SELECT seq, id, received_at, generated_at, source, stale, junk IS NULL, body FROM receipts
    WHERE seq > ?1 AND body IS NOT NULL ORDER BY seq LIMIT ?2";
/// The numbers alone, from an index: they can be read although the page of an event is damaged.
const NUMBERS: &str =
    "SELECT seq FROM receipts INDEXED BY receipts_id WHERE seq > ?1 ORDER BY seq LIMIT ?2";

/// The oldest events after number `after`, in order, with their numbers: at most `limit`, and at most `bytes` bytes
/// together, but at least one. An event that cannot be read, or is on a damaged page, does not block the others.
pub(super) fn oldest(
    connection: &Connection,
    damage: &DamageFlag,
    after: i64,
    limit: usize,
    bytes: usize,
) -> Result<Vec<Spooled>, Error> {
    match damage.watch(in_order(connection, after, limit, bytes)) {
        Err(error) if error.is_damage() => one_by_one(connection, after, limit),
        result => result,
    }
}

fn in_order(
    connection: &Connection,
    after: i64,
    limit: usize,
    bytes: usize,
) -> Result<Vec<Spooled>, Error> {
    let mut statement = connection.prepare_cached(OLDEST)?;
    let mut rows = statement.query(params![after, limit])?;
    let (mut found, mut total) = (Vec::new(), 0);
    while let Some(event) = rows.next()? {
        let body = row::bytes(event.get(7)?);
        total += body.len();
        if total > bytes && !found.is_empty() {
            break;
        }
        found.push((event.get(0)?, new_event(event, body)));
    }
    Ok(found)
}

/// Reads each event by itself, and only a few of them, since their size is not known before.
fn one_by_one(connection: &Connection, after: i64, limit: usize) -> Result<Vec<Spooled>, Error> {
    let mut numbers = connection.prepare_cached(NUMBERS)?;
    let numbers = numbers.query_map(params![after, limit.min(FEW)], |row| row.get(0))?;
    let mut found = Vec::new();
    for number in numbers {
        let number: i64 = number?;
        match in_order(connection, number - 1, 1, usize::MAX) {
            Ok(mut event) => found.extend(event.pop().filter(|(found, _)| *found == number)),
            Err(error) if error.is_damage() => {
                found.push((
                    number,
                    Err(Error::Corrupt {
                        what: "notification",
                    }),
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// When the oldest event was received. `None` when there is none.
pub(super) fn since(connection: &Connection) -> Result<Option<Timestamp>, Error> {
    let since: Option<i64> = connection
        .prepare_cached(
            "SELECT received_at FROM receipts WHERE body IS NOT NULL ORDER BY seq LIMIT 1",
        )?
        .query_row([], |found| found.get(0))
        .optional()?;
    row::optional_time(since)
}

fn new_event(event: &Row<'_>, body: Bytes) -> Result<NewEvent, Error> {
    let was_read: bool = event.get(6)?;
    let content = match Notification::parse(body.clone()) {
        Ok(notification) => NewContent::Notification(Arc::new(notification)),
        Err(_) if was_read => return Err(Error::Corrupt { what: "body" }),
        Err(malformed) => NewContent::Malformed {
            dedupe: DedupeKey::of_raw(&body),
            body,
            malformed,
        },
    };
    Ok(NewEvent {
        id: row::id(event.get(1)?),
        received_at: row::time(event.get(2)?)?,
        generated_at: row::optional_time(event.get(3)?)?,
        source: row::word(event, 4, "source")?,
        stale: event.get(5)?,
        content,
    })
}

/// Removes events that another store has taken over.
pub(super) fn remove(tx: &Tx<'_>, numbers: &[i64]) -> Result<(), Error> {
    for number in numbers {
        retain::remove(tx, *number)?;
    }
    Ok(())
}
