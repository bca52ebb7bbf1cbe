//! Whom deliveries are for: those that wait for a sink that is not configured, and what an operator makes of them.

use deadpool_postgres::{Client, Transaction};

use super::{finish, row};
use crate::journal::Error;

/// The next sink after a name that something waits for. A step of the index each, however much waits.
const NEXT: &str = "SELECT sink FROM deliveries
    WHERE next_attempt_at IS NOT NULL AND sink > $1 ORDER BY sink LIMIT 1";
const COUNT: &str =
    "SELECT count(*) AS n FROM deliveries WHERE next_attempt_at IS NOT NULL AND sink = $1";
/// What a sink does not have. The events first, in the order in which all others lock them.
const UNDELIVERED: &str = "SELECT seq FROM events
    WHERE seq IN (
        (SELECT event FROM deliveries WHERE sink = $1 AND next_attempt_at IS NOT NULL LIMIT $2)
        UNION
        (SELECT seq FROM events WHERE state IN ('dead', 'delivering') AND EXISTS
         (SELECT 1 FROM deliveries WHERE event = seq AND sink = $1 AND state = 'dead') LIMIT $2))
    ORDER BY seq LIMIT $2 FOR NO KEY UPDATE";
const DROP: &str = "DELETE FROM deliveries WHERE sink = $1 AND event = $2";
/// What the other sink has, or waits for, stays as it is.
const READDRESS: &str = "INSERT INTO deliveries (event, sink, state, started_at, next_attempt_at)
    SELECT event, $3, 'pending', server_millis(),
        CASE WHEN state = 'dead' OR next_attempt_at IS NOT NULL THEN server_millis() END
    FROM deliveries WHERE sink = $1 AND event = $2
    ON CONFLICT (event, sink) DO NOTHING";
/// An event that had ended goes on, if there is something to give.
const REOPEN: &str = "UPDATE events SET state = 'delivering', last_error = NULL, ended_at = NULL
    WHERE seq = $1 AND state = 'dead' AND retrieved_at IS NOT NULL AND body IS NOT NULL";

/// The sinks that deliveries wait for and that are none of these, with how many.
pub(super) async fn orphans(
    client: &Client,
    configured: &[String],
) -> Result<Vec<(String, u64)>, Error> {
    let next = client.prepare_cached(NEXT).await?;
    let (mut found, mut after) = (Vec::new(), String::new());
    while let Some(row) = client.query_opt(&next, &[&after]).await? {
        let sink: String = row::get(&row, "sink")?;
        if !configured.contains(&sink) {
            let count: i64 = row::get(&client.query_one(COUNT, &[&sink]).await?, "n")?;
            found.push((sink.clone(), u64::try_from(count).unwrap_or(0)));
        }
        after = sink;
    }
    Ok(found)
}

/// Gives up what a sink does not have, at most `limit` of it. An event that waited for nothing else ends.
pub(super) async fn drop_deliveries(
    client: &mut Client,
    sink: &str,
    limit: usize,
    actor: &str,
) -> Result<usize, Error> {
    let transaction = client.transaction().await?;
    let events = undelivered(&transaction, sink, limit).await?;
    for event in &events {
        transaction.execute(DROP, &[&sink, event]).await?;
        let what = format!("deliver to {sink}");
        finish::history(&transaction, *event, &what, &format!("dropped by {actor}")).await?;
        end(&transaction, *event).await?;
    }
    transaction.commit().await?;
    Ok(events.len())
}

/// Gives what a sink does not have to another one, at most `limit` of it.
pub(super) async fn readdress(
    client: &mut Client,
    from: &str,
    to: &str,
    limit: usize,
    actor: &str,
) -> Result<usize, Error> {
    let transaction = client.transaction().await?;
    let events = undelivered(&transaction, from, limit).await?;
    for event in &events {
        transaction.execute(READDRESS, &[&from, event, &to]).await?;
        transaction.execute(DROP, &[&from, event]).await?;
        let (what, detail) = (
            format!("deliver to {from}"),
            format!("given to {to} by {actor}"),
        );
        finish::history(&transaction, *event, &what, &detail).await?;
        end(&transaction, *event).await?;
    }
    transaction.commit().await?;
    Ok(events.len())
}

async fn undelivered(
    transaction: &Transaction<'_>,
    sink: &str,
    limit: usize,
) -> Result<Vec<i64>, Error> {
    let rows = transaction
        .query(UNDELIVERED, &[&sink, &row::limit(limit)])
        .await?;
    rows.iter().map(|found| row::get(found, "seq")).collect()
}

/// Has the event stand as its deliveries do now.
async fn end(transaction: &Transaction<'_>, event: i64) -> Result<(), Error> {
    transaction.execute(REOPEN, &[&event]).await?;
    finish::end_event(transaction, event).await?;
    Ok(())
}
