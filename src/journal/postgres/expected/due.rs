//! The sessions that are due to be polled, and the instance that polls them.

use deadpool_postgres::Client;

use super::read::{SELECT, all};
use crate::domain::{Expected, Lane, Millis};
use crate::journal::expected::in_order;
use crate::journal::postgres::{PostgresStore, row};
use crate::journal::{Error, POLLER_LEASE};

/// One instance polls. Another one takes over when the claim has expired.
const POLLER: &str = "INSERT INTO poller (owner, until) VALUES ($1, server_millis() + $2)
    ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, until = excluded.until
    WHERE poller.owner = excluded.owner OR poller.until < server_millis()";

/// The due sessions, if this instance is the one that polls.
pub(super) async fn due(
    client: &Client,
    store: &PostgresStore,
    now: Millis,
    limit: usize,
) -> Result<Option<Vec<Expected>>, Error> {
    if !store.alive.is_valid() {
        return Ok(None);
    }
    let lease = Millis::try_from(POLLER_LEASE.as_millis()).unwrap_or(Millis::MAX);
    let poller = client.prepare_cached(POLLER).await?;
    if client.execute(&poller, &[&store.owner, &lease]).await? == 0 {
        return Ok(None);
    }
    let ahead = store.clock.distance(now).max(0);
    let mut lanes = Vec::with_capacity(4);
    for (lane, order, limit) in [
        (Lane::Closing, "ASC", limit),
        (Lane::Ended, "DESC", limit),
        (Lane::Ended, "ASC", limit.div_ceil(4)),
        (Lane::Other, "ASC", limit),
    ] {
        let sql = format!(
            "{SELECT} WHERE lane = $1 AND due <= server_millis() + $2::bigint ORDER BY due {order} LIMIT $3"
        );
        let statement = client.prepare_cached(&sql).await?;
        let rows = client
            .query(&statement, &[&lane.number(), &ahead, &row::limit(limit)])
            .await?;
        lanes.push(all(&rows, store.clock)?);
    }
    let lanes: [Vec<Expected>; 4] = lanes.try_into().unwrap_or_default();
    Ok(Some(in_order(lanes)))
}
