//! Whom deliveries are for: those that wait for a sink that is not configured, and what an operator makes of them.

use rusqlite::{Connection, OptionalExtension, params};

use super::counts::Tx;
use super::{progress, row};
use crate::domain::{EventState, Millis};
use crate::journal::lease::{WHEN_RETRIEVED, new_fence};
use crate::journal::{Error, Task, Waiting};

/// The next task of a delivery after this one. A step of the index each, however much waits.
const NEXT: &str = "SELECT task FROM work INDEXED BY work_due
    WHERE owner IS NULL AND task > ?1 AND task < 'deliver;' ORDER BY task LIMIT 1";
/// Nothing but that index is read, and one receipt.
const WAITING: &str = "SELECT n, received_at FROM
        (SELECT count(*) AS n, min(event) AS first FROM work INDEXED BY work_due
         WHERE owner IS NULL AND task = ?1 AND due < 9223372036854775807)
    JOIN receipts ON seq = first";
/// What a sink does not have.
const UNDELIVERED: &str = "SELECT event FROM
        (SELECT event FROM work INDEXED BY work_due WHERE owner IS NULL AND task = ?2 LIMIT ?3)
    UNION SELECT event FROM
        (SELECT event FROM endings INDEXED BY endings_state WHERE state = 'dead' AND EXISTS
         (SELECT 1 FROM deliveries WHERE deliveries.event = endings.event AND sink = ?1 AND state = 'dead') LIMIT ?3)
    UNION SELECT event FROM
        (SELECT event FROM deliveries WHERE sink = ?1 AND state = 'dead' AND event IN
         (SELECT event FROM work INDEXED BY work_due WHERE owner IS NULL AND task > 'deliver:' AND task < 'deliver;') LIMIT ?3)
    LIMIT ?3";
/// What the other sink has, or waits for, stays as it is.
const READDRESS: &str = "INSERT INTO work (event, task, due, fence, started_at)
    SELECT ?1, ?2, coalesce((SELECT CASE WHEN due = ?3 THEN ?3 END FROM work WHERE event = ?1 AND task = ?4), ?5), ?6, ?5
    WHERE NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1 AND sink = ?7)
    ON CONFLICT (event, task) DO NOTHING";
/// An event that had ended goes on, if there is something to give.
const REOPEN: &str = "DELETE FROM endings WHERE event = ?1 AND state = 'dead' AND has_content
    AND EXISTS (SELECT 1 FROM retrievals WHERE event = ?1 AND retrieved_at IS NOT NULL)";

/// The deliveries that wait for sinks that are none of these.
pub(super) fn orphans(
    connection: &Connection,
    configured: &[String],
) -> Result<Vec<Waiting>, Error> {
    let (mut found, mut after) = (Vec::new(), "deliver:".to_owned());
    let mut next = connection.prepare_cached(NEXT)?;
    while let Some(word) = next
        .query_row([&after], |row| row.get::<_, String>(0))
        .optional()?
    {
        if let Ok(Task::Deliver(sink)) = word.parse::<Task>()
            && !configured.contains(&sink)
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

/// Gives up what a sink does not have, at most `limit` of it. An event that waited for nothing else ends.
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

/// Gives what a sink does not have to another one, at most `limit` of it.
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

/// Has the event stand as its deliveries do now.
fn end(tx: &Tx<'_>, event: i64, now: Millis) -> Result<(), Error> {
    if tx.prepare_cached(REOPEN)?.execute([event])? == 1 {
        tx.leaves(EventState::Dead);
        tx.enters(EventState::Delivering);
    }
    progress::end_event(tx, event, now)?;
    Ok(())
}
