//! Claims due work and manages leases, in the one queue of all work.
//!
//! Due work is read on a reading connection, and then claimed by the writer if it is still unchanged. So the writer
//! reads no bodies, and a damaged page is met by a reader: within a writing transaction it would roll back the appends
//! of the batch.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::counts::Tx;
use super::damage::DamageFlag;
use super::readers::Readers;
use super::writer::Writer;
use super::{content, query, repeat, row};
use crate::domain::Millis;
use crate::journal::lease::{AFTER_UNREADABLE, WHEN_RETRIEVED, new_fence, unreadable};
use crate::journal::{
    Claimed, ClaimedDelivery, ClaimedEvent, Error, LateEvent, Lease, Task, Wanted,
};

/// For a delivery, the sink's name follows the eight characters of `deliver:`; for any other task it is empty. The time
/// for which a delivery has been tried starts anew when its sink is resumed.
const DUE: &str = "SELECT event, due, fence, tries,
        max(started_at, coalesce((SELECT resumed_at FROM sink_pauses WHERE sink = substr(?1, 9)), 0)), tried_ms
    FROM work INDEXED BY work_due
    WHERE owner IS NULL AND task = ?1 AND due <= ?2
        AND NOT EXISTS (SELECT 1 FROM sink_pauses WHERE sink = substr(?1, 9) AND resumed_at IS NULL)
    ORDER BY due";
const TAKE: &str = "UPDATE work SET owner = ?4, fence = ?5
    WHERE event = ?1 AND task = ?2 AND owner IS NULL AND fence = ?3 AND due = ?6
        AND NOT EXISTS (SELECT 1 FROM sink_pauses WHERE sink = substr(?2, 9) AND resumed_at IS NULL)";
/// Postpones work whose event cannot be read, if it is unchanged.
const POSTPONE: &str = "UPDATE work SET due = ?5
    WHERE event = ?1 AND task = ?2 AND owner IS NULL AND fence = ?3 AND due = ?4";
const HELD: &str = "SELECT event, task, fence FROM work INDEXED BY work_due WHERE owner = ?1";
const GIVE_BACK: &str = "UPDATE work SET owner = NULL, due = ?4
    WHERE event = ?1 AND task = ?2 AND fence = ?3 AND owner IS NOT NULL";
/// A new fence, so that the former holder can no longer write.
const TAKE_OVER: &str =
    "UPDATE work SET owner = NULL, due = ?1, fence = ?2 WHERE owner IS NOT NULL AND owner <> ?3";
/// Limits every wait to the longest that is possible from now on, in case the system clock was set back. Deliveries
/// that wait for retrieval are left out.
const NO_LATER: &str =
    "UPDATE work SET due = ?1 WHERE owner IS NULL AND due > ?2 AND due < ?3 AND task <> 'refresh'";

/// A due piece of work with its future lease, and the row's present due time and fence.
struct Due {
    lease: Lease,
    /// The work as it will be when it is claimed. `None` when the event cannot be read.
    claimed: Option<Claimed>,
    due: Millis,
    fence: i64,
}

/// The connections that a claim uses.
pub(super) struct Claims<'a> {
    pub(super) readers: &'a Readers,
    pub(super) writer: &'a Writer,
    pub(super) damage: &'a DamageFlag,
    pub(super) owner: Uuid,
}

impl Claims<'_> {
    /// Claims due work.
    pub(super) async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        let (damage, fence, owner) = (self.damage.clone(), new_fence(), self.owner);
        let later = wanted.now.saturating_add(AFTER_UNREADABLE);
        let find = move |reader: &Connection| due(reader, &damage, &wanted, fence);
        let found = self.readers.read(find).await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.writer
            .write(move |tx| take(tx, owner, found, later))
            .await
    }
}

/// Finds due work. An item on a damaged page, or one that cannot be read, does not block the others.
fn due(
    connection: &Connection,
    damage: &DamageFlag,
    wanted: &Wanted,
    fence: i64,
) -> Result<Vec<Due>, Error> {
    let mut found = Vec::new();
    for (tasks, most) in &wanted.tasks {
        let room = wanted.limit.min(found.len() + most);
        for task in tasks {
            due_of(
                connection,
                damage,
                (task, wanted.now),
                fence,
                room,
                &mut found,
            )?;
        }
    }
    Ok(found)
}

