//! Requests that were rejected as not authentic. They are not events: nothing claims or counts them.

use deadpool_postgres::Client;

use super::row;
use crate::journal::{Bounds, Error, RejectedRequest};

const KEEP: &str = "INSERT INTO unauthentic (received_at, generated_at, signature, bytes, body)
    SELECT received_at, generated_at, signature, length(body), body
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[]) AS kept (received_at, generated_at, signature, body)";
/// Keeps the newest requests that are together within both limits; removes the first one beyond them and all older
/// ones.
const TRIM: &str = "DELETE FROM unauthentic WHERE seq <= (
    SELECT max(seq) FROM (
        SELECT seq, row_number() OVER newest AS requests, sum(bytes) OVER newest AS total
        FROM unauthentic WINDOW newest AS (ORDER BY seq DESC)) AS counted
    WHERE requests > $1 OR total > $2::bigint)";
const LIST: &str = "SELECT seq, received_at, generated_at, signature, body FROM unauthentic
    WHERE seq > $1 ORDER BY seq LIMIT $2";

/// Stores requests and removes the oldest ones beyond the limits.
pub(super) async fn keep(
    client: &mut Client,
    requests: &[RejectedRequest],
    bounds: Bounds,
) -> Result<(), Error> {
    let received: Vec<i64> = requests
        .iter()
        .map(|request| request.received_at.as_millisecond())
        .collect();
    let generated: Vec<_> = requests
        .iter()
        .map(|request| row::text(&request.generated_at))
        .collect();
    let signatures: Vec<_> = requests
        .iter()
        .map(|request| row::text(&request.signature))
        .collect();
    let bodies: Vec<&[u8]> = requests.iter().map(|request| &request.body[..]).collect();
    let transaction = client.transaction().await?;
    transaction
        .execute(KEEP, &[&received, &generated, &signatures, &bodies])
        .await?;
    transaction
        .execute(
            TRIM,
            &[&row::limit(bounds.requests), &row::limit(bounds.bytes)],
        )
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// The requests after number `after`, oldest first.
pub(super) async fn list(
    client: &Client,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, RejectedRequest)>, Error> {
    let rows = client.query(LIST, &[&after, &row::limit(limit)]).await?;
    rows.iter()
        .map(|request| {
            Ok((
                row::get(request, "seq")?,
                RejectedRequest {
                    received_at: row::time(row::get(request, "received_at")?)?,
                    generated_at: row::get(request, "generated_at")?,
                    signature: row::get(request, "signature")?,
                    body: row::bytes(request, "body")?,
                },
            ))
        })
        .collect()
}

/// Removes requests by their numbers.
pub(super) async fn forget(client: &Client, numbers: &[i64]) -> Result<(), Error> {
    client
        .execute("DELETE FROM unauthentic WHERE seq = ANY ($1)", &[&numbers])
        .await?;
    Ok(())
}
