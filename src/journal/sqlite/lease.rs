//! Leases as a whole: given back at a stop, taken over at a start.

use std::time::Duration;

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::domain::Millis;
use crate::journal::Error;

/// Both tables with the index of what is due, and what makes a search by time use it. A lease that stands ends later
/// than now; one that ran out is due as it is. So neither stop nor start reads what has been waiting; of deliveries,
/// which stand there by sink, the index of what waits is read, and nothing that ended.
const HELD: [(&str, &str); 2] = [
    ("events INDEXED BY events_due", "needs_sdp IN (0, 1) AND"),
    ("deliveries INDEXED BY deliveries_due", ""),
];

/// Gives back what this holder has: it is due at `now`, and the attempts that were cut short do not count.
pub(super) fn release(connection: &Connection, holder: Uuid, now: Millis) -> Result<(), Error> {
    for (table, and) in HELD {
        connection.execute(
            &format!(
                "UPDATE {table} SET next_attempt_at = ?1, holder = NULL, fence = fence + 1, attempts = attempts - 1
                 WHERE {and} next_attempt_at > ?1 AND holder = ?2"
            ),
            params![now, holder.as_bytes()],
        )?;
    }
    Ok(())
}

/// At start: what an earlier process held is due now, and nothing waits longer than it would from now on, should the
/// system clock have been set back in between.
pub(super) fn take_over(
    connection: &Connection,
    holder: Uuid,
    now: Millis,
    longest_wait: Duration,
) -> Result<(), Error> {
    let longest = Millis::try_from(longest_wait.as_millis()).unwrap_or(Millis::MAX);
    for (table, and) in HELD {
        connection.execute(
            &format!(
                "UPDATE {table} SET next_attempt_at = ?1, holder = NULL, fence = fence + 1
                 WHERE {and} next_attempt_at > ?1 AND holder IS NOT NULL AND holder <> ?2"
            ),
            params![now, holder.as_bytes()],
        )?;
        connection.execute(
            &format!("UPDATE {table} SET next_attempt_at = ?1 WHERE {and} next_attempt_at > ?2"),
            params![now, now.saturating_add(longest)],
        )?;
    }
    Ok(())
}
