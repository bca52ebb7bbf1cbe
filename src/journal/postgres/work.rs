//! Claims due work and manages leases, in the one queue of all work.
//!
//! `SKIP LOCKED`: instances that claim at the same time get different rows and do not wait for each other.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, GenericClient, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use super::content::{self, Content};
use super::server_clock::ServerClock;
use super::{operate, repeat, row};
use crate::domain::Millis;
use crate::journal::lease::{AFTER_UNREADABLE, new_fence};
use crate::journal::{
    Again, Claimed, ClaimedDelivery, ClaimedEvent, Error, LateEvent, Lease, Task, Wanted,
};

/// Ordered by `owner` as well, although it is null in all these rows: only then does PostgreSQL know that the index is in
/// this order, and need not read and sort all due rows for each claim.
///
/// For a delivery, the sink's name follows the eight characters of `deliver:`; for any other task it is empty. The time
/// for which a delivery has been tried starts anew when its sink is resumed.
const CLAIM: &str = "WITH due AS (
        SELECT event, task FROM work WHERE owner IS NULL AND task = $1 AND due <= server_millis() + $2::bigint
            AND NOT EXISTS (SELECT FROM sink_pauses WHERE sink = substr($1, 9) AND resumed_at IS NULL)
        ORDER BY owner, due LIMIT $3::bigint FOR UPDATE SKIP LOCKED)
    UPDATE work SET owner = $4, fence = $5 FROM due
    WHERE work.event = due.event AND work.task = due.task
    RETURNING work.event, tries, tried_ms, cause, noted_at, server_millis() AS now,
        greatest(started_at, (SELECT resumed_at FROM sink_pauses WHERE sink = substr($1, 9))) AS started_at";
const HELD: &str = "SELECT event, task, fence FROM work WHERE owner = $1";
const GIVE_BACK: &str = "UPDATE work SET owner = NULL, due = server_millis() + $4::bigint
    FROM unnest($1::bigint[], $2::text[], $3::bigint[]) AS given (event, task, fence)
    WHERE work.event = given.event AND work.task = given.task AND work.fence = given.fence AND owner IS NOT NULL";
/// Instances without a heartbeat for that long are dead. Their leases, and those of an unknown instance, are released
/// with a new fence, so that an instance that comes back can no longer write.
const TAKE_OVER: &str = "WITH dead AS (
        DELETE FROM instances WHERE seen_at < server_millis() - $1::bigint AND id <> $2 RETURNING id)
    UPDATE work SET owner = NULL, due = server_millis(), fence = $3
    WHERE owner IS NOT NULL AND owner <> $2
        AND (owner IN (SELECT id FROM dead) OR NOT EXISTS (SELECT FROM instances WHERE id = owner))";

/// A claimed row.
struct Taken {
    lease: Lease,
    tries: u32,
    started_at: Millis,
    tried_for: Duration,
    again: Again,
    now: Millis,
}

/// Claims due work.
pub(super) async fn claim(
    client: &Client,
    clock: ServerClock,
    owner: Uuid,
    wanted: &Wanted,
) -> Result<Vec<Claimed>, Error> {
    let (mut taken, fence) = (Vec::new(), new_fence());
    for (tasks, most) in &wanted.tasks {
        let room = wanted.limit.min(taken.len() + most);
        for task in tasks {
            if taken.len() < room {
                let limit = room - taken.len();
                taken.extend(take(client, clock, owner, task, fence, wanted.now, limit).await?);
            }
        }
    }
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    let seqs: Vec<i64> = taken.iter().map(|taken| taken.lease.event).collect();
    let mut contents = content::events(client, &seqs).await?;
    let (mut found, mut unreadable) = (Vec::with_capacity(taken.len()), Vec::new());
    for taken in taken {
        match contents.remove(&taken.lease.event) {
            Some(Some(content)) => found.extend(claimed(taken, content, clock)),
            Some(None) => unreadable.push(taken.lease),
            None => {}
        }
    }
    if !unreadable.is_empty() {
        let (events, tasks, fences) = columns(&unreadable);
        let give = client.prepare_cached(GIVE_BACK).await?;
        client
            .execute(&give, &[&events, &tasks, &fences, &AFTER_UNREADABLE])
            .await?;
    }
    Ok(found)
}

/// The columns of these leases.
fn columns(leases: &[Lease]) -> (Vec<i64>, Vec<String>, Vec<i64>) {
    let rows = leases.iter();
    let rows = rows.map(|lease| (lease.event, lease.task.to_string(), lease.fence));
    rows.collect()
}

