//! Deliveries to a sink that is not configured: finds them, gives them up, or moves them to another sink.

use deadpool_postgres::{Client, Transaction};

use super::{progress, row, work};
use crate::journal::lease::new_fence;
use crate::journal::{Error, Task, Waiting};

/// The first delivery task after this one. Each step is one lookup in the index, however many deliveries wait; ordered
/// by `owner` as well, as a claim is.
const NEXT: &str = "SELECT task FROM work WHERE owner IS NULL AND task > $1 AND task LIKE 'deliver:%' ORDER BY owner, task LIMIT 1";
const WAITING: &str = "SELECT n, received_at FROM
        (SELECT count(*) AS n, min(event) AS first FROM work
         WHERE owner IS NULL AND task = $1 AND due < 9223372036854775807) AS waiting
    JOIN receipts ON seq = first";
/// The events that a sink has not received, without those whose content is purged.
const UNDELIVERED: &str = "SELECT event FROM
        (SELECT event FROM work WHERE owner IS NULL AND task = 'deliver:' || $1 LIMIT $2) AS pending
    UNION SELECT event FROM
        (SELECT event FROM deliveries WHERE sink = $1 AND state = 'dead' AND
            (event IN (SELECT event FROM endings WHERE state = 'dead' AND has_content)
             OR NOT EXISTS (SELECT FROM endings WHERE endings.event = deliveries.event)) LIMIT $2) AS dead
    ORDER BY event LIMIT $2";
const DROP: &str = "WITH undone AS (DELETE FROM work WHERE event = $2 AND task = 'deliver:' || $1)
    DELETE FROM deliveries WHERE event = $2 AND sink = $1";
/// An event that the other sink has received or waits for is left as it is.
const READDRESS: &str = "INSERT INTO work (event, task, due, fence, started_at)
    SELECT $2, 'deliver:' || $3, coalesce((SELECT CASE WHEN due = 9223372036854775807 THEN due END FROM work
        WHERE event = $2 AND task = 'deliver:' || $1), server_millis()), $4, server_millis()
    WHERE NOT EXISTS (SELECT FROM deliveries WHERE event = $2 AND sink = $3)
    ON CONFLICT (event, task) DO NOTHING";
/// Reopens a dead event that has content to deliver.
const REOPEN: &str = "WITH reopened AS (
        DELETE FROM endings WHERE event = $1 AND state = 'dead' AND has_content
            AND EXISTS (SELECT FROM retrievals WHERE event = $1 AND retrieved_at IS NOT NULL)
        RETURNING event)
    INSERT INTO counts (state, n)
    SELECT state, n FROM reopened, (VALUES ('dead', -1), ('delivering', 1)) AS moved (state, n)";

/// The deliveries that wait, by sink, without those for the sinks in `except`.
pub(super) async fn waiting_deliveries(
    client: &Client,
    except: &[String],
) -> Result<Vec<Waiting>, Error> {
    let next = client.prepare_cached(NEXT).await?;
    let (mut found, mut after) = (Vec::new(), "deliver:".to_owned());
    while let Some(row) = client.query_opt(&next, &[&after]).await? {
        let word: String = row::get(&row, "task")?;
        if let Ok(Task::Deliver(sink)) = word.parse::<Task>()
            && !except.contains(&sink)
        {
            let waiting = client.prepare_cached(WAITING).await?;
            if let Some(waiting) = client.query_opt(&waiting, &[&word]).await? {
                found.push(Waiting {
                    sink,
                    count: u64::try_from(row::get::<i64>(&waiting, "n")?).unwrap_or(0),
                    since: row::time(row::get(&waiting, "received_at")?)?,
                });
            }
        }
        after = word;
    }
    Ok(found)
}

/// Gives up at most `limit` undelivered events of a sink. An event that was waiting for nothing else ends.
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
        progress::history(&transaction, *event, &what, &format!("dropped by {actor}")).await?;
        end(&transaction, *event).await?;
    }
    transaction.commit().await?;
    Ok(events.len())
}

/// Moves at most `limit` undelivered events of a sink to another sink.
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
        transaction
            .execute(READDRESS, &[&from, event, &to, &new_fence()])
            .await?;
        transaction.execute(DROP, &[&from, event]).await?;
        let (what, detail) = (
            format!("deliver to {from}"),
            format!("given to {to} by {actor}"),
        );
        progress::history(&transaction, *event, &what, &detail).await?;
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
    let events = rows.iter().map(|found| row::get(found, "event"));
    let events: Vec<i64> = events.collect::<Result<_, _>>()?;
    work::lock(transaction, &events).await?;
    Ok(events)
}

/// Updates an event's state to match its deliveries.
async fn end(transaction: &Transaction<'_>, event: i64) -> Result<(), Error> {
    transaction.execute(REOPEN, &[&event]).await?;
    progress::end_event(transaction, event).await
}
