//! Reads one event, its bodies, and the counts.

use bytes::Bytes;
use deadpool_postgres::Client;

use super::{content, counts, row};
use crate::domain::EventId;
use crate::journal::lease::WHEN_RETRIEVED;
use crate::journal::{Attempt, Delivery, Error, Event, EventDetail, Found, Stats};

/// The deliveries that were made and those that are pending.
const DELIVERIES: &str =
    "SELECT sink, state, attempts, NULL::bigint AS next_attempt_at, delivered_at, last_error,
        applied_at, cause_code, http_status, took_ms, instance FROM deliveries WHERE event = $1
    UNION ALL
    SELECT substr(task, 9), 'pending', tries + (owner IS NOT NULL)::integer,
        CASE WHEN owner IS NULL AND due < $2 THEN due END, NULL, cause, NULL,
        cause_code, NULL, NULL, NULL FROM work WHERE event = $1 AND task LIKE 'deliver:%'
    ORDER BY sink";
const OLDEST: &str = "SELECT received_at FROM work JOIN receipts ON seq = event WHERE task <> 'refresh'
    AND NOT EXISTS (SELECT FROM endings WHERE endings.event = work.event) ORDER BY work.event LIMIT 1";
/// The events that are being worked on for the first time.
const BEGUN: &str =
    "SELECT count(*) AS n FROM work WHERE owner IS NOT NULL AND task IN ('forward', 'new')";

/// The events that an operator has purged, by the state that they had before.
const PURGED: &str = "SELECT state, count(*) AS n FROM endings
    WHERE purged_at IS NOT NULL AND state <> 'done' GROUP BY state";

/// One event with its links, deliveries and attempts.
pub(super) async fn event(client: &Client, id: EventId) -> Result<Option<EventDetail>, Error> {
    let sql = format!("{} WHERE receipts.id = $1", row::EVENT);
    let statement = client.prepare_cached(&sql).await?;
    let Some(found) = client.query_opt(&statement, &[&row::uuid(id)]).await? else {
        return Ok(None);
    };
    let seq: i64 = row::get(&found, "seq")?;
    Ok(Some(EventDetail {
        event: row::event(&found)?,
        links: content::links(client, seq).await?,
        deliveries: deliveries(client, seq).await?,
        attempts: attempts(client, seq).await?,
    }))
}

async fn deliveries(client: &Client, seq: i64) -> Result<Vec<Delivery>, Error> {
    let statement = client.prepare_cached(DELIVERIES).await?;
    let rows = client.query(&statement, &[&seq, &WHEN_RETRIEVED]).await?;
    rows.iter()
        .map(|found| {
            Ok(Delivery {
                sink: row::get(found, "sink")?,
                state: row::word(found, "state")?,
                attempts: row::count(found, "attempts")?,
                next_attempt_at: row::optional_time(row::get(found, "next_attempt_at")?)?,
                delivered_at: row::optional_time(row::get(found, "delivered_at")?)?,
                last_error: row::get(found, "last_error")?,
                applied_at: row::optional_time(row::get(found, "applied_at")?)?,
                cause: row::optional_word(found, "cause_code")?,
                http_status: row::http_status(found)?,
                took: row::took(found)?,
                instance: row::get(found, "instance")?,
            })
        })
        .collect()
}

async fn attempts(client: &Client, seq: i64) -> Result<Vec<Attempt>, Error> {
    let statement = client
        .prepare_cached(
            "SELECT at, what, detail, cause_code, http_status, took_ms, instance FROM attempts WHERE event = $1
             ORDER BY seq",
        )
        .await?;
    let rows = client.query(&statement, &[&seq]).await?;
    rows.iter()
        .map(|found| {
            Ok(Attempt {
                at: row::time(row::get(found, "at")?)?,
                what: row::get(found, "what")?,
                detail: row::get(found, "detail")?,
                cause: row::optional_word(found, "cause_code")?,
                http_status: row::http_status(found)?,
                took: row::took(found)?,
                instance: row::get(found, "instance")?,
            })
        })
        .collect()
}

/// An event, and what was retrieved for it. `None` when its content is purged.
pub(super) async fn found(client: &Client, id: EventId) -> Result<Option<(Event, Found)>, Error> {
    let sql = format!("{} WHERE receipts.id = $1 AND body IS NOT NULL", row::EVENT);
    let statement = client.prepare_cached(&sql).await?;
    let Some(event) = client.query_opt(&statement, &[&row::uuid(id)]).await? else {
        return Ok(None);
    };
    let seq: i64 = row::get(&event, "seq")?;
    let content = content::events(client, &[seq]).await?.remove(&seq);
    let content = content
        .map(|content| content.ok_or(row::corrupt("event")))
        .transpose()?;
    let event = row::event(&event)?;
    Ok(content.map(|content| (event, content.found)))
}

/// The notification's body.
pub(super) async fn payload(client: &Client, id: EventId) -> Result<Option<Bytes>, Error> {
    let statement = client
        .prepare_cached("SELECT body FROM receipts WHERE id = $1 AND octet_length(body) > 0")
        .await?;
    let found = client.query_opt(&statement, &[&row::uuid(id)]).await?;
    found.map(|found| row::bytes(&found, "body")).transpose()
}

/// The body fetched for a link.
pub(super) async fn resource(client: &Client, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
    let Some(seq) = row::number_of(client, id).await? else {
        return Ok(None);
    };
    let linked = content::linked(client, seq, true).await?;
    let mut linked = linked.into_iter();
    Ok(linked
        .find(|linked| linked.link.n == n)
        .and_then(|linked| linked.body))
}

/// The number of events by state.
pub(super) async fn stats(client: &Client) -> Result<Stats, Error> {
    let events = counts::by_state(client).await?;
    let oldest = client.prepare_cached(OLDEST).await?;
    let oldest = client.query_opt(&oldest, &[]).await?;
    let oldest = oldest.map(|found| row::get(&found, "received_at"));
    let begun = client.prepare_cached(BEGUN).await?;
    let begun: i64 = row::get(&client.query_one(&begun, &[]).await?, "n")?;
    let rejected = client
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
        oldest_pending: row::optional_time(oldest.transpose()?)?,
        rejected: u64::try_from(row::get::<i64>(&rejected, "n")?).unwrap_or(0),
    };
    stats.show_begun(u64::try_from(begun).unwrap_or(0));
    stats.show_purged(&purged.collect::<Result<Vec<_>, Error>>()?);
    Ok(stats)
}