async fn take(
    client: &Client,
    clock: ServerClock,
    owner: Uuid,
    task: &Task,
    fence: i64,
    now: Millis,
    limit: usize,
) -> Result<Vec<Taken>, Error> {
    let claim = client.prepare_cached(CLAIM).await?;
    // Work that became due since `now` was taken is claimed as well.
    let ahead = clock.distance(now).max(0);
    let (word, limit) = (task.to_string(), row::limit(limit));
    let rows = client
        .query(&claim, &[&word, &ahead, &limit, &owner, &fence])
        .await?;
    let taken = |found: &Row| {
        let tried_ms: i64 = row::get(found, "tried_ms")?;
        Ok(Taken {
            lease: Lease {
                event: row::get(found, "event")?,
                task: task.clone(),
                fence,
            },
            tries: row::count(found, "tries")?,
            started_at: row::get(found, "started_at")?,
            tried_for: Duration::from_millis(u64::try_from(tried_ms).unwrap_or(0)),
            again: repeat::again(found)?,
            now: row::get(found, "now")?,
        })
    };
    rows.iter().map(taken).collect()
}

/// Joins a row with all that its work needs. `None` when the content is purged.
fn claimed(taken: Taken, content: Content, clock: ServerClock) -> Option<Claimed> {
    let Taken {
        lease,
        tries,
        started_at,
        tried_for,
        again,
        now,
    } = taken;
    let (attempt, started_at) = (tries + 1, clock.own(started_at, now));
    let Content {
        receipt,
        found,
        retrieved_at,
    } = content;
    Some(match lease.task {
        Task::Forward | Task::New | Task::Retrieve => Claimed::Event(Box::new(ClaimedEvent {
            lease,
            started_at,
            tried_for,
            attempt,
            notification: receipt.notification(&found),
            receipt,
            found,
        })),
        Task::Deliver(_) => Claimed::Delivery(ClaimedDelivery {
            lease,
            started_at,
            attempt,
            document: Arc::new(receipt.document(&found)),
        }),
        Task::Refresh => Claimed::Late(Box::new(LateEvent {
            lease,
            id: receipt.id,
            receipt,
            again,
            retrieved_at: clock.own(retrieved_at?, now),
            found,
        })),
    })
}

/// The leases of this instance.
pub(super) async fn held(client: &Client, owner: Uuid) -> Result<Vec<Lease>, Error> {
    let statement = client.prepare_cached(HELD).await?;
    let rows = client.query(&statement, &[&owner]).await?;
    let held = rows.iter().map(|found| {
        Ok(Lease {
            event: row::get(found, "event")?,
            task: row::task(found, "task")?,
            fence: row::get(found, "fence")?,
        })
    });
    held.collect()
}

/// Gives leases back: the work is due at `now`.
pub(super) async fn give_back(
    client: &mut Client,
    clock: ServerClock,
    leases: &[Lease],
    now: Millis,
) -> Result<(), Error> {
    let (events, tasks, fences) = columns(leases);
    let transaction = client.transaction().await?;
    lock(&transaction, &events).await?;
    let give = transaction.prepare_cached(GIVE_BACK).await?;
    transaction
        .execute(&give, &[&events, &tasks, &fences, &clock.distance(now)])
        .await?;
    operate::replay_what_is_free(&transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Locks the rows of all work on these events, always in the same order: two transactions on one event wait for each
/// other, and cannot deadlock.
pub(super) async fn lock(transaction: &Transaction<'_>, events: &[i64]) -> Result<Vec<Row>, Error> {
    let lock = transaction
        .prepare_cached(
            "SELECT event, task, fence, owner, tries, started_at, cause, noted_at FROM work WHERE event = ANY ($1)
             ORDER BY event, task FOR UPDATE",
        )
        .await?;
    Ok(transaction.query(&lock, &[&events]).await?)
}

/// Takes over the leases of dead instances, and returns their number.
pub(super) async fn take_over(
    client: &tokio_postgres::Client,
    owner: Uuid,
    dead_after: Duration,
) -> Result<u64, Error> {
    let dead_after = Millis::try_from(dead_after.as_millis()).unwrap_or(Millis::MAX);
    let taken = client
        .execute(TAKE_OVER, &[&dead_after, &owner, &new_fence()])
        .await?;
    Ok(taken)
}
