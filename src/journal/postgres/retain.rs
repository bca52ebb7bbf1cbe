//! Retention: removes what has been kept for long enough, a little at a time. Rows that someone works on are left for the
//! next time, and instances that do it at once take different ones.

use deadpool_postgres::Client;

use super::server_clock::ServerClock;
use super::{counts, row};
use crate::domain::Millis;
use crate::journal::{Error, Expiry, Purged};

/// What is purged is chosen by the first parameter's distance from now, at most the second many.
const DONE: &str = "state = 'done' AND body IS NOT NULL AND ended_at < server_millis() + $1::bigint ORDER BY ended_at";
const DEAD: &str = "state = 'dead' AND body IS NOT NULL AND ended_at < server_millis() + $1::bigint ORDER BY ended_at";
/// By the time at which it was kept, which is the server's.
const QUARANTINED: &str = "state = 'quarantined' AND body IS NOT NULL AND started_at < server_millis() + $1::bigint ORDER BY seq";
/// What an operator or an age limit has taken the content of is decided, and goes as what is done does.
const RECEIPTS: &str = "WITH gone AS (
        SELECT seq FROM events WHERE ended_at < server_millis() + $1::bigint
            AND (state = 'done' OR (state IN ('dead', 'quarantined') AND body IS NULL))
        ORDER BY ended_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED),
    no_links AS (DELETE FROM links WHERE event IN (SELECT seq FROM gone)),
    no_deliveries AS (DELETE FROM deliveries WHERE event IN (SELECT seq FROM gone)),
    no_attempts AS (DELETE FROM attempts WHERE event IN (SELECT seq FROM gone)),
    not_late AS (DELETE FROM late WHERE event IN (SELECT seq FROM gone)),
    no_amendments AS (DELETE FROM amendments WHERE event IN (SELECT seq FROM gone))
    DELETE FROM events WHERE seq IN (SELECT seq FROM gone)";

/// Removes at most `limit` of each kind.
pub(super) async fn retain(
    client: &Client,
    clock: ServerClock,
    expiry: Expiry,
    limit: usize,
) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let kinds = [
        (DONE, Some(expiry.content)),
        (DEAD, expiry.dead),
        (QUARANTINED, expiry.quarantined),
    ];
    for (which, before) in kinds {
        let Some(before) = before else { continue };
        let before = clock.distance(before);
        let gone = count(client, &purge(which), before, limit).await?;
        purged.content += gone;
        purged.is_all &= gone < limit;
    }
    if let Some(before) = expiry.quarantined {
        client
            .execute(
                "DELETE FROM unauthentic WHERE kept_at < server_millis() + $1::bigint",
                &[&clock.distance(before)],
            )
            .await?;
    }
    purged.receipts = count(client, RECEIPTS, clock.distance(expiry.receipts), limit).await?;
    purged.is_all &= purged.receipts < limit;
    counts::fold(client).await?;
    Ok(purged)
}

/// Removes the bodies of those that `which` finds.
fn purge(which: &str) -> String {
    format!(
        "WITH gone AS (SELECT seq FROM events WHERE {which} LIMIT $2::bigint FOR UPDATE SKIP LOCKED),
         no_bodies AS (UPDATE links SET body = NULL WHERE event IN (SELECT seq FROM gone))
         UPDATE events SET body = NULL, ended_at = coalesce(ended_at, server_millis())
         WHERE seq IN (SELECT seq FROM gone)"
    )
}

async fn count(client: &Client, sql: &str, before: Millis, limit: usize) -> Result<usize, Error> {
    let statement = client.prepare_cached(sql).await?;
    let changed = client
        .execute(&statement, &[&before, &row::limit(limit)])
        .await?;
    Ok(usize::try_from(changed).unwrap_or(usize::MAX))
}
