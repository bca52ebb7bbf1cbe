//! Claiming what is due. A claim moves `next_attempt_at` to the lease's end and the fence on by one: a lease that runs
//! out is due again by itself, and whoever held it can no longer write.

use std::time::Duration;

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::row;
use crate::domain::{Millis, SessionKind};
use crate::journal::{ClaimedDelivery, ClaimedEvent, DeliveryLease, Due, Error, EventLease};

const CLAIM_EVENTS: &str = "UPDATE events
    SET next_attempt_at = ?1, holder = ?2, fence = fence + 1, attempts = attempts + 1, state = 'retrieving'
    WHERE seq IN (SELECT seq FROM events WHERE needs_sdp = ?3 AND next_attempt_at <= ?4
                  ORDER BY next_attempt_at LIMIT ?5)
    RETURNING seq, fence, id, received_at, started_at, attempts, outcome, kind, session_status, body,
    session_id, encounter_id, status";
const CLAIM_DELIVERIES: &str = "UPDATE deliveries
    SET next_attempt_at = ?1, holder = ?2, fence = fence + 1, attempts = attempts + 1
    WHERE sink = ?3 AND event IN (SELECT event FROM deliveries WHERE sink = ?3 AND next_attempt_at <= ?4
                                  ORDER BY next_attempt_at LIMIT ?5)
    RETURNING event, fence, started_at, attempts, (SELECT id FROM events WHERE seq = event)";

/// Claims due events: first those that need no call to the vendor's API, then at most `most_with_sdp` of those that do.
pub(super) fn events(
    connection: &Connection,
    holder: Uuid,
    due: Due,
    most_with_sdp: usize,
) -> Result<Vec<ClaimedEvent>, Error> {
    let mut claimed = Vec::new();
    for (needs_sdp, most) in [(false, due.limit), (true, most_with_sdp)] {
        let room = most.min(due.limit - claimed.len());
        if room == 0 {
            break;
        }
        let mut statement = connection.prepare_cached(CLAIM_EVENTS)?;
        let mut rows = statement.query(params![
            due.until,
            holder.as_bytes(),
            needs_sdp,
            due.now,
            limit(room)
        ])?;
        while let Some(found) = rows.next()? {
            claimed.push(ClaimedEvent {
                lease: EventLease {
                    event: found.get(0)?,
                    fence: found.get(1)?,
                },
                needs_sdp,
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
                links: Vec::new(),
            });
        }
    }
    // A first claim has no links yet; only the others are worth a look.
    for event in claimed.iter_mut().filter(|event| event.lease.fence > 1) {
        event.links = super::query::links(connection, event.lease.event)?;
    }
    Ok(claimed)
}

/// Claims due deliveries to a sink.
pub(super) fn deliveries(
    connection: &Connection,
    holder: Uuid,
    sink: &str,
    due: Due,
) -> Result<Vec<ClaimedDelivery>, Error> {
    let mut statement = connection.prepare_cached(CLAIM_DELIVERIES)?;
    let mut rows = statement.query(params![
        due.until,
        holder.as_bytes(),
        sink,
        due.now,
        limit(due.limit)
    ])?;
    let mut claimed = Vec::new();
    while let Some(found) = rows.next()? {
        claimed.push(ClaimedDelivery {
            lease: DeliveryLease {
                event: found.get(0)?,
                sink: sink.to_owned(),
                fence: found.get(1)?,
            },
            started_at: found.get(2)?,
            attempt: found.get(3)?,
            id: row::id(found.get(4)?),
        });
    }
    Ok(claimed)
}

/// Both tables with the index of what is due, and what makes a search by time use it. A lease that stands ends later
/// than now; one that ran out is due as it is. So neither stop nor start reads what has been waiting.
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

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
