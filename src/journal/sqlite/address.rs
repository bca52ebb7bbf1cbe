//! Deliveries to a sink that is not configured: finds them, gives them up, or moves them to another sink.

use rusqlite::{Connection, OptionalExtension, params};

use super::counts::Tx;
use super::{progress, row};
use crate::domain::{EventState, Millis};
use crate::journal::lease::{WHEN_RETRIEVED, new_fence};
use crate::journal::{Error, Task, Waiting};

/// The first delivery task after this one. Each step is one lookup in the index, however many deliveries wait.
const NEXT: &str = "SELECT task FROM work INDEXED BY work_due
    WHERE owner IS NULL AND task > ?1 AND task < 'deliver;' ORDER BY task LIMIT 1";
/// Reads only that index and one receipt.
const WAITING: &str = "SELECT n, received_at FROM
        (SELECT count(*) AS n, min(event) AS first FROM work INDEXED BY work_due
         WHERE owner IS NULL AND task = ?1 AND due < 9223372036854775807)
    JOIN receipts ON seq = first";
/// The events that a sink has not received, without those whose content is purged.
const UNDELIVERED: &str = "SELECT event FROM
        (SELECT event FROM work INDEXED BY work_due WHERE owner IS NULL AND task = ?2 LIMIT ?3)
    UNION SELECT event FROM
        (SELECT event FROM endings INDEXED BY endings_state WHERE state = 'dead' AND has_content AND EXISTS
         (SELECT 1 FROM deliveries WHERE deliveries.event = endings.event AND sink = ?1 AND state = 'dead') LIMIT ?3)
    UNION SELECT event FROM
        (SELECT event FROM deliveries WHERE sink = ?1 AND state = 'dead' AND event IN
         (SELECT event FROM work INDEXED BY work_due WHERE owner IS NULL AND task > 'deliver:' AND task < 'deliver;') LIMIT ?3)
    LIMIT ?3";
/// An event that the other sink has received or waits for is left as it is.
const READDRESS: &str = "INSERT INTO work (event, task, due, fence, started_at)
    SELECT ?1, ?2, coalesce((SELECT CASE WHEN due = ?3 THEN ?3 END FROM work WHERE event = ?1 AND task = ?4), ?5), ?6, ?5
    WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1 AND sink = ?7)
    ON CONFLICT (event, task) DO NOTHING";
/// Reopens a dead event that has content to deliver.
const REOPEN: &str = "DELETE FROM endings WHERE event = ?1 AND state = 'dead' AND has_content
    AND EXISTS (SELECT 1 FROM retrievals WHERE event = ?1 AND retrieved_at IS NOT NULL)";

/// The deliveries that wait, by sink, without those for the sinks in `except`.
pub(super) fn waiting_deliveries(
    connection: &Connection,
    except: &[String],
) -> Result<Vec<Waiting>, Error> {
    let (mut found, mut after) = (Vec::new(), "deliver:".to_owned());
    let mut next = connection.prepare_cached(NEXT)?;
    while let Some(word) = next
        .query_row([&after], |row| row.get::<_, String>(0))
        .optional()?
    {
        if let Ok(Task::Deliver(sink)) = word.parse::<Task>()
            && !except.contains(&sink)
        {
            let waiting: Option<(u64, i64)> = connection
                .prepare_cached(WAITING)?
                .query_row([&word], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            if let Some((count, since)) = waiting {
                let since = row::time(since)?;
                found.push(Waiting { sink, count, since });
            }
        }
        after = word;
    }
    Ok(found)
}

/// Gives up at most `limit` undelivered events of a sink. An event that was waiting for nothing else ends.
pub(super) fn drop_deliveries(
    tx: &Tx<'_>,
    sink: &str,
    limit: usize,
    actor: &str,
    now: Millis,
) -> Result<usize, Error> {
    let events = undelivered(tx, sink, limit)?;
    for event in &events {
        remove(tx, *event, sink)?;
        let what = format!("deliver to {sink}");
        progress::history(tx, *event, now, &what, &format!("dropped by {actor}"))?;
        end(tx, *event, now)?;
    }
    Ok(events.len())
}

/// Moves at most `limit` undelivered events of a sink to another sink.
pub(super) fn readdress(
    tx: &Tx<'_>,
    from: &str,
    to: &str,
    limit: usize,
    actor: &str,
    now: Millis,
) -> Result<usize, Error> {
    let events = undelivered(tx, from, limit)?;
    for event in &events {
        tx.prepare_cached(READDRESS)?.execute(params![
            event,
            task(to),
            WHEN_RETRIEVED,
            task(from),
            now,
            new_fence(),
            to
        ])?;
        remove(tx, *event, from)?;
        let detail = format!("given to {to} by {actor}");
        let what = format!("deliver to {from}");
        progress::history(tx, *event, now, &what, &detail)?;
        end(tx, *event, now)?;
    }
    Ok(events.len())
}

fn task(sink: &str) -> String {
    Task::Deliver(sink.to_owned()).to_string()
}

fn remove(tx: &Tx<'_>, event: i64, sink: &str) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM work WHERE event = ?1 AND task = ?2")?
        .execute(params![event, task(sink)])?;
    tx.prepare_cached("DELETE FROM deliveries WHERE event = ?1 AND sink = ?2")?
        .execute(params![event, sink])?;
    Ok(())
}

fn undelivered(connection: &Connection, sink: &str, limit: usize) -> Result<Vec<i64>, Error> {
    let mut statement = connection.prepare_cached(UNDELIVERED)?;
    let found = statement.query_map(params![sink, task(sink), limit], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Updates an event's state to match its deliveries.
fn end(tx: &Tx<'_>, event: i64, now: Millis) -> Result<(), Error> {
    if tx.prepare_cached(REOPEN)?.execute([event])? == 1 {
        tx.leaves(EventState::Dead);
        tx.enters(EventState::Delivering);
    }
    progress::end_event(tx, event, now)?;
    Ok(())
}
