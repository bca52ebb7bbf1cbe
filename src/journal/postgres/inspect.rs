//! Checks the whole database for inconsistencies without changing it. For `store check`.

use deadpool_postgres::Client;

use super::error::class;
use super::row;
use crate::journal::Error;

/// Queries for what must never be found, with what a finding means.
const RULES: &[(&str, &str)] = &[
    (
        "in progress, but with nothing to be done for them",
        "SELECT count(*) AS n FROM receipts WHERE NOT EXISTS (SELECT FROM endings WHERE event = seq)
         AND NOT EXISTS (SELECT FROM work WHERE event = seq AND task <> 'refresh' AND due < 9223372036854775807)",
    ),
    (
        "ended, but to be retrieved again",
        "SELECT count(*) AS n FROM work JOIN endings USING (event) WHERE task IN ('forward', 'new', 'retrieve')",
    ),
    (
        "done, but with a delivery that is not",
        "SELECT count(*) AS n FROM endings WHERE state = 'done' AND
         (EXISTS (SELECT FROM deliveries WHERE deliveries.event = endings.event AND state <> 'delivered')
          OR EXISTS (SELECT FROM work WHERE work.event = endings.event AND task LIKE 'deliver:%'))",
    ),
    (
        "to be retrieved in two ways",
        "SELECT count(*) AS n FROM (SELECT event FROM work WHERE task IN ('forward', 'new', 'retrieve')
         GROUP BY event HAVING count(*) > 1) AS twice",
    ),
    (
        "in progress, but without their content",
        "SELECT count(*) AS n FROM receipts WHERE body IS NULL AND EXISTS (SELECT FROM work WHERE event = seq)",
    ),
    (
        "said to have their content, but without it",
        "SELECT count(*) AS n FROM endings JOIN receipts ON seq = event WHERE has_content <> (body IS NOT NULL)",
    ),
    (
        "work, endings, deliveries or answers of events that are not there",
        "SELECT count(*) AS n FROM (SELECT event FROM work UNION ALL SELECT event FROM endings
         UNION ALL SELECT event FROM deliveries UNION ALL SELECT event FROM retrievals
         UNION ALL SELECT event FROM links) AS parts
         WHERE NOT EXISTS (SELECT FROM receipts WHERE seq = event)",
    ),
    (
        "retrieved, but without what was fetched while the notification is there",
        "SELECT count(*) AS n FROM retrievals JOIN receipts ON seq = event
         WHERE links IS NOT NULL AND bodies IS NULL AND body IS NOT NULL",
    ),
];

/// Reads every byte of content, to find what the server cannot read any more.
const READ: [(&str, &str); 3] = [
    ("receipts", "SELECT count(sha256(body)) AS n FROM receipts"),
    (
        "retrievals",
        "SELECT count(sha256(bodies)) AS n FROM retrievals",
    ),
    ("links", "SELECT count(sha256(body)) AS n FROM links"),
];

/// Compares the counts that operators see with the rows that exist, in one snapshot.
const BALANCE: &str =
    "SELECT state, coalesce(counted.n, 0) AS counted, coalesce(there.n, 0) AS there
    FROM (SELECT state, sum(n)::bigint AS n FROM counts GROUP BY state) AS counted
    FULL JOIN (SELECT state, count(*) AS n FROM
        (SELECT coalesce(endings.state, CASE pending.task WHEN 'retrieve' THEN 'retrieving'
            WHEN 'new' THEN 'received' WHEN 'forward' THEN 'received' ELSE 'delivering' END) AS state
         FROM receipts LEFT JOIN endings ON endings.event = seq
         LEFT JOIN work AS pending ON pending.event = seq AND pending.task IN ('forward', 'new', 'retrieve')) AS stands
        GROUP BY state) AS there USING (state)
    WHERE coalesce(counted.n, 0) <> coalesce(there.n, 0)";

/// The inconsistencies. Empty when there are none.
pub(super) async fn inspect(client: &mut Client) -> Result<Vec<String>, Error> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = 0")
        .await?;
    let mut problems = Vec::new();
    for (what, sql) in RULES {
        let count: i64 = row::get(&transaction.query_one(*sql, &[]).await?, "n")?;
        if count > 0 {
            problems.push(format!("{count} events or parts of them: {what}"));
        }
    }
    for off in transaction.query(BALANCE, &[]).await? {
        problems.push(format!(
            "{} events are counted as {}, and there are {}",
            row::get::<i64>(&off, "counted")?,
            row::get::<&str>(&off, "state")?,
            row::get::<i64>(&off, "there")?,
        ));
    }
    transaction.rollback().await?;
    for (table, sql) in READ {
        problems.extend(damage(client, table, sql).await?);
    }
    Ok(problems)
}

/// The damage that the server reports.
async fn damage(client: &mut Client, table: &str, sql: &str) -> Result<Option<String>, Error> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0")
        .await?;
    match transaction.query_one(sql, &[]).await.map_err(Error::from) {
        Ok(_) => Ok(None),
        // Internal error and data corruption (appendix A of PostgreSQL's manual).
        Err(error) if class(&error) == Some("XX") => Ok(Some(format!("damaged: {table}: {error}"))),
        Err(error) => Err(error),
    }
}
