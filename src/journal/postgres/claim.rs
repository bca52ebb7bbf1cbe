//! Claiming what is due. A claim moves `next_attempt_at` to the lease's end and the fence on by one: a lease that runs
//! out is due again by itself, and whoever held it can no longer write.
//!
//! `SKIP LOCKED`: instances that claim at the same time get different rows and do not wait for each other.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Client;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row;
use super::server_clock::ServerClock;
use crate::domain::{Millis, SessionKind};
use crate::journal::{ClaimedDelivery, ClaimedEvent, DeliveryLease, Due, Error, EventLease, Link};

/// Those that need no call to the vendor's API first.
const CLAIM_EVENTS: &str = "WITH without AS (
        SELECT seq FROM events WHERE needs_sdp = false AND next_attempt_at <= server_millis() + $1::bigint
        ORDER BY next_attempt_at LIMIT $2::bigint FOR UPDATE SKIP LOCKED),
    with_sdp AS (
        SELECT seq FROM events WHERE needs_sdp = true AND next_attempt_at <= server_millis() + $1::bigint
        ORDER BY next_attempt_at LIMIT least($3::bigint, $2::bigint - (SELECT count(*) FROM without))
        FOR UPDATE SKIP LOCKED)
    UPDATE events SET next_attempt_at = server_millis() + $4::bigint, holder = $5, fence = fence + 1,
        attempts = attempts + 1, state = 'retrieving'
    WHERE seq = ANY (ARRAY(SELECT seq FROM without UNION ALL SELECT seq FROM with_sdp))
    RETURNING seq, fence, needs_sdp, id, received_at, started_at, attempts, outcome, kind, session_status, body,
        session_id, encounter_id, status, tried_ms, source, error_code, server_millis() AS now";
/// Those that were never worked on and need such a call.
const CLAIM_NEW: &str = "WITH found AS (
        SELECT seq FROM events WHERE state = 'received' AND needs_sdp AND next_attempt_at <= server_millis() + $1::bigint
        ORDER BY seq LIMIT $2::bigint FOR UPDATE SKIP LOCKED)
    UPDATE events SET next_attempt_at = server_millis() + $3::bigint, holder = $4, fence = fence + 1,
        attempts = attempts + 1, state = 'retrieving'
    WHERE seq = ANY (ARRAY(SELECT seq FROM found))
    RETURNING seq, fence, needs_sdp, id, received_at, started_at, attempts, outcome, kind, session_status, body,
        session_id, encounter_id, status, tried_ms, source, error_code, server_millis() AS now";
const CLAIM_DELIVERIES: &str = "WITH due AS (
        SELECT event FROM deliveries WHERE sink = $1 AND next_attempt_at <= server_millis() + $2::bigint
        ORDER BY next_attempt_at LIMIT $3::bigint FOR UPDATE SKIP LOCKED)
    UPDATE deliveries SET next_attempt_at = server_millis() + $4::bigint, holder = $5, fence = deliveries.fence + 1,
        attempts = deliveries.attempts + 1
    FROM events
    WHERE deliveries.sink = $1 AND deliveries.event = ANY (ARRAY(SELECT event FROM due)) AND seq = deliveries.event
    RETURNING event, deliveries.fence, deliveries.started_at, deliveries.attempts, id, server_millis() AS now";
const LINKS: &str =
    "SELECT event, n, link_group, href, state, http_status, bytes, fetched_at, reason FROM links
    WHERE event = ANY ($1) ORDER BY event, n";
/// A lease that stands ends later than now: so the index of what is due finds it, and nothing that ended is read.
const RELEASE_EVENTS: &str =
    "UPDATE events SET next_attempt_at = server_millis() + $1::bigint, holder = NULL,
    fence = fence + 1, attempts = attempts - 1
    WHERE needs_sdp IN (false, true) AND next_attempt_at > server_millis() AND holder = $2";
const RELEASE_DELIVERIES: &str =
    "UPDATE deliveries SET next_attempt_at = server_millis() + $1::bigint, holder = NULL,
    fence = fence + 1, attempts = attempts - 1 WHERE next_attempt_at > server_millis() AND holder = $2";

/// Claims due events: first those that need no call to the vendor's API, then at most `most_with_sdp` of those that do.
pub(super) async fn events(
    client: &Client,
    clock: ServerClock,
    holder: Uuid,
    due: Due,
    most_with_sdp: usize,
) -> Result<Vec<ClaimedEvent>, Error> {
    let claim = client.prepare_cached(CLAIM_EVENTS).await?;
    let (now, until) = (clock.distance(due.now), clock.distance(due.until));
    let (limit, with_sdp) = (row::limit(due.limit), row::limit(most_with_sdp));
    let rows = client
        .query(&claim, &[&now, &limit, &with_sdp, &until, &holder])
        .await?;
    claimed_of(client, clock, &rows).await
}

