//! Reads: one event, bodies, counts, audit entries.

use bytes::Bytes;
use deadpool_postgres::Client;

use super::{counts, row};
use crate::domain::{Document, EncounterId, EventId, LinkGroup, LinkState, Resource, SessionId};
use crate::journal::{
    Attempt, AuditEntry, Delivery, DeliveryLease, Error, EventDetail, Link, Stats,
};

/// A row for each link, or one without; the notification's body stands in the first only. One statement, since each sees
/// a moment of its own.
const DOCUMENT: &str = "SELECT id, received_at, session_id, encounter_id, outcome, error_code, session_status, stale,
    status, source, coalesce(revision, 1) AS revision, replaces, CASE WHEN row_number() OVER (ORDER BY n) = 1 THEN events.body END AS notification,
    link_group, href, links.state AS link_state, http_status, fetched_at, reason, links.body AS resource
    FROM events JOIN deliveries ON deliveries.event = seq LEFT JOIN links ON links.event = seq
    LEFT JOIN amendments ON amendments.event = seq
    WHERE seq = $1 AND sink = $2 AND deliveries.fence = $3 AND deliveries.holder IS NOT NULL AND events.body IS NOT NULL
    ORDER BY n";
const DELIVERIES: &str = "SELECT sink, state, attempts, next_attempt_at, delivered_at, last_error,
    holder IS NOT NULL AS is_leased FROM deliveries WHERE event = $1 ORDER BY sink";
const OLDEST: &str = "SELECT min(received_at) AS received_at FROM (
        (SELECT received_at FROM events WHERE state = 'received' ORDER BY seq LIMIT 1)
        UNION ALL
        (SELECT received_at FROM events WHERE state = 'retrieving' ORDER BY seq LIMIT 1)
        UNION ALL
        (SELECT received_at FROM events WHERE state = 'delivering' ORDER BY seq LIMIT 1)) AS oldest";

/// What an operator purged, by the state that it had.
const PURGED: &str = "SELECT state, count(*) AS n FROM events
    WHERE purged_at IS NOT NULL AND state <> 'done' GROUP BY state";

/// What is to be delivered, as long as the lease stands.
pub(super) async fn document(
    client: &Client,
    lease: &DeliveryLease,
) -> Result<Option<Document>, Error> {
    let statement = client.prepare_cached(DOCUMENT).await?;
    let rows = client
        .query(&statement, &[&lease.event, &lease.sink, &lease.fence])
        .await?;
    let Some(found) = rows.first() else {
        return Ok(None);
    };
    let mut document = Document {
        id: row::id(found, "id")?,
        received_at: row::time(row::get(found, "received_at")?)?,
        session_id: SessionId::new(row::get::<String>(found, "session_id")?)
            .ok_or(row::corrupt("session_id"))?,
        encounter_id: row::get::<Option<String>>(found, "encounter_id")?.and_then(EncounterId::new),
        outcome: row::word(found, "outcome")?,
        error_code: row::get(found, "error_code")?,
        session_status: row::get(found, "session_status")?,
        stale: row::get(found, "stale")?,
        status: row::get(found, "status")?,
        source: row::word(found, "source")?,
        revision: row::number(found, "revision")?,
        replaces: row::get::<Option<uuid::Uuid>>(found, "replaces")?.map(row::event_id),
        notification: row::bytes(found, "notification")?,
        resources: Vec::new(),
        missing: Vec::new(),
    };
    for found in &rows {
        let Some(group) = row::get::<Option<String>>(found, "link_group")? else {
            break;
        };
        let (group, href) = (LinkGroup::new(group), row::get(found, "href")?);
        let (state, reason) = (row::word(found, "link_state")?, row::get(found, "reason")?);
        if state == LinkState::Fetched {
            let http_status: i32 = row::get(found, "http_status")?;
            let resource = Resource {
                group,
                href,
                http_status: u16::try_from(http_status).map_err(|_| row::corrupt("http_status"))?,
                fetched_at: row::time(row::get(found, "fetched_at")?)?,
                body: row::bytes(found, "resource")?,
            };
            document.add_resource(resource, reason);
        } else {
            document.add_unfetched(state, group, href, reason);
        }
    }
    Ok(Some(document))
}

/// One event with all that belongs to it.
pub(super) async fn event(client: &Client, id: EventId) -> Result<Option<EventDetail>, Error> {
    let sql = format!("SELECT {}, seq FROM events WHERE id = $1", row::EVENT);
    let statement = client.prepare_cached(&sql).await?;
    let Some(found) = client.query_opt(&statement, &[&row::uuid(id)]).await? else {
        return Ok(None);
    };
    let seq: i64 = row::get(&found, "seq")?;
    Ok(Some(EventDetail {
        event: row::event(&found)?,
        links: links(client, seq).await?,
        deliveries: deliveries(client, seq).await?,
        attempts: attempts(client, seq).await?,
    }))
}