/// Finds due work of one task, until `found` holds enough.
fn due_of(
    connection: &Connection,
    damage: &DamageFlag,
    (task, now): (&Task, Millis),
    fence: i64,
    most: usize,
    found: &mut Vec<Due>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(DUE)?;
    let mut rows = statement.query(params![task.to_string(), now])?;
    while found.len() < most
        && let Some(pending) = rows.next()?
    {
        let lease = Lease {
            event: pending.get(0)?,
            task: task.clone(),
            fence,
        };
        let (tries, started_at): (u32, Millis) = (pending.get(3)?, pending.get(4)?);
        let tried_for = Duration::from_millis(pending.get(5)?);
        let claimed = claimed(connection, lease.clone(), tries + 1, started_at, tried_for);
        let claimed = match damage.watch(claimed) {
            Ok(Some(claimed)) => Some(claimed),
            Ok(None) => continue,
            // The row of the work may be damaged as well, so it is not written.
            Err(error) if error.is_damage() => continue,
            Err(error) if error.is_of_the_row() => {
                unreadable(query::id(connection, lease.event), &error);
                None
            }
            Err(error) => return Err(error),
        };
        found.push(Due {
            lease,
            claimed,
            due: pending.get(1)?,
            fence: pending.get(2)?,
        });
    }
    Ok(())
}

/// Reads all that the work needs. `None` when the content is purged.
fn claimed(
    connection: &Connection,
    lease: Lease,
    attempt: u32,
    started_at: Millis,
    tried_for: Duration,
) -> Result<Option<Claimed>, Error> {
    let event = lease.event;
    Ok(match lease.task {
        Task::Forward | Task::New | Task::Retrieve => {
            content::event(connection, event)?.map(|(receipt, found)| {
                Claimed::Event(Box::new(ClaimedEvent {
                    lease,
                    started_at,
                    tried_for,
                    attempt,
                    notification: receipt.notification(&found),
                    receipt,
                    found,
                }))
            })
        }
        Task::Deliver(_) => content::document(connection, event)?.map(|document| {
            Claimed::Delivery(ClaimedDelivery {
                lease,
                started_at,
                attempt,
                document: Arc::new(document),
            })
        }),
        Task::Refresh => {
            let (Some(retrieved_at), Some((receipt, found))) = (
                content::retrieved_at(connection, event)?,
                content::event(connection, event)?,
            ) else {
                return Ok(None);
            };
            let again = connection
                .prepare_cached(
                    "SELECT cause, noted_at FROM work WHERE event = ?1 AND task = 'refresh'",
                )?
                .query_row([event], repeat::again)?;
            Some(Claimed::Late(Box::new(LateEvent {
                lease,
                id: receipt.id,
                receipt,
                again,
                retrieved_at,
                found,
            })))
        }
    })
}

/// Claims the items that are unchanged since they were read. Those that cannot be read are due again `later`.
fn take(tx: &Tx<'_>, owner: Uuid, found: Vec<Due>, later: Millis) -> Result<Vec<Claimed>, Error> {
    let mut take = tx.prepare_cached(TAKE)?;
    let mut taken = Vec::with_capacity(found.len());
    for Due {
        lease,
        claimed,
        due,
        fence,
    } in found
    {
        let task = lease.task.to_string();
        let Some(claimed) = claimed else {
            tx.prepare_cached(POSTPONE)?
                .execute(params![lease.event, task, fence, due, later])?;
            continue;
        };
        let owner = owner.as_bytes();
        if take.execute(params![lease.event, task, fence, owner, lease.fence, due])? == 1 {
            taken.push(claimed);
        }
    }
    Ok(taken)
}

/// The leases of this instance.
pub(super) fn held(connection: &Connection, owner: Uuid) -> Result<Vec<Lease>, Error> {
    let mut statement = connection.prepare_cached(HELD)?;
    let mut rows = statement.query([owner.as_bytes()])?;
    let mut held = Vec::new();
    while let Some(work) = rows.next()? {
        held.push(Lease {
            event: work.get(0)?,
            task: row::task(work, 1)?,
            fence: work.get(2)?,
        });
    }
    Ok(held)
}

/// Gives leases back: the work is due at `now`.
pub(super) fn give_back(tx: &Tx<'_>, leases: &[Lease], now: Millis) -> Result<(), Error> {
    let mut give = tx.prepare_cached(GIVE_BACK)?;
    for Lease { event, task, fence } in leases {
        give.execute(params![event, task.to_string(), fence, now])?;
    }
    super::operate::replay_what_is_free(tx, now)
}

/// At start, makes the work due that an earlier process held.
pub(super) fn take_over(
    tx: &Tx<'_>,
    owner: Uuid,
    now: Millis,
    longest_wait: Duration,
) -> Result<(), Error> {
    let longest = Millis::try_from(longest_wait.as_millis()).unwrap_or(Millis::MAX);
    tx.execute(TAKE_OVER, params![now, new_fence(), owner.as_bytes()])?;
    tx.execute(
        NO_LATER,
        params![now, now.saturating_add(longest), WHEN_RETRIEVED],
    )?;
    super::operate::replay_what_is_free(tx, now)
}
