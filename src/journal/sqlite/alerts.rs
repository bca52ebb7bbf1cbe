//! Alerts whose beginning was sent to a sink and whose end was not yet.

use rusqlite::{Connection, params};

use super::counts::Tx;
use super::row;
use crate::journal::{Error, SentAlert};

/// All such alerts.
pub(super) fn sent(connection: &Connection) -> Result<Vec<SentAlert>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT sink, alert, about, since, message FROM told_alerts")?;
    let mut rows = statement.query([])?;
    let mut sent = Vec::new();
    while let Some(found) = rows.next()? {
        sent.push(SentAlert {
            sink: found.get(0)?,
            alert: found.get(1)?,
            about: found.get(2)?,
            since: row::time(found.get(3)?)?,
            message: found.get(4)?,
        });
    }
    Ok(sent)
}

/// Records that an alert was sent to a sink.
pub(super) fn record(tx: &Tx<'_>, sent: &SentAlert) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO told_alerts (sink, alert, about, since, message) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        sent.sink,
        sent.alert,
        sent.about,
        sent.since.as_millisecond(),
        sent.message
    ])?;
    Ok(())
}

/// Records that an alert's end was sent to a sink.
pub(super) fn forget(tx: &Tx<'_>, sent: &SentAlert) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM told_alerts WHERE sink = ?1 AND alert = ?2 AND about = ?3")?
        .execute(params![sent.sink, sent.alert, sent.about])?;
    Ok(())
}
