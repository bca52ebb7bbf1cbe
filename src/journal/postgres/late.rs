//! Content that came late: the amendment, an event of its own that replaces the one before it.

use deadpool_postgres::Transaction;

use super::{progress, row};
use crate::domain::{EventState, Millis, Source};
use crate::journal::{Amendment, Error};

/// The same event with another id. It is a duplicate of nothing: its key is the id of what it replaces.
const AMEND: &str = "INSERT INTO receipts
        (id, session_id, dedupe, encounter_id, received_at, generated_at, source, stale, status, outcome, kind, error_code,
         needs_sdp, body)
    SELECT $2, session_id, uuid_send(id), encounter_id, $3, generated_at, $4, stale, status, outcome, kind, error_code,
        needs_sdp, body
    FROM receipts WHERE seq = $1 AND body IS NOT NULL
    ON CONFLICT (session_id, dedupe) DO NOTHING
    RETURNING seq";
const AMENDS: &str = "INSERT INTO amendments (event, revision, replaces)
    SELECT $2, 1 + coalesce((SELECT revision FROM amendments WHERE event = $1), 1), id FROM receipts WHERE seq = $1";

/// Makes an amendment of an event, to be looked at again in `next`. `false` when there is nothing to amend.
pub(super) async fn amend(
    transaction: &Transaction<'_>,
    event: i64,
    next: Option<Millis>,
    amendment: &Amendment,
) -> Result<bool, Error> {
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
    let Some(made) = made else { return Ok(false) };
    let amended: i64 = row::get(&made, "seq")?;
    transaction.execute(AMENDS, &[&event, &amended]).await?;
    progress::write_found(transaction, amended, amendment.found.clone()).await?;
    // It is as old as what it amends.
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
    if let Some(next) = next {
        progress::look_at(transaction, amended, next).await?;
    }
    progress::plan_due(transaction, amended, &amendment.sinks).await?;
    progress::end_event(transaction, amended).await?;
    let detail = format!("late content came; amended by {}", amendment.id);
    progress::history(transaction, event, "refresh", &detail).await?;
    Ok(true)
}
