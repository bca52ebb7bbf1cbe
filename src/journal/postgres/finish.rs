//! Ending attempts. Every write is fenced: it happens only while the lease it was made under still stands.
//!
//! Each is a transaction that begins by locking the event's row. Two sinks that end at the same moment then come one
//! after the other, and the second sees that it is the last.

use deadpool_postgres::{Client, Transaction};
use futures_util::future::try_join_all;

use super::server_clock::ServerClock;
use super::{late, row};
use crate::domain::{EventState, Millis, Outcome, SessionKind};
use crate::journal::{
    DeliveryEnd, DeliveryLease, Ended, Error, EventLease, Held, LinkUpdate, Retrieval,
};

const HOLD: &str =
    "SELECT 1 FROM events WHERE seq = $1 AND fence = $2 AND holder IS NOT NULL FOR NO KEY UPDATE";
const LOCK: &str = "SELECT 1 FROM events WHERE seq = $1 FOR NO KEY UPDATE";
const UPSERT_LINK: &str = "INSERT INTO links
    (event, n, link_group, href, state, http_status, fetched_at, reason, bytes, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (event, n) DO UPDATE SET state = excluded.state, http_status = excluded.http_status,
        fetched_at = excluded.fetched_at, reason = excluded.reason, bytes = excluded.bytes, body = excluded.body";
const DELIVER: &str = "UPDATE events SET outcome = $2, kind = $3, session_status = $4, state = 'delivering',
    next_attempt_at = NULL, last_error = NULL, retrieved_at = server_millis(), holder = NULL WHERE seq = $1";
const RETRY: &str = "UPDATE events SET outcome = $2, kind = $3, session_status = $4, state = 'retrieving',
    next_attempt_at = server_millis() + $5::bigint, last_error = $6, retrieved_at = NULL, tried_ms = $7, holder = NULL
    WHERE seq = $1";
const ANNOUNCED: &str =
    "UPDATE events SET next_attempt_at = server_millis() + $2::bigint, attempts = attempts - 1,
    holder = NULL WHERE seq = $1";
const DEAD: &str =
    "UPDATE events SET state = 'dead', next_attempt_at = NULL, holder = NULL, last_error = $2,
    ended_at = server_millis() WHERE seq = $1";
/// A sink that is there already is being replayed (or has it); it becomes due if it is pending.
const PLAN_DELIVERIES: &str = "INSERT INTO deliveries (event, sink, state, started_at, next_attempt_at)
    SELECT $1, sink, 'pending', server_millis() + $3::bigint, server_millis() + $3::bigint FROM unnest($2::text[]) AS sink
    ON CONFLICT (event, sink) DO NOTHING";
/// Those that wait for it; not what is under way or waits for its next attempt. All of the event's, or of these sinks.
const START_PENDING: &str = "UPDATE deliveries
    SET next_attempt_at = server_millis() + $2::bigint, started_at = server_millis() + $2::bigint
    WHERE event = $1 AND state = 'pending' AND next_attempt_at IS NULL";
const START_SOME: &str = "UPDATE deliveries
    SET next_attempt_at = server_millis() + $3::bigint, started_at = server_millis() + $3::bigint
    WHERE event = $1 AND sink = ANY ($2::text[]) AND state = 'pending' AND next_attempt_at IS NULL";
const END_DELIVERY: &str =
    "UPDATE deliveries SET state = $4, next_attempt_at = server_millis() + $5::bigint,
    delivered_at = $6, last_error = $7, holder = NULL
    WHERE event = $1 AND sink = $2 AND fence = $3 AND holder IS NOT NULL";
/// Done when all sinks have it, dead when one has given up and none is left to try.
const END_EVENT: &str = "UPDATE events SET
    state = CASE WHEN EXISTS (SELECT 1 FROM deliveries WHERE event = seq AND state = 'dead') THEN 'dead' ELSE 'done' END,
    last_error = (SELECT sink || ': ' || coalesce(last_error, '') FROM deliveries WHERE event = seq AND state = 'dead' ORDER BY sink LIMIT 1),
    ended_at = server_millis(), next_attempt_at = NULL, holder = NULL
    WHERE seq = $1 AND state = 'delivering'
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = seq AND state = 'pending')
    RETURNING state";
const HISTORY: &str =
    "INSERT INTO attempts (event, at, what, detail) VALUES ($1, server_millis(), $2, $3)";

