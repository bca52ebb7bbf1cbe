//! Late or changed content: an amendment is an event of its own that replaces the one before it.

use deadpool_postgres::Transaction;

use super::{progress, row};
use crate::domain::{EventState, Source};
use crate::journal::contents;
use crate::journal::{Amendment, Error, Found};

/// Copies the event under another id. It is not a duplicate: its deduplication key is the id of the event that it
/// replaces.
const AMEND: &str = "INSERT INTO receipts
        (id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code,
         needs_sdp, body)
    SELECT $2, session_id, uuid_send(id), encounter_id, $3, generated_at, $4, stale, status, outcome, kind, error_code,
        needs_sdp, body
    FROM receipts WHERE seq = $1 AND body IS NOT NULL
    ON CONFLICT (session_id, dedupe) DO NOTHING
    RETURNING seq";
/// If the event was not delivered because another one had delivered the same content, the amendment replaces that other
/// one, which the sinks have.
const AMENDS: &str = "INSERT INTO amendments (event, revision, replaces)
    SELECT $2, 1 + coalesce((SELECT revision FROM amendments JOIN receipts ON seq = event WHERE id = delivered), 1), delivered
    FROM (SELECT coalesce((SELECT same_as FROM endings WHERE event = $1), id) AS delivered FROM receipts WHERE seq = $1)
        AS sent";

/// Records that the same content was fetched again.
pub(super) async fn same(
    transaction: &Transaction<'_>,
    event: i64,
    found: &Found,
) -> Result<(), Error> {
    let (links, _) = contents::encode(&found.links);
    transaction
        .execute(
            "UPDATE retrievals SET links = $2 WHERE event = $1 AND bodies IS NOT NULL",
            &[&event, &links],
        )
        .await?;
    Ok(())
}

/// Makes an amendment of an event, and returns its number. `None` when the event to amend no longer exists.
pub(super) async fn amend(
    transaction: &Transaction<'_>,
    event: i64,
    amendment: &Amendment,
) -> Result<Option<i64>, Error> {
    let made = transaction
        .query_opt(
            AMEND,
            &[
                &event,
                &row::uuid(amendment.id),
                &amendment.received_at.as_millisecond(),
                &Source::Refresh.as_str(),
            ],
        )
        .await?;
    let Some(made) = made else { return Ok(None) };
    let amended: i64 = row::get(&made, "seq")?;
    transaction.execute(AMENDS, &[&event, &amended]).await?;
    progress::write_found(transaction, amended, amendment.found.clone()).await?;
    // The amendment has the age of the event that it amends.
    transaction
        .execute(
            "UPDATE retrievals SET retrieved_at = coalesce((SELECT retrieved_at FROM retrievals WHERE event = $1),
             retrieved_at) WHERE event = $2",
            &[&event, &amended],
        )
        .await?;
    transaction
        .execute(
            "INSERT INTO counts (state, n) VALUES ($1, 1)",
            &[&EventState::Delivering.as_str()],
        )
        .await?;
    progress::plan_due(transaction, amended, &amendment.sinks).await?;
    progress::end_event(transaction, amended).await?;
    let detail = format!("other content came; amended by {}", amendment.id);
    progress::history(transaction, event, "refresh", &detail).await?;
    Ok(Some(amended))
}
