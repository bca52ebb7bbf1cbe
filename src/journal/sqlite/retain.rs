//! Retention: removes what has been kept for long enough, a little at a time. The file keeps its size and the room is
//! used again.

use rusqlite::{Connection, ToSql, params};

use crate::domain::Millis;
use crate::journal::{Error, Expiry, Purged};

const DONE: &str = "SELECT seq FROM events
    WHERE state = 'done' AND body IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2";
const DEAD: &str = "SELECT seq FROM events
    WHERE state = 'dead' AND body IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2";
/// By the steady time at which it was kept.
const QUARANTINED: &str = "SELECT seq FROM events
    WHERE state = 'quarantined' AND body IS NOT NULL AND started_at < ?1 ORDER BY seq LIMIT ?2";
/// What an operator or an age limit has taken the content of is decided, and goes as what is done does.
const RECEIPTS: &str = "SELECT seq FROM events
    WHERE ended_at < ?1 AND (state = 'done' OR (state IN ('dead', 'quarantined') AND body IS NULL))
    ORDER BY ended_at LIMIT ?2";

/// Removes at most `limit` of each kind.
pub(super) fn retain(
    connection: &Connection,
    expiry: Expiry,
    limit: usize,
    now: Millis,
) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let kinds = [
        (DONE, Some(expiry.content)),
        (DEAD, expiry.dead),
        (QUARANTINED, expiry.quarantined),
    ];
    for (which, before) in kinds {
        let Some(before) = before else { continue };
        for seq in found(connection, which, params![before, limit])? {
            purge_content(connection, seq)?;
            connection
                .prepare_cached(
                    "UPDATE events SET ended_at = coalesce(ended_at, ?2) WHERE seq = ?1",
                )?
                .execute(params![seq, now])?;
            purged.content += 1;
        }
    }
    if let Some(before) = expiry.quarantined {
        connection
            .prepare_cached("DELETE FROM unauthentic WHERE received_at < ?1")?
            .execute([before])?;
    }
    for seq in found(connection, RECEIPTS, params![expiry.receipts, limit])? {
        for sql in [
            "DELETE FROM links WHERE event = ?1",
            "DELETE FROM deliveries WHERE event = ?1",
            "DELETE FROM attempts WHERE event = ?1",
            "DELETE FROM events WHERE seq = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([seq])?;
        }
        purged.receipts += 1;
    }
    Ok(purged)
}

/// Removes an event's bodies.
pub(super) fn purge_content(connection: &Connection, seq: i64) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE events SET body = NULL WHERE seq = ?1")?
        .execute([seq])?;
    connection
        .prepare_cached("UPDATE links SET body = NULL WHERE event = ?1")?
        .execute([seq])?;
    Ok(())
}

fn found(connection: &Connection, sql: &str, by: &[&dyn ToSql]) -> Result<Vec<i64>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(by, |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}
