//! Events that were delivered without something: asking for it again, and the amendment when it came.

use deadpool_postgres::{Client, Transaction};

use super::server_clock::ServerClock;
use super::{finish, query, row};
use crate::domain::{EventState, Millis, Source};
use crate::journal::{Amendment, Due, Error, EventLease, Held, LateEvent};

/// It is rarely there, and looked for often.
const IS_DUE: &str = "SELECT 1 FROM late WHERE refresh_at <= server_millis() + $1::bigint LIMIT 1";
/// What is purged, or fetched anew from the start, has nothing to be amended.
const FORGET: &str =
    "DELETE FROM late WHERE refresh_at <= server_millis() + $1::bigint AND NOT EXISTS
    (SELECT 1 FROM events WHERE seq = event AND body IS NOT NULL AND retrieved_at IS NOT NULL)";
const CLAIM: &str = "WITH found AS (
        SELECT event FROM late WHERE refresh_at <= server_millis() + $1::bigint
        ORDER BY refresh_at LIMIT $3::bigint FOR UPDATE SKIP LOCKED)
    UPDATE late SET refresh_at = server_millis() + $2::bigint FROM events
    WHERE late.event = ANY (ARRAY(SELECT event FROM found)) AND seq = late.event
    RETURNING seq, fence, id, retrieved_at, outcome, server_millis() AS now";
/// While nobody has changed the event since, nor amended it.
const END: &str = "DELETE FROM late WHERE event = $1 AND EXISTS
    (SELECT 1 FROM events WHERE seq = $1 AND fence = $2 AND body IS NOT NULL AND retrieved_at IS NOT NULL)";
const LOOK: &str = "INSERT INTO late (event, refresh_at) VALUES ($1, server_millis() + $2::bigint)
    ON CONFLICT (event) DO UPDATE SET refresh_at = excluded.refresh_at";
/// The same event with another id. It is a duplicate of nothing: its key is the id of what it replaces.
const INSERT: &str = "INSERT INTO events
    (id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code,
     session_status, state, needs_sdp, started_at, retrieved_at, body)
    SELECT $2::uuid, session_id, uuid_send(id), encounter_id, $3::bigint, generated_at, $4::text, stale, status, outcome,
     kind, error_code, session_status, $5::text, needs_sdp, server_millis() + $6::bigint, retrieved_at, body
    FROM events WHERE seq = $1
    RETURNING seq";
const AMENDS: &str = "INSERT INTO amendments (event, revision, replaces)
    SELECT $2::bigint, 1 + coalesce((SELECT revision FROM amendments WHERE event = $1), 1), id
    FROM events WHERE seq = $1";
const COPY_LINKS: &str = "INSERT INTO links
    (event, n, link_group, href, state, http_status, fetched_at, reason, bytes, body)
    SELECT $2::bigint, n, link_group, href, state, http_status, fetched_at, reason, bytes, body FROM links WHERE event = $1";

/// Claims what is due.
pub(super) async fn claim(
    client: &Client,
    clock: ServerClock,
    due: Due,
) -> Result<Vec<LateEvent>, Error> {
    let (now, until) = (clock.distance(due.now), clock.distance(due.until));
    let is_due = client.prepare_cached(IS_DUE).await?;
    if client.query_opt(&is_due, &[&now]).await?.is_none() {
        return Ok(Vec::new());
    }
    let forget = client.prepare_cached(FORGET).await?;
    client.execute(&forget, &[&now]).await?;
    let claim = client.prepare_cached(CLAIM).await?;
    let rows = client
        .query(&claim, &[&now, &until, &row::limit(due.limit)])
        .await?;
    let mut claimed = Vec::with_capacity(rows.len());
    for found in &rows {
        let event: i64 = row::get(found, "seq")?;
        claimed.push(LateEvent {
            lease: EventLease {
                event,
                fence: row::get(found, "fence")?,
            },
            id: row::id(found, "id")?,
            retrieved_at: clock.own(row::get(found, "retrieved_at")?, row::get(found, "now")?),
            outcome: row::word(found, "outcome")?,
            links: query::links(client, event).await?,
        });
    }
    Ok(claimed)
}

/// Ends a look.
pub(super) async fn finish(
    client: &mut Client,
    clock: ServerClock,
    lease: EventLease,
    next: Option<Millis>,
    amendment: Option<&Amendment>,
) -> Result<Held, Error> {
    let next = next.map(|next| clock.distance(next));
    let transaction = client.transaction().await?;
    // Locked, so that a replay comes before or after.
    transaction
        .execute(
            "SELECT 1 FROM events WHERE seq = $1 FOR NO KEY UPDATE",
            &[&lease.event],
        )
        .await?;
    let end = transaction.prepare_cached(END).await?;
    let kept = transaction
        .execute(&end, &[&lease.event, &lease.fence])
        .await?;
    if kept == 0 {
        return Ok(Held::Lost);
    }
    let mut looked_at = lease.event;
    if let Some(amendment) = amendment {
        let distance = clock.distance(amendment.at);
        let insert = transaction.prepare_cached(INSERT).await?;
        let inserted = transaction
            .query_one(
                &insert,
                &[
                    &lease.event,
                    &row::uuid(amendment.id),
                    &amendment.received_at.as_millisecond(),
                    &Source::Refresh.as_str(),
                    &EventState::Delivering.as_str(),
                    &distance,
                ],
            )
            .await?;
        let event: i64 = row::get(&inserted, "seq")?;
        let amends = transaction.prepare_cached(AMENDS).await?;
        transaction
            .execute(&amends, &[&lease.event, &event])
            .await?;
        let copy = transaction.prepare_cached(COPY_LINKS).await?;
        transaction.execute(&copy, &[&lease.event, &event]).await?;
        finish::upsert_links(&transaction, event, &amendment.links).await?;
        finish::plan_deliveries(&transaction, event, &amendment.sinks, distance).await?;
        finish::end_event(&transaction, event).await?;
        let detail = format!("late content came; amended by {}", amendment.id);
        finish::history(&transaction, lease.event, "refresh", &detail).await?;
        looked_at = event;
    }
    if let Some(next) = next {
        look_at(&transaction, looked_at, next).await?;
    }
    transaction.commit().await?;
    Ok(Held::Kept)
}

/// Asks for what an event was delivered without in `distance`.
pub(super) async fn look_at(
    transaction: &Transaction<'_>,
    event: i64,
    distance: Millis,
) -> Result<(), Error> {
    let look = transaction.prepare_cached(LOOK).await?;
    transaction.execute(&look, &[&event, &distance]).await?;
    Ok(())
}
