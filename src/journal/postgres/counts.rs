//! How many events stand where, as the statements that move them add it up. Rows of changes are folded into one for each
//! state now and then.

use deadpool_postgres::Client;

use super::row;
use crate::domain::EventState;
use crate::journal::Error;

/// So many rows are worth folding.
const MANY: i64 = 1000;
/// Names the lock: one instance folds, the others have better to do than to wait.
pub(super) const LOCK: i64 = 0x73_756b_6972_6366;

const SUM: &str =
    "SELECT state, sum(n)::bigint AS n, count(*) AS changes FROM counts GROUP BY state";
const FOLD: &str = "WITH folded AS (
        DELETE FROM counts WHERE (SELECT pg_try_advisory_xact_lock($1)) RETURNING state, n)
    INSERT INTO counts (state, n) SELECT state, sum(n) FROM folded GROUP BY state";

/// The counts by state.
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

/// Puts the sums in the place of the changes. What is added meanwhile stays as it is.
pub(super) async fn fold(client: &Client) -> Result<(), Error> {
    let fold = client.prepare_cached(FOLD).await?;
    client.execute(&fold, &[&LOCK]).await?;
    Ok(())
}

/// Commits a write that changes nothing.
pub(super) async fn touch(client: &Client) -> Result<(), Error> {
    client
        .execute("INSERT INTO counts (state, n) VALUES ('received', 0)", &[])
        .await?;
    Ok(())
}

/// How large the database is, in bytes. The server looks at each of its files.
pub(super) async fn database_size(client: &Client) -> Result<u64, Error> {
    let found = client
        .query_one("SELECT pg_database_size(current_database()) AS bytes", &[])
        .await?;
    Ok(u64::try_from(row::get::<i64>(&found, "bytes")?).unwrap_or(0))
}
