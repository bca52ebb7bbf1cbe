//! Advances a single event, within the caller's transaction.

use deadpool_postgres::Transaction;
use uuid::Uuid;

use super::row;
use super::statements::{END_EVENTS, REFRESH};
use super::writes::Writes;
use crate::domain::Millis;
use crate::journal::lease::new_fence;
use crate::journal::{Error, Found};

/// Adds an entry to an event's history for an operator's action.
pub(super) async fn history(
    transaction: &Transaction<'_>,
    event: i64,
    what: &str,
    detail: &str,
) -> Result<(), Error> {
    let history = transaction.prepare_cached(
        "INSERT INTO attempts (event, at, what, detail) VALUES ($1, server_millis(), $2, $3)",
    );
    transaction
        .execute(
            &history.await?,
            &[&event, &row::text(what), &row::text(detail)],
        )
        .await?;
    Ok(())
}

/// Plans deliveries that any instance may claim, apart from those that were already made.
pub(super) async fn plan_due(
    transaction: &Transaction<'_>,
    event: i64,
    sinks: &[String],
) -> Result<(), Error> {
    let writes = Writes {
        planned: sinks
            .iter()
            .map(|sink| (event, sink.clone(), false))
            .collect(),
        retrieved: vec![event],
        ..Writes::default()
    };
    writes.write(transaction, Uuid::nil()).await?;
    Ok(())
}

/// Schedules another fetch of the content that is missing, after `distance`.
pub(super) async fn schedule_refresh(
    transaction: &Transaction<'_>,
    event: i64,
    distance: Millis,
) -> Result<(), Error> {
    let refresh = transaction.prepare_cached(REFRESH).await?;
    transaction
        .execute(&refresh, &[&&[event][..], &&[distance][..], &new_fence()])
        .await?;
    Ok(())
}

/// Writes what was retrieved for an event.
pub(super) async fn write_found(
    transaction: &Transaction<'_>,
    event: i64,
    found: Found,
) -> Result<(), Error> {
    let writes = Writes {
        found: vec![(event, found, 0, true)],
        ..Writes::default()
    };
    writes.write(transaction, Uuid::nil()).await?;
    Ok(())
}

/// Ends an event that is being delivered, if no delivery is left to try.
pub(super) async fn end_event(transaction: &Transaction<'_>, event: i64) -> Result<(), Error> {
    let end = transaction.prepare_cached(END_EVENTS).await?;
    transaction.query(&end, &[&&[event][..]]).await?;
    Ok(())
}