/// Writes down how links stand.
pub(super) async fn links(
    client: &mut Client,
    lease: EventLease,
    updates: &[LinkUpdate],
) -> Result<Held, Error> {
    let transaction = client.transaction().await?;
    let held = write_links(&transaction, lease, updates).await?;
    transaction.commit().await?;
    Ok(held)
}

/// Ends an attempt at retrieving.
pub(super) async fn retrieval(
    client: &mut Client,
    clock: ServerClock,
    lease: EventLease,
    updates: &[LinkUpdate],
    end: &Retrieval,
) -> Result<Held, Error> {
    let transaction = client.transaction().await?;
    let held = write_links(&transaction, lease, updates).await?;
    if held == Held::Kept {
        write_end(&transaction, clock, lease.event, end).await?;
    }
    transaction.commit().await?;
    Ok(held)
}

async fn write_end(
    transaction: &Transaction<'_>,
    clock: ServerClock,
    event: i64,
    end: &Retrieval,
) -> Result<(), Error> {
    let settled = |outcome: &Outcome, kind: &SessionKind, status: &Option<String>| {
        let status = status
            .as_deref()
            .map(|status| row::text(status).into_owned());
        (outcome.as_str(), kind.as_str(), status)
    };
    match end {
        Retrieval::Deliver {
            outcome,
            kind,
            session_status,
            sinks,
            at,
            refresh_at,
        } => {
            let (outcome, kind, status) = settled(outcome, kind, session_status);
            let deliver = transaction.prepare_cached(DELIVER).await?;
            transaction
                .execute(&deliver, &[&event, &outcome, &kind, &status])
                .await?;
            if let Some(at) = refresh_at {
                late::look_at(transaction, event, clock.distance(*at)).await?;
            }
            plan_deliveries(transaction, event, sinks, clock.distance(*at)).await?;
            end_event(transaction, event).await?;
        }
        Retrieval::Retry {
            outcome,
            kind,
            session_status,
            at,
            tried_for,
            reason,
            sinks,
        } => {
            announce(transaction, event, sinks, 0).await?;
            let tried_ms = Millis::try_from(tried_for.as_millis()).unwrap_or(Millis::MAX);
            let (outcome, kind, status) = settled(outcome, kind, session_status);
            let (distance, detail) = (clock.distance(*at), row::text(reason));
            let retry = transaction.prepare_cached(RETRY).await?;
            transaction
                .execute(
                    &retry,
                    &[
                        &event, &outcome, &kind, &status, &distance, &detail, &tried_ms,
                    ],
                )
                .await?;
            history(transaction, event, "retrieve", reason).await?;
        }
        Retrieval::Announced { sinks, at } => {
            let distance = clock.distance(*at);
            announce(transaction, event, sinks, distance).await?;
            let announced = transaction.prepare_cached(ANNOUNCED).await?;
            transaction
                .execute(&announced, &[&event, &distance])
                .await?;
        }
        Retrieval::Dead { reason, sinks, at } => {
            announce(transaction, event, sinks, clock.distance(*at)).await?;
            let dead = transaction.prepare_cached(DEAD).await?;
            transaction
                .execute(&dead, &[&event, &row::text(reason)])
                .await?;
            history(
                transaction,
                event,
                "retrieve",
                &format!("given up: {reason}"),
            )
            .await?;
        }
    }
    Ok(())
}

/// Ends a delivery attempt.
pub(super) async fn delivery(
    client: &mut Client,
    clock: ServerClock,
    lease: &DeliveryLease,
    end: &DeliveryEnd,
) -> Result<Ended, Error> {
    let (state, due_in, delivered_at, reason) = match end {
        DeliveryEnd::Delivered { at } => ("delivered", None, Some(at.as_millisecond()), None),
        DeliveryEnd::Retry { at, reason } => {
            ("pending", Some(clock.distance(*at)), None, Some(reason))
        }
        DeliveryEnd::Dead { reason } => ("dead", None, None, Some(reason)),
    };
    let transaction = client.transaction().await?;
    let lock = transaction.prepare_cached(LOCK).await?;
    transaction.execute(&lock, &[&lease.event]).await?;
    let last_error = reason.map(|reason| row::text(reason));
    let end_delivery = transaction.prepare_cached(END_DELIVERY).await?;
    let kept = transaction
        .execute(
            &end_delivery,
            &[
                &lease.event,
                &lease.sink,
                &lease.fence,
                &state,
                &due_in,
                &delivered_at,
                &last_error,
            ],
        )
        .await?;
    if kept == 0 {
        transaction.rollback().await?;
        return Ok(Ended::Lost);
    }
    if let Some(reason) = reason {
        let what = format!("deliver to {}", lease.sink);
        history(&transaction, lease.event, &what, reason).await?;
    }
    let ended = end_event(&transaction, lease.event).await?;
    transaction.commit().await?;
    Ok(ended.map_or(Ended::NotYet, Ended::Event))
}

