//! Operators' notes on events that need attention.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::counts::Tx;
use super::{SqliteStore, row};
use crate::domain::{Cause, Millis};
use crate::journal::{CauseNote, CauseNotes, Error};

const ALL: &str = "SELECT cause, sink, note, actor, at FROM cause_notes ORDER BY cause, sink";
const WRITE: &str =
    "INSERT OR REPLACE INTO cause_notes (cause, sink, note, actor, at) VALUES (?1, ?2, ?3, ?4, ?5)";
const REMOVE: &str = "DELETE FROM cause_notes WHERE cause = ?1 AND sink = ?2";

#[async_trait]
impl CauseNotes for SqliteStore {
    async fn cause_notes(&self) -> Result<Vec<CauseNote>, Error> {
        self.query_readers.read(all).await
    }

    async fn note_cause(
        &self,
        cause: Cause,
        sink: Option<String>,
        text: Option<String>,
        actor: String,
    ) -> Result<(), Error> {
        let (now, sink) = (self.clock.monotonic(), sink.unwrap_or_default());
        self.writer()?
            .write(move |tx| note(tx, (cause, &sink), text.as_deref(), &actor, now))
            .await
    }
}

fn all(connection: &Connection) -> Result<Vec<CauseNote>, Error> {
    let mut statement = connection.prepare_cached(ALL)?;
    let mut rows = statement.query([])?;
    let mut notes = Vec::new();
    while let Some(found) = rows.next()? {
        let sink: String = found.get(1)?;
        notes.push(CauseNote {
            cause: row::word(found, 0, "cause")?,
            sink: Some(sink).filter(|sink| !sink.is_empty()),
            text: found.get(2)?,
            actor: found.get(3)?,
            at: row::time(found.get(4)?)?,
        });
    }
    Ok(notes)
}

fn note(
    tx: &Tx<'_>,
    (cause, sink): (Cause, &str),
    text: Option<&str>,
    actor: &str,
    now: Millis,
) -> Result<(), Error> {
    match text {
        Some(text) => {
            tx.prepare_cached(WRITE)?
                .execute(params![cause.as_str(), sink, text, actor, now])?
        }
        None => tx
            .prepare_cached(REMOVE)?
            .execute(params![cause.as_str(), sink])?,
    };
    Ok(())
}
