//! Does everything in the database fit together? For `store check`: reads everything and changes nothing.

use deadpool_postgres::Client;

use super::error::class;
use super::row;
use crate::journal::Error;

/// What must never be found, and what it would mean.
const RULES: &[(&str, &str)] = &[
    (
        "in progress, but nobody would take them up",
        "SELECT count(*) AS n FROM events WHERE state IN ('received', 'retrieving') AND next_attempt_at IS NULL",
    ),
    (
        "ended, but due again",
        "SELECT count(*) AS n FROM events WHERE state IN ('done', 'dead', 'quarantined') AND next_attempt_at IS NOT NULL",
    ),
    (
        "being delivered, but with no delivery that is due",
        "SELECT count(*) AS n FROM events WHERE state = 'delivering' AND NOT EXISTS
         (SELECT 1 FROM deliveries WHERE event = seq AND state = 'pending' AND next_attempt_at IS NOT NULL)",
    ),
    (
        "done, but with a delivery that is not",
        "SELECT count(*) AS n FROM events WHERE state = 'done' AND EXISTS
         (SELECT 1 FROM deliveries WHERE event = seq AND state <> 'delivered')",
    ),
    (
        "in progress, but without their content",
        "SELECT count(*) AS n FROM events WHERE state IN ('received', 'retrieving', 'delivering') AND body IS NULL",
    ),
    (
        "deliveries of events that are not there",
        "SELECT count(*) AS n FROM deliveries WHERE NOT EXISTS (SELECT 1 FROM events WHERE seq = event)",
    ),
    (
        "links of events that are not there",
        "SELECT count(*) AS n FROM links WHERE NOT EXISTS (SELECT 1 FROM events WHERE seq = event)",
    ),
    (
        "links said to be fetched, but without their body while the event has its own",
        "SELECT count(*) AS n FROM links JOIN events ON seq = event
         WHERE links.state = 'fetched' AND links.body IS NULL AND events.body IS NOT NULL",
    ),
];

/// Reads every byte of content, so that what the server cannot read any more is found.
const READ: [(&str, &str); 2] = [
    ("events", "SELECT count(sha256(body)) AS n FROM events"),
    ("links", "SELECT count(sha256(body)) AS n FROM links"),
];

/// The counts that operators see against the rows that are there, in one look.
const BALANCE: &str =
    "SELECT state, coalesce(counted.n, 0) AS counted, coalesce(there.n, 0) AS there
    FROM (SELECT state, sum(n)::bigint AS n FROM counts GROUP BY state) AS counted
    FULL JOIN (SELECT state, count(*) AS n FROM events GROUP BY state) AS there USING (state)
    WHERE coalesce(counted.n, 0) <> coalesce(there.n, 0)";

/// What does not fit together. Empty when all is well.
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

/// What the server says it cannot read.
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
