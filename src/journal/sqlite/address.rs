//! Whom deliveries are for: those that wait for a sink that is not configured, and what an operator makes of them.

use rusqlite::{Connection, OptionalExtension, params};

use super::finish;
use crate::domain::Millis;
use crate::journal::Error;

/// The next sink after a name that something waits for. A step of the index each, however much waits.
const NEXT: &str = "SELECT sink FROM deliveries INDEXED BY deliveries_due
    WHERE next_attempt_at IS NOT NULL AND sink > ?1 ORDER BY sink LIMIT 1";
const COUNT: &str = "SELECT count(*) FROM deliveries INDEXED BY deliveries_due
    WHERE next_attempt_at IS NOT NULL AND sink = ?1";
/// What a sink does not have.
const UNDELIVERED: &str = "SELECT event FROM
        (SELECT event FROM deliveries INDEXED BY deliveries_due
         WHERE sink = ?1 AND next_attempt_at IS NOT NULL LIMIT ?2)
    UNION SELECT seq FROM
        (SELECT seq FROM events INDEXED BY events_state WHERE state IN ('dead', 'delivering') AND EXISTS
         (SELECT 1 FROM deliveries WHERE event = seq AND sink = ?1 AND state = 'dead') LIMIT ?2)
    LIMIT ?2";
const DROP: &str = "DELETE FROM deliveries WHERE sink = ?1 AND event = ?2";
/// What the other sink has, or waits for, stays as it is.
const READDRESS: &str = "INSERT INTO deliveries (event, sink, state, started_at, next_attempt_at)
    SELECT event, ?3, 'pending', ?4, CASE WHEN state = 'dead' OR next_attempt_at IS NOT NULL THEN ?4 END
    FROM deliveries WHERE sink = ?1 AND event = ?2
    ON CONFLICT (event, sink) DO NOTHING";
/// An event that had ended goes on, if there is something to give.
const REOPEN: &str = "UPDATE events SET state = 'delivering', last_error = NULL, ended_at = NULL
    WHERE seq = ?1 AND state = 'dead' AND retrieved_at IS NOT NULL AND body IS NOT NULL";

/// The sinks that deliveries wait for and that are none of these, with how many.
pub(super) fn orphans(
    connection: &Connection,
    configured: &[String],
) -> Result<Vec<(String, u64)>, Error> {
    let (mut found, mut after) = (Vec::new(), String::new());
    let mut next = connection.prepare_cached(NEXT)?;
    while let Some(sink) = next
        .query_row([&after], |row| row.get::<_, String>(0))
        .optional()?
    {
        if !configured.contains(&sink) {
            let count = connection
                .prepare_cached(COUNT)?
                .query_row([&sink], |row| row.get(0))?;
            found.push((sink.clone(), count));
        }
        after = sink;
    }
    Ok(found)
}

/// Gives up what a sink does not have, at most `limit` of it. An event that waited for nothing else ends.
pub(super) fn drop_deliveries(
    connection: &Connection,
    sink: &str,
    limit: usize,
    actor: &str,
    now: Millis,
) -> Result<usize, Error> {
    let events = undelivered(connection, sink, limit)?;
    for event in &events {
        connection
            .prepare_cached(DROP)?
            .execute(params![sink, event])?;
        let what = format!("deliver to {sink}");
        finish::history(
            connection,
            *event,
            now,
            &what,
            &format!("dropped by {actor}"),
        )?;
        end(connection, *event, now)?;
    }
    Ok(events.len())
}

/// Gives what a sink does not have to another one, at most `limit` of it.
pub(super) fn readdress(
    connection: &Connection,
    from: &str,
    to: &str,
    limit: usize,
    actor: &str,
    now: Millis,
) -> Result<usize, Error> {
    let events = undelivered(connection, from, limit)?;
    for event in &events {
        connection
            .prepare_cached(READDRESS)?
            .execute(params![from, event, to, now])?;
        connection
            .prepare_cached(DROP)?
            .execute(params![from, event])?;
        let detail = format!("given to {to} by {actor}");
        let what = format!("deliver to {from}");
        finish::history(connection, *event, now, &what, &detail)?;
        end(connection, *event, now)?;
    }
    Ok(events.len())
}

fn undelivered(connection: &Connection, sink: &str, limit: usize) -> Result<Vec<i64>, Error> {
    let mut statement = connection.prepare_cached(UNDELIVERED)?;
    let found = statement.query_map(params![sink, limit], |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Has the event stand as its deliveries do now.
fn end(connection: &Connection, event: i64, now: Millis) -> Result<(), Error> {
    connection.prepare_cached(REOPEN)?.execute([event])?;
    finish::end_event(connection, event, now)?;
    Ok(())
}