/// An event's links, without bodies.
pub(super) async fn links(client: &Client, seq: i64) -> Result<Vec<Link>, Error> {
    let sql = format!(
        "SELECT {} FROM links WHERE event = $1 ORDER BY n",
        row::LINK
    );
    let statement = client.prepare_cached(&sql).await?;
    let rows = client.query(&statement, &[&seq]).await?;
    rows.iter().map(row::link).collect()
}

async fn deliveries(client: &Client, seq: i64) -> Result<Vec<Delivery>, Error> {
    let statement = client.prepare_cached(DELIVERIES).await?;
    let rows = client.query(&statement, &[&seq]).await?;
    rows.iter()
        .map(|found| {
            Ok(Delivery {
                sink: row::get(found, "sink")?,
                state: row::word(found, "state")?,
                attempts: row::count(found, "attempts")?,
                next_attempt_at: row::unleased(found)?,
                delivered_at: row::optional_time(row::get(found, "delivered_at")?)?,
                last_error: row::get(found, "last_error")?,
            })
        })
        .collect()
}

async fn attempts(client: &Client, seq: i64) -> Result<Vec<Attempt>, Error> {
    let statement = client
        .prepare_cached("SELECT at, what, detail FROM attempts WHERE event = $1 ORDER BY seq")
        .await?;
    let rows = client.query(&statement, &[&seq]).await?;
    rows.iter()
        .map(|found| {
            Ok(Attempt {
                at: row::time(row::get(found, "at")?)?,
                what: row::get(found, "what")?,
                detail: row::get(found, "detail")?,
            })
        })
        .collect()
}

/// The notification's body.
pub(super) async fn payload(client: &Client, id: EventId) -> Result<Option<Bytes>, Error> {
    let statement = client
        .prepare_cached("SELECT body FROM events WHERE id = $1 AND body IS NOT NULL")
        .await?;
    let found = client.query_opt(&statement, &[&row::uuid(id)]).await?;
    found.map(|found| row::bytes(&found, "body")).transpose()
}

/// The body fetched for a link.
pub(super) async fn resource(client: &Client, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
    let Ok(n) = i32::try_from(n) else {
        return Ok(None);
    };
    let statement = client
        .prepare_cached(
            "SELECT body FROM links WHERE event = (SELECT seq FROM events WHERE id = $1) AND n = $2 AND body IS NOT NULL",
        )
        .await?;
    let found = client.query_opt(&statement, &[&row::uuid(id), &n]).await?;
    found.map(|found| row::bytes(&found, "body")).transpose()
}

/// How many events stand where.
pub(super) async fn stats(client: &Client) -> Result<Stats, Error> {
    let events = counts::by_state(client).await?;
    let oldest = client.prepare_cached(OLDEST).await?;
    let oldest = client.query_one(&oldest, &[]).await?;
    let unauthentic = client
        .query_one("SELECT count(*) AS n FROM unauthentic", &[])
        .await?;
    let purged = client.prepare_cached(PURGED).await?;
    let purged = client.query(&purged, &[]).await?;
    let purged = purged.iter().map(|found| {
        let count = u64::try_from(row::get::<i64>(found, "n")?).unwrap_or(0);
        Ok((row::word(found, "state")?, count))
    });
    let mut stats = Stats {
        events,
        oldest_pending: row::optional_time(row::get(&oldest, "received_at")?)?,
        unauthentic: u64::try_from(row::get::<i64>(&unauthentic, "n")?).unwrap_or(0),
    };
    stats.show_purged(&purged.collect::<Result<Vec<_>, Error>>()?);
    Ok(stats)
}

/// The newest audit entries.
pub(super) async fn audit_log(client: &Client, limit: usize) -> Result<Vec<AuditEntry>, Error> {
    let statement = client
        .prepare_cached("SELECT at, actor, action, event FROM audit ORDER BY seq DESC LIMIT $1")
        .await?;
    let rows = client.query(&statement, &[&row::limit(limit)]).await?;
    rows.iter()
        .map(|found| {
            Ok(AuditEntry {
                at: row::time(row::get(found, "at")?)?,
                actor: row::get(found, "actor")?,
                action: row::get(found, "action")?,
                event: row::get::<Option<uuid::Uuid>>(found, "event")?.map(row::event_id),
            })
        })
        .collect()
}
