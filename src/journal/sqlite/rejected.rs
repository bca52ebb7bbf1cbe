//! Requests that were rejected as not authentic. They are not events: nothing claims or counts them.

use rusqlite::{Connection, params};

use super::row;
use crate::journal::{Bounds, Error, RejectedRequest};

/// Keeps the newest requests that are together within both limits; removes the first one beyond them and all older
/// ones.
const TRIM: &str = "DELETE FROM unauthentic WHERE seq <= (
    SELECT max(seq) FROM (
        SELECT seq, row_number() OVER newest AS requests, sum(bytes) OVER newest AS total
        FROM unauthentic WINDOW newest AS (ORDER BY seq DESC))
    WHERE requests > ?1 OR total > ?2)";

/// Stores requests and removes the oldest ones beyond the limits.
pub(super) fn keep(
    connection: &Connection,
    requests: &[RejectedRequest],
    bounds: Bounds,
) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO unauthentic (received_at, generated_at, signature, bytes, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for request in requests {
        insert.execute(params![
            request.received_at.as_millisecond(),
            request.generated_at,
            request.signature,
            request.body.len(),
            &request.body[..],
        ])?;
    }
    connection
        .prepare_cached(TRIM)?
        .execute(params![bounds.requests, bounds.bytes])?;
    Ok(())
}

/// The requests after number `after`, oldest first.
pub(super) fn list(
    connection: &Connection,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, RejectedRequest)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, received_at, generated_at, signature, body FROM unauthentic WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = statement.query(params![after, limit])?;
    let mut found = Vec::new();
    while let Some(request) = rows.next()? {
        found.push((
            request.get(0)?,
            RejectedRequest {
                received_at: row::time(request.get(1)?)?,
                generated_at: request.get(2)?,
                signature: request.get(3)?,
                body: row::bytes(request.get(4)?),
            },
        ));
    }
    Ok(found)
}

/// Removes requests by their numbers.
pub(super) fn forget(connection: &Connection, numbers: &[i64]) -> Result<(), Error> {
    let mut delete = connection.prepare_cached("DELETE FROM unauthentic WHERE seq = ?1")?;
    for number in numbers {
        delete.execute([number])?;
    }
    Ok(())
}
