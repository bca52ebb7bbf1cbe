//! What operators change: replays, purges, audit entries.

use deadpool_postgres::{Client, Transaction};

use super::{finish, row};
use crate::domain::{EventId, EventState};
use crate::journal::{AuditEntry, Error, ReplayFrom, Replayed};

const FIND: &str =
    "SELECT seq, state, body IS NOT NULL AS has_content, retrieved_at IS NOT NULL AS is_retrieved
    FROM events WHERE id = $1 FOR NO KEY UPDATE";
const RESET: &str =
    "UPDATE deliveries SET state = 'pending', attempts = 0, next_attempt_at = NULL, holder = NULL,
    fence = fence + 1, delivered_at = NULL, last_error = NULL
    WHERE event = $1 AND (cardinality($2::text[]) = 0 OR sink = ANY ($2::text[]))";
/// The sinks that were not named wait as well: there is nothing to give them now.
const WAIT: &str = "UPDATE deliveries SET next_attempt_at = NULL, holder = NULL, fence = fence + 1
    WHERE event = $1 AND state = 'pending'";
const RETRIEVE: &str = "UPDATE events SET state = 'received', next_attempt_at = server_millis(),
    started_at = server_millis(), attempts = 0, fence = fence + 1, holder = NULL, last_error = NULL, ended_at = NULL,
    retrieved_at = NULL, tried_ms = 0 WHERE seq = $1";
const DELIVER: &str = "UPDATE events SET state = 'delivering', next_attempt_at = NULL, fence = fence + 1, holder = NULL,
    last_error = NULL, ended_at = NULL WHERE seq = $1";
const PURGE: &str = "UPDATE events SET body = NULL,
    state = CASE WHEN state IN ('done', 'quarantined') THEN state ELSE 'dead' END,
    last_error = CASE WHEN state IN ('done', 'dead', 'quarantined') THEN last_error ELSE 'purged by an operator' END,
    next_attempt_at = NULL, holder = NULL, fence = fence + 1, ended_at = coalesce(ended_at, server_millis()),
    purged_at = coalesce(purged_at, server_millis()) WHERE seq = $1";
const PURGE_DELIVERIES: &str =
    "UPDATE deliveries SET state = 'dead', next_attempt_at = NULL, holder = NULL,
    fence = fence + 1, last_error = 'purged by an operator' WHERE event = $1 AND state = 'pending'";

/// Makes an event due again, for `sinks` or (none given) for those it had.
pub(super) async fn replay(
    client: &mut Client,
    id: EventId,
    from: ReplayFrom,
    sinks: &[String],
    actor: &str,
) -> Result<Replayed, Error> {
    let transaction = client.transaction().await?;
    let Some(found) = transaction.query_opt(FIND, &[&row::uuid(id)]).await? else {
        return Ok(Replayed::NotFound);
    };
    let seq: i64 = row::get(&found, "seq")?;
    let state: EventState = row::word(&found, "state")?;
    if !row::get(&found, "has_content")? || state == EventState::Quarantined {
        return Ok(Replayed::NoContent);
    }
    if from == ReplayFrom::Deliver && !row::get(&found, "is_retrieved")? {
        return Ok(Replayed::NotRetrieved);
    }
    transaction.execute(RESET, &[&seq, &sinks]).await?;
    let step = match from {
        ReplayFrom::Retrieve => {
            transaction
                .execute("DELETE FROM links WHERE event = $1", &[&seq])
                .await?;
            transaction
                .execute("DELETE FROM late WHERE event = $1", &[&seq])
                .await?;
            transaction.execute(WAIT, &[&seq]).await?;
            transaction.execute(RETRIEVE, &[&seq]).await?;
            "retrieve"
        }
        ReplayFrom::Deliver => {
            transaction.execute(DELIVER, &[&seq]).await?;
            finish::plan_deliveries(&transaction, seq, sinks, 0).await?;
            finish::end_event(&transaction, seq).await?;
            "deliver"
        }
    };
    let detail = format!("from {step} by {actor}");
    finish::history(&transaction, seq, "replay", &detail).await?;
    transaction.commit().await?;
    Ok(Replayed::Scheduled)
}

/// Removes an event's content and keeps its receipt. Whoever works on it finds its lease lost.
pub(super) async fn purge(client: &mut Client, id: EventId, actor: &str) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let Some(found) = transaction.query_opt(FIND, &[&row::uuid(id)]).await? else {
        return Ok(false);
    };
    let seq: i64 = row::get(&found, "seq")?;
    remove_content(&transaction, seq).await?;
    finish::history(&transaction, seq, "purge", &format!("by {actor}")).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn remove_content(transaction: &Transaction<'_>, seq: i64) -> Result<(), Error> {
    transaction.execute(PURGE, &[&seq]).await?;
    transaction.execute(PURGE_DELIVERIES, &[&seq]).await?;
    transaction
        .execute("UPDATE links SET body = NULL WHERE event = $1", &[&seq])
        .await?;
    Ok(())
}

/// Writes down who read or changed what.
pub(super) async fn audit(client: &Client, entry: &AuditEntry) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO audit (at, actor, action, event) VALUES ($1, $2, $3, $4)",
            &[
                &entry.at.as_millisecond(),
                &row::text(&entry.actor),
                &row::text(&entry.action),
                &entry.event.map(row::uuid),
            ],
        )
        .await?;
    Ok(())
}