/// Claims due events that were never worked on and need the vendor's API.
pub(super) async fn new_events(
    client: &Client,
    clock: ServerClock,
    holder: Uuid,
    due: Due,
) -> Result<Vec<ClaimedEvent>, Error> {
    let claim = client.prepare_cached(CLAIM_NEW).await?;
    let (now, until) = (clock.distance(due.now), clock.distance(due.until));
    let rows = client
        .query(&claim, &[&now, &row::limit(due.limit), &until, &holder])
        .await?;
    claimed_of(client, clock, &rows).await
}

async fn claimed_of(
    client: &Client,
    clock: ServerClock,
    rows: &[Row],
) -> Result<Vec<ClaimedEvent>, Error> {
    let mut claimed = Vec::with_capacity(rows.len());
    for found in rows {
        claimed.push(ClaimedEvent {
            lease: EventLease {
                event: row::get(found, "seq")?,
                fence: row::get(found, "fence")?,
            },
            needs_sdp: row::get(found, "needs_sdp")?,
            id: row::id(found, "id")?,
            received_at: row::time(row::get(found, "received_at")?)?,
            started_at: clock.own(row::get(found, "started_at")?, row::get(found, "now")?),
            attempt: row::count(found, "attempts")?,
            outcome: row::word(found, "outcome")?,
            kind: SessionKind::from_word(row::get(found, "kind")?),
            session_status: row::get(found, "session_status")?,
            body: row::bytes(found, "body")?,
            session_id: row::get(found, "session_id")?,
            encounter_id: row::get(found, "encounter_id")?,
            status: row::get(found, "status")?,
            tried_for: Duration::from_millis(
                u64::try_from(row::get::<i64>(found, "tried_ms")?).unwrap_or(0),
            ),
            source: row::word(found, "source")?,
            error_code: row::get(found, "error_code")?,
            links: Vec::new(),
        });
    }
    add_links(client, &mut claimed).await?;
    Ok(claimed)
}

/// A first claim has no links yet; only the others are worth a look.
async fn add_links(client: &Client, claimed: &mut [ClaimedEvent]) -> Result<(), Error> {
    let again: Vec<i64> = claimed
        .iter()
        .filter(|event| !event.lease.is_first())
        .map(|event| event.lease.event)
        .collect();
    if again.is_empty() {
        return Ok(());
    }
    let links = client.prepare_cached(LINKS).await?;
    let mut by_event: HashMap<i64, Vec<Link>> = HashMap::new();
    for found in client.query(&links, &[&again]).await? {
        let event = row::get(&found, "event")?;
        by_event.entry(event).or_default().push(row::link(&found)?);
    }
    for event in claimed {
        event.links = by_event.remove(&event.lease.event).unwrap_or_default();
    }
    Ok(())
}

/// Claims due deliveries to a sink.
pub(super) async fn deliveries(
    client: &Client,
    clock: ServerClock,
    holder: Uuid,
    sink: &str,
    due: Due,
) -> Result<Vec<ClaimedDelivery>, Error> {
    let claim = client.prepare_cached(CLAIM_DELIVERIES).await?;
    let (now, until) = (clock.distance(due.now), clock.distance(due.until));
    let limit = row::limit(due.limit);
    let rows = client
        .query(&claim, &[&sink, &now, &limit, &until, &holder])
        .await?;
    rows.iter()
        .map(|found| {
            Ok(ClaimedDelivery {
                lease: DeliveryLease {
                    event: row::get(found, "event")?,
                    sink: sink.to_owned(),
                    fence: row::get(found, "fence")?,
                },
                started_at: clock.own(row::get(found, "started_at")?, row::get(found, "now")?),
                attempt: row::count(found, "attempts")?,
                id: row::id(found, "id")?,
            })
        })
        .collect()
}

/// Gives back what this holder has: it is due at `now`, and the attempts that were cut short do not count.
pub(super) async fn release(
    client: &Client,
    clock: ServerClock,
    holder: Uuid,
    now: Millis,
) -> Result<(), Error> {
    let now = clock.distance(now);
    client.execute(RELEASE_EVENTS, &[&now, &holder]).await?;
    client.execute(RELEASE_DELIVERIES, &[&now, &holder]).await?;
    Ok(())
}