/// One line of an event's history.
pub(super) async fn history(
    transaction: &Transaction<'_>,
    event: i64,
    what: &str,
    detail: &str,
) -> Result<(), Error> {
    let history = transaction.prepare_cached(HISTORY).await?;
    transaction
        .execute(&history, &[&event, &row::text(what), &row::text(detail)])
        .await?;
    Ok(())
}

/// Makes deliveries to these sinks due in `distance`, and those to no other.
async fn announce(
    transaction: &Transaction<'_>,
    event: i64,
    sinks: &[String],
    distance: Millis,
) -> Result<(), Error> {
    if sinks.is_empty() {
        return Ok(());
    }
    for sql in [PLAN_DELIVERIES, START_SOME] {
        let statement = transaction.prepare_cached(sql).await?;
        transaction
            .execute(&statement, &[&event, &sinks, &distance])
            .await?;
    }
    Ok(())
}

/// Makes deliveries due in `distance`: those that are new, and those that a replay has set to pending.
pub(super) async fn plan_deliveries(
    transaction: &Transaction<'_>,
    event: i64,
    sinks: &[String],
    distance: Millis,
) -> Result<(), Error> {
    let plan = transaction.prepare_cached(PLAN_DELIVERIES).await?;
    transaction
        .execute(&plan, &[&event, &sinks, &distance])
        .await?;
    let start = transaction.prepare_cached(START_PENDING).await?;
    transaction.execute(&start, &[&event, &distance]).await?;
    Ok(())
}

/// Ends the event if no delivery is left to try.
pub(super) async fn end_event(
    transaction: &Transaction<'_>,
    event: i64,
) -> Result<Option<EventState>, Error> {
    let end = transaction.prepare_cached(END_EVENT).await?;
    let ended = transaction.query_opt(&end, &[&event]).await?;
    ended.map(|found| row::word(&found, "state")).transpose()
}

/// Writes links while the lease stands, and locks the event.
async fn write_links(
    transaction: &Transaction<'_>,
    lease: EventLease,
    updates: &[LinkUpdate],
) -> Result<Held, Error> {
    let hold = transaction.prepare_cached(HOLD).await?;
    let held = transaction
        .query_opt(&hold, &[&lease.event, &lease.fence])
        .await?;
    if held.is_none() {
        return Ok(Held::Lost);
    }
    upsert_links(transaction, lease.event, updates).await?;
    Ok(Held::Kept)
}

/// Writes links, whoever holds the event.
pub(super) async fn upsert_links(
    transaction: &Transaction<'_>,
    event: i64,
    updates: &[LinkUpdate],
) -> Result<(), Error> {
    if !updates.is_empty() {
        let upsert = transaction.prepare_cached(UPSERT_LINK).await?;
        // Sent one after the other without waiting in between.
        try_join_all(
            updates
                .iter()
                .map(|update| write_link(transaction, &upsert, event, update)),
        )
        .await?;
    }
    Ok(())
}

async fn write_link(
    transaction: &Transaction<'_>,
    upsert: &tokio_postgres::Statement,
    event: i64,
    LinkUpdate { link, body }: &LinkUpdate,
) -> Result<(), Error> {
    let number = i32::try_from(link.n).map_err(|_| row::corrupt("n"))?;
    let bytes = link
        .bytes
        .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    transaction
        .execute(
            upsert,
            &[
                &event,
                &number,
                &row::text(link.group.as_str()),
                &row::text(&link.href),
                &link.state.as_str(),
                &link.http_status.map(i32::from),
                &link.fetched_at.map(|time| time.as_millisecond()),
                &link.reason.as_deref().map(row::text),
                &bytes,
                &body.as_deref(),
            ],
        )
        .await?;
    Ok(())
}
