//! Retention: removes, in small steps, what has reached the end of its retention. The file keeps its size, and the
//! space is reused.

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::counts::Tx;
use crate::domain::EventState;
use crate::journal::{Error, Expiry, Purged};

// The index is named because the planner would otherwise scan all done events, and appends would wait meanwhile.
const WITH_CONTENT: &str = "SELECT event FROM endings INDEXED BY endings_age
    WHERE has_content = 1 AND state = ?1 AND ended_at < ?2 ORDER BY ended_at LIMIT ?3";
/// Done events, with or without content.
const DONE: &str = "SELECT event FROM endings INDEXED BY endings_age
    WHERE has_content IN (0, 1) AND state = 'done' AND ended_at < ?1 LIMIT ?2";
/// Dead or quarantined events whose content was removed by an operator or by an age limit. Their receipts are removed
/// like those of done events.
const DECIDED: &str = "SELECT event FROM endings INDEXED BY endings_age
    WHERE has_content = 0 AND state IN ('dead', 'quarantined') AND ended_at < ?1 LIMIT ?2";
const SIZE: &str =
    "SELECT length(body) + coalesce((SELECT length(bodies) FROM retrievals WHERE event = seq), 0)
        + (SELECT coalesce(sum(length(body)), 0) FROM links WHERE event = seq)
    FROM receipts WHERE seq = ?1";
/// A batch ends once this many bytes were freed: SQLite reads the pages that it frees, and appends wait meanwhile.
const BYTES: u64 = 8 << 20;

/// Removes at most `limit` of each kind.
pub(super) fn retain(tx: &Tx<'_>, expiry: Expiry, limit: usize) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let mut freed = 0;
    let kinds = [
        (EventState::Done, Some(expiry.content)),
        (EventState::Dead, expiry.dead),
        (EventState::Quarantined, expiry.quarantined),
    ];
    for (state, before) in kinds {
        let Some(before) = before else { continue };
        let found = found(tx, WITH_CONTENT, params![state.as_str(), before, limit])?;
        purged.is_all &= found.len() < limit;
        for seq in found {
            if freed >= BYTES {
                purged.is_all = false;
                break;
            }
            let size: Option<Option<u64>> = tx
                .prepare_cached(SIZE)?
                .query_row([seq], |row| row.get(0))
                .optional()?;
            freed += size.flatten().unwrap_or(0);
            purge_content(tx, seq)?;
            give_up_work(tx, seq, "its content was purged")?;
            purged.content += 1;
        }
    }
    if let Some(before) = expiry.quarantined {
        tx.prepare_cached("DELETE FROM unauthentic WHERE received_at < ?1")?
            .execute([before])?;
    }
    for which in [DONE, DECIDED] {
        let receipts = found(tx, which, params![expiry.receipts, limit])?;
        purged.is_all &= receipts.len() < limit;
        purged.receipts += receipts.len();
        for seq in receipts {
            remove(tx, seq)?;
        }
    }
    forget_sessions(tx, expiry, limit)?;
    forget_jobs(tx, expiry)?;
    purged.is_all &= !remove_copies(tx, limit)?;
    Ok(purged)
}

/// Removes the context of sessions that ended long ago, and later the sessions.
fn forget_sessions(tx: &Tx<'_>, expiry: Expiry, limit: usize) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE expected SET context = NULL WHERE seq IN
            (SELECT seq FROM expected WHERE context IS NOT NULL AND settled_at < ?1 LIMIT ?2)",
    )?
    .execute(params![expiry.content, limit])?;
    tx.prepare_cached(
        "DELETE FROM expected WHERE seq IN
            (SELECT seq FROM expected WHERE due IS NULL AND settled_at < ?1 LIMIT ?2)",
    )?
    .execute(params![expiry.receipts, limit])?;
    Ok(())
}

/// Removes replay jobs that ended long ago.
fn forget_jobs(tx: &Tx<'_>, expiry: Expiry) -> Result<(), Error> {
    for sql in [
        "DELETE FROM replayed WHERE job IN (SELECT id FROM replay_jobs WHERE ended_at < ?1)",
        "DELETE FROM replay_jobs WHERE ended_at < ?1",
    ] {
        tx.prepare_cached(sql)?.execute([expiry.receipts])?;
    }
    Ok(())
}

/// Removes all rows of an event.
pub(super) fn remove(tx: &Tx<'_>, seq: i64) -> Result<(), Error> {
    if let Some(state) = super::operate::state(tx, seq)? {
        tx.leaves(state);
    }
    for sql in [
        "DELETE FROM mentions WHERE event = ?1 AND name IN
            (SELECT session_id FROM receipts WHERE seq = ?1 UNION ALL SELECT encounter_id FROM receipts WHERE seq = ?1)",
        "DELETE FROM links WHERE event = ?1",
        "DELETE FROM retrievals WHERE event = ?1",
        "DELETE FROM deliveries WHERE event = ?1",
        "DELETE FROM attempts WHERE event = ?1",
        "DELETE FROM work WHERE event = ?1",
        "DELETE FROM replays WHERE event = ?1",
        "DELETE FROM amendments WHERE event = ?1",
        "DELETE FROM unapplied WHERE event = ?1",
        "DELETE FROM endings WHERE event = ?1",
        "DELETE FROM old_events WHERE seq = ?1",
        "DELETE FROM receipts WHERE seq = ?1",
    ] {
        tx.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}

/// Gives up an event's pending work, because it cannot be done without the content.
pub(super) fn give_up_work(tx: &Tx<'_>, seq: i64, reason: &str) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO deliveries (event, sink, state, attempts, started_at, last_error, cause_code)
         SELECT event, substr(task, 9), 'dead', tries, started_at, ?2, 'purged' FROM work
         WHERE event = ?1 AND task LIKE 'deliver:%'",
    )?
    .execute(params![seq, reason])?;
    for sql in [
        "DELETE FROM work WHERE event = ?1",
        "DELETE FROM replays WHERE event = ?1",
    ] {
        tx.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}

/// Removes an event's bodies.
pub(super) fn purge_content(connection: &Connection, seq: i64) -> Result<(), Error> {
    for sql in [
        "UPDATE receipts SET body = NULL WHERE seq = ?1",
        "UPDATE retrievals SET bodies = NULL WHERE event = ?1",
        "UPDATE links SET body = NULL WHERE event = ?1 AND body IS NOT NULL",
        "UPDATE expected SET context = NULL WHERE context IS NOT NULL
            AND session_id = (SELECT session_id FROM receipts WHERE seq = ?1)",
        "UPDATE endings SET has_content = 0 WHERE event = ?1",
        "DELETE FROM old_events WHERE seq = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}

/// Removes some rows that an earlier version kept in another table and that were copied since. Returns whether there
/// may be more.
fn remove_copies(connection: &Connection, limit: usize) -> Result<bool, Error> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM old_events WHERE seq IN (SELECT seq FROM old_events ORDER BY seq LIMIT ?1)",
        )?
        .execute([limit])?;
    Ok(removed == limit)
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
        for sql in [WITH_CONTENT, DONE, DECIDED] {
            let mut explain = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .expect("a plan");
            let numbers = vec![1; explain.parameter_count()];
            let plan: Vec<String> = explain
                .query_map(rusqlite::params_from_iter(numbers), |row| row.get(3))
                .expect("a plan")
                .collect::<Result<_, _>>()
                .expect("a plan");
            let by = "USING COVERING INDEX endings_age (has_content=? AND state=? AND ended_at<?)";
            assert_eq!(plan, [format!("SEARCH endings {by}")]);
        }
    }
}
