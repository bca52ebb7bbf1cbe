//! Handles a notification that is sent again later: the vendor may have made another note and announce it with
//! identical content. What was fetched before is fetched again and compared.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row;
use crate::domain::{EventId, Millis};
use crate::journal::lease::{LATER_BY, WHEN_RETRIEVED, new_fence};
use crate::journal::{Again, Error};

/// What somebody asked for includes what a repeated notification asks for, so it stays asked for.
///
/// Uses the newest version of each event; each version has the id of the one before as its deduplication key. Only
/// events that were retrieved well before, or are still to be retrieved.
const NOTE: &str = "WITH RECURSIVE versions AS (
        SELECT asked.at, receipts.seq, receipts.session_id, receipts.id, asked.id AS first, 0 AS version
        FROM unnest($1::uuid[], $2::bigint[]) AS asked (id, at) JOIN receipts ON receipts.id = asked.id
        UNION ALL
        SELECT versions.at, receipts.seq, receipts.session_id, receipts.id, versions.first, version + 1
        FROM versions JOIN receipts
            ON receipts.session_id = versions.session_id AND receipts.dedupe = uuid_send(versions.id)),
    newest AS (SELECT DISTINCT ON (first) first, seq, at FROM versions ORDER BY first, version DESC, at DESC)
    INSERT INTO work (event, task, due, fence, started_at, noted_at, cause)
    SELECT newest.seq, 'refresh', CASE WHEN retrieved_at IS NULL THEN $3 ELSE server_millis() END, $4, server_millis(), at,
        'repeat'
    FROM newest JOIN receipts ON receipts.seq = newest.seq LEFT JOIN retrievals AS found ON found.event = newest.seq
    WHERE body IS NOT NULL AND junk IS NULL AND at > generated_at
        AND (retrieved_at IS NULL OR at > retrieved_at + $5)
        AND NOT EXISTS (SELECT FROM endings WHERE endings.event = newest.seq AND state = 'dead')
    ON CONFLICT (event, task) DO UPDATE SET due = least(work.due, excluded.due),
        cause = CASE work.cause WHEN 'asked' THEN work.cause ELSE excluded.cause END,
        noted_at = greatest(coalesce(work.noted_at, 0), excluded.noted_at)";
const SCHEDULE: &str = "INSERT INTO work (event, task, due, fence, started_at, noted_at, cause)
    VALUES ($1, 'refresh', server_millis() + $4::bigint, $2, server_millis(), $3, $5)
    ON CONFLICT (event, task) DO UPDATE SET due = least(work.due, excluded.due), cause = excluded.cause,
        noted_at = greatest(coalesce(work.noted_at, 0), excluded.noted_at)";
const ASK: &str = "WITH RECURSIVE versions AS (
        SELECT seq, session_id, id, 0 AS version FROM receipts WHERE id = $1
        UNION ALL
        SELECT receipts.seq, receipts.session_id, receipts.id, version + 1 FROM versions JOIN receipts
            ON receipts.session_id = versions.session_id AND receipts.dedupe = uuid_send(versions.id)),
    newest AS (SELECT seq FROM versions ORDER BY version DESC LIMIT 1)
    INSERT INTO work (event, task, due, fence, started_at, noted_at, cause)
    SELECT newest.seq, 'refresh', server_millis(), $2, server_millis(), $3, 'asked'
    FROM newest JOIN receipts ON receipts.seq = newest.seq JOIN retrievals ON retrievals.event = newest.seq
    WHERE body IS NOT NULL AND retrieved_at IS NOT NULL
    ON CONFLICT (event, task) DO UPDATE SET due = least(work.due, excluded.due), cause = excluded.cause,
        noted_at = greatest(coalesce(work.noted_at, 0), excluded.noted_at)";

/// Records that these events' notifications came again, with the time at which each was sent.
pub(super) async fn note(
    client: &impl GenericClient,
    events: &[Uuid],
    sent_at: &[Millis],
) -> Result<(), Error> {
    let statement = client.prepare_cached(NOTE).await?;
    client
        .execute(
            &statement,
            &[&events, &sent_at, &WHEN_RETRIEVED, &new_fence(), &LATER_BY],
        )
        .await?;
    Ok(())
}

/// Reads the cause and the time of a refresh.
pub(super) fn again(row: &Row) -> Result<Again, Error> {
    Ok(Again::of(
        row::get(row, "cause")?,
        row::get(row, "noted_at")?,
    ))
}

/// Schedules a refresh in `due_in`.
pub(super) async fn schedule(
    client: &impl GenericClient,
    event: i64,
    again: Again,
    due_in: Millis,
) -> Result<(), Error> {
    let statement = client.prepare_cached(SCHEDULE).await?;
    let (noted_at, cause) = (again.noted_at(), again.cause());
    client
        .execute(
            &statement,
            &[&event, &new_fence(), &noted_at, &due_in, &cause],
        )
        .await?;
    Ok(())
}

/// Schedules another fetch of an event's newest version because somebody asked for it. Returns `false` when it was
/// never retrieved.
pub(super) async fn ask(
    client: &impl GenericClient,
    first: EventId,
    now: Millis,
) -> Result<bool, Error> {
    let statement = client.prepare_cached(ASK).await?;
    let asked = client
        .execute(&statement, &[&row::uuid(first), &new_fence(), &now])
        .await?;
    Ok(asked == 1)
}
