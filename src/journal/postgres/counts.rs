//! The number of events by state. Each statement that moves events adds a row with its change; from time to time the
//! rows are folded into one for each state.

use deadpool_postgres::Client;

use super::row;
use crate::domain::EventState;
use crate::journal::Error;

/// The number of rows above which they are folded.
const MANY: i64 = 1000;
/// The id of the advisory lock under which one instance folds. The others skip folding rather than wait.
pub(super) const LOCK: i64 = 0x73_756b_6972_6366;

const SUM: &str =
    "SELECT state, sum(n)::bigint AS n, count(*) AS changes FROM counts GROUP BY state";
const FOLD: &str = "WITH folded AS (
        DELETE FROM counts WHERE (SELECT pg_try_advisory_xact_lock($1)) RETURNING state, n)
    INSERT INTO counts (state, n) SELECT state, sum(n) FROM folded GROUP BY state";

/// The number of events by state.
pub(super) async fn by_state(client: &Client) -> Result<Vec<(EventState, u64)>, Error> {
    let sum = client.prepare_cached(SUM).await?;
    let (mut counts, mut changes) = (Vec::new(), 0);
    for found in client.query(&sum, &[]).await? {
        let n: i64 = row::get(&found, "n")?;
        let n = u64::try_from(n).map_err(|_| row::corrupt("count"))?;
        counts.push((row::word(&found, "state")?, n));
        changes += row::get::<i64>(&found, "changes")?;
    }
    if changes > MANY {
        fold(client).await?;
    }
    Ok(counts)
}

/// Replaces the changes by their sums. Rows that are added meanwhile are left alone.
pub(super) async fn fold(client: &Client) -> Result<(), Error> {
    let fold = client.prepare_cached(FOLD).await?;
    client.execute(&fold, &[&LOCK]).await?;
    Ok(())
}

/// Commits a write that changes no count.
pub(super) async fn touch(client: &Client) -> Result<(), Error> {
    client
        .execute("INSERT INTO counts (state, n) VALUES ('received', 0)", &[])
        .await?;
    Ok(())
}

/// The size of the database in bytes. The server inspects each of its files.
pub(super) async fn database_size(client: &Client) -> Result<u64, Error> {
    let found = client
        .query_one("SELECT pg_database_size(current_database()) AS bytes", &[])
        .await?;
    Ok(u64::try_from(row::get::<i64>(&found, "bytes")?).unwrap_or(0))
}
