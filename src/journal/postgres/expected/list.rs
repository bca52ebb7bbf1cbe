//! A page of expected sessions, and statistics of all of them.

use deadpool_postgres::Client;

use super::read::{SELECT, all};
use crate::domain::{ExpectedState, KEPT_FOR, Millis};
use crate::journal::postgres::server_clock::ServerClock;
use crate::journal::postgres::{counts, row};
use crate::journal::{Error, ExpectedFilter, ExpectedPage, ExpectedStats};

const MANY: i64 = 1000;
const FOLD: &str = "WITH folded AS (
        DELETE FROM expected_counts WHERE (SELECT pg_try_advisory_xact_lock($1)) RETURNING state, n)
    INSERT INTO expected_counts (state, n) SELECT state, sum(n) FROM folded GROUP BY state";

pub(super) async fn list(
    client: &Client,
    clock: ServerClock,
    filter: &ExpectedFilter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<ExpectedPage, Error> {
    let one_more = row::limit(limit.saturating_add(1));
    let statement = client
        .prepare_cached(&format!(
            "{SELECT} WHERE ($2::bigint IS NULL OR seq < $2) AND ($3::text IS NULL OR state = $3)
                AND ($4::text IS NULL OR provider = $4)
                AND ($5::bigint IS NULL OR (due IS NOT NULL AND due_since < $5))
             ORDER BY seq DESC LIMIT $1"
        ))
        .await?;
    let rows = client
        .query(
            &statement,
            &[
                &one_more,
                &cursor,
                &filter.state.map(ExpectedState::as_str),
                &filter.provider,
                &filter.overdue_at.map(|time| time.as_millisecond()),
            ],
        )
        .await?;
    Ok(ExpectedPage::of(all(&rows, clock)?, limit))
}

pub(super) async fn stats(client: &Client, clock: ServerClock) -> Result<ExpectedStats, Error> {
    let sum = client
        .prepare_cached(
            "SELECT state, sum(n)::bigint AS n, count(*) AS changes FROM expected_counts GROUP BY state",
        )
        .await?;
    let (mut by_state, mut changes) = (Vec::new(), 0);
    for found in client.query(&sum, &[]).await? {
        let n = u64::try_from(row::get::<i64>(&found, "n")?).unwrap_or(0);
        by_state.push((row::word(&found, "state")?, n));
        changes += row::get::<i64>(&found, "changes")?;
    }
    if changes > MANY {
        let fold = client.prepare_cached(FOLD).await?;
        client.execute(&fold, &[&counts::LOCK]).await?;
    }
    let oldest = client
        .prepare_cached(
            "SELECT (SELECT due_since FROM expected WHERE due IS NOT NULL ORDER BY due_since LIMIT 1) AS overdue_since,
                (SELECT min(due) FROM (SELECT min(due) AS due FROM expected WHERE lane = 0 AND due IS NOT NULL
                 UNION ALL SELECT min(due) FROM expected WHERE lane = 1 AND due IS NOT NULL
                 UNION ALL SELECT min(due) FROM expected WHERE lane = 2 AND due IS NOT NULL) AS lanes) AS oldest_due,
                (SELECT least(registered_at, started_at, ended_at) FROM expected
                 WHERE due IS NOT NULL AND least(registered_at, started_at, ended_at) > server_millis() - $1::bigint
                 ORDER BY least(registered_at, started_at, ended_at) LIMIT 1) AS earliest,
                server_millis() AS now",
        )
        .await?;
    let kept_for = Millis::try_from(KEPT_FOR.as_millis()).unwrap_or(Millis::MAX);
    let found = client.query_one(&oldest, &[&kept_for]).await?;
    let (now, due): (i64, Option<i64>) =
        (row::get(&found, "now")?, row::get(&found, "oldest_due")?);
    Ok(ExpectedStats {
        counts: by_state,
        overdue_since: row::optional_time(row::get(&found, "overdue_since")?)?,
        oldest_due: row::optional_time(due.map(|due| clock.own(due, now)))?,
        earliest: row::optional_time(row::get(&found, "earliest")?)?,
    })
}
