//! Alerts whose beginning was sent to a sink and whose end was not yet.

use deadpool_postgres::Client;

use super::row;
use crate::journal::{Error, SentAlert};

/// All such alerts.
pub(super) async fn sent(client: &Client) -> Result<Vec<SentAlert>, Error> {
    let statement = client
        .prepare_cached("SELECT sink, alert, about, since, message FROM told_alerts")
        .await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter()
        .map(|found| {
            Ok(SentAlert {
                sink: row::get(found, "sink")?,
                alert: row::get(found, "alert")?,
                about: row::get(found, "about")?,
                since: row::time(row::get(found, "since")?)?,
                message: row::get(found, "message")?,
            })
        })
        .collect()
}

/// Records that an alert was sent to a sink.
pub(super) async fn record(client: &Client, sent: &SentAlert) -> Result<(), Error> {
    let statement = client
        .prepare_cached(
            "INSERT INTO told_alerts (sink, alert, about, since, message) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (sink, alert, about) DO UPDATE SET since = excluded.since, message = excluded.message",
        )
        .await?;
    let since = sent.since.as_millisecond();
    let message = row::text(&sent.message);
    client
        .execute(
            &statement,
            &[&sent.sink, &sent.alert, &sent.about, &since, &message],
        )
        .await?;
    Ok(())
}

/// Records that an alert's end was sent to a sink.
pub(super) async fn forget(client: &Client, sent: &SentAlert) -> Result<(), Error> {
    let statement = client
        .prepare_cached("DELETE FROM told_alerts WHERE sink = $1 AND alert = $2 AND about = $3")
        .await?;
    client
        .execute(&statement, &[&sent.sink, &sent.alert, &sent.about])
        .await?;
    Ok(())
}
