//! Retention: removes what has been kept for long enough, a little at a time. The file keeps its size and the room is
//! used again.

use rusqlite::{Connection, ToSql, params};

use crate::domain::Millis;
use crate::journal::{Error, Expiry, Purged};

// Each index is named: the planner would rather pass over all that is done, and the intake waits meanwhile.
const DONE: &str = "SELECT seq FROM events INDEXED BY events_content
    WHERE state = 'done' AND body IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2";
const DEAD: &str = "SELECT seq FROM events INDEXED BY events_content
    WHERE state = 'dead' AND body IS NOT NULL AND ended_at < ?1 ORDER BY ended_at LIMIT ?2";
/// By the steady time at which it was kept.
const QUARANTINED: &str = "SELECT seq FROM events INDEXED BY events_state
    WHERE state = 'quarantined' AND body IS NOT NULL AND started_at < ?1 ORDER BY seq LIMIT ?2";
/// What an operator or an age limit has taken the content of is decided, and goes as what is done does.
const RECEIPTS: &str = "SELECT seq FROM events INDEXED BY events_ended
    WHERE ended_at < ?1 AND (state = 'done' OR (state IN ('dead', 'quarantined') AND body IS NULL))
    ORDER BY ended_at LIMIT ?2";
const SIZE: &str = "SELECT length(body) + (SELECT coalesce(sum(bytes), 0) FROM links WHERE event = seq AND links.body IS NOT NULL)
    FROM events WHERE seq = ?1";
/// A batch ends once so many bytes were freed: to free its pages SQLite reads them, and the intake waits meanwhile.
const BYTES: u64 = 8 << 20;

/// Removes at most `limit` of each kind.
pub(super) fn retain(
    connection: &Connection,
    expiry: Expiry,
    limit: usize,
    now: Millis,
) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let mut freed = 0;
    let kinds = [
        (DONE, Some(expiry.content)),
        (DEAD, expiry.dead),
        (QUARANTINED, expiry.quarantined),
    ];
    for (which, before) in kinds {
        let Some(before) = before else { continue };
        let found = found(connection, which, params![before, limit])?;
        purged.is_all &= found.len() < limit;
        for seq in found {
            if freed >= BYTES {
                purged.is_all = false;
                break;
            }
            freed += connection
                .prepare_cached(SIZE)?
                .query_row([seq], |row| row.get::<_, u64>(0))?;
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
    let receipts = found(connection, RECEIPTS, params![expiry.receipts, limit])?;
    purged.is_all &= receipts.len() < limit;
    purged.receipts = receipts.len();
    for seq in receipts {
        for sql in [
            "DELETE FROM links WHERE event = ?1",
            "DELETE FROM deliveries WHERE event = ?1",
            "DELETE FROM attempts WHERE event = ?1",
            "DELETE FROM late WHERE event = ?1",
            "DELETE FROM amendments WHERE event = ?1",
            "DELETE FROM events WHERE seq = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([seq])?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_to_do_is_found_by_an_index_and_not_by_passing_over_what_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let connection = super::super::open::migrated(&dir.path().join("file")).expect("a store");
        for (sql, by) in [
            (DONE, "events_content (state=? AND ended_at<?)"),
            (DEAD, "events_content (state=? AND ended_at<?)"),
            (QUARANTINED, "events_state (state=?)"),
            (RECEIPTS, "events_ended (ended_at<?)"),
        ] {
            let mut explain = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .expect("a plan");
            let plan: Vec<String> = explain
                .query_map(params![1, 1], |row| row.get(3))
                .expect("a plan")
                .collect::<Result<_, _>>()
                .expect("a plan");
            assert_eq!(plan, [format!("SEARCH events USING INDEX {by}")]);
        }
    }
}
