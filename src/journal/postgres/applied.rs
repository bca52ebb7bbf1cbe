//! Confirmations from sinks' targets that an event was applied, and those that are still awaited.

use deadpool_postgres::Client;
use jiff::Timestamp;

use super::row;
use crate::domain::EventId;
use crate::journal::{Applied, Error};

/// Records that a sink's target has applied an event.
pub(super) async fn note(
    client: &mut Client,
    id: EventId,
    sink: &str,
    at: Timestamp,
) -> Result<Applied, Error> {
    let transaction = client.transaction().await?;
    let Some(event) = row::number_of(&transaction, id).await? else {
        return Ok(Applied::NotFound);
    };
    let note = transaction
        .prepare_cached(
            "UPDATE deliveries SET applied_at = coalesce(applied_at, $3)
             WHERE event = $1 AND sink = $2 AND state = 'delivered'",
        )
        .await?;
    let noted = transaction
        .execute(&note, &[&event, &sink, &at.as_millisecond()])
        .await?;
    if noted == 0 {
        return Ok(Applied::NotDelivered);
    }
    let done = transaction
        .prepare_cached("DELETE FROM unapplied WHERE event = $1 AND sink = $2")
        .await?;
    transaction.execute(&done, &[&event, &sink]).await?;
    transaction.commit().await?;
    Ok(Applied::Noted)
}

/// The number of overdue confirmations, by sink.
pub(super) async fn overdue(client: &Client) -> Result<Vec<(String, u64)>, Error> {
    let statement = client
        .prepare_cached(
            "SELECT sink, count(*) AS n FROM unapplied WHERE due <= server_millis() GROUP BY sink",
        )
        .await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter()
        .map(|found| {
            let count = u64::try_from(row::get::<i64>(found, "n")?).unwrap_or(0);
            Ok((row::get(found, "sink")?, count))
        })
        .collect()
}
