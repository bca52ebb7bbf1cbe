//! Operators' notes on events that need attention.

use async_trait::async_trait;
use deadpool_postgres::Client;

use super::{PostgresStore, row};
use crate::domain::Cause;
use crate::journal::{CauseNote, CauseNotes, Error};

const ALL: &str = "SELECT cause, sink, note, actor, at FROM cause_notes ORDER BY cause, sink";
const WRITE: &str = "INSERT INTO cause_notes (cause, sink, note, actor, at) VALUES ($1, $2, $3, $4, server_millis())
    ON CONFLICT (cause, sink) DO UPDATE SET note = excluded.note, actor = excluded.actor, at = excluded.at";
const REMOVE: &str = "DELETE FROM cause_notes WHERE cause = $1 AND sink = $2";

#[async_trait]
impl CauseNotes for PostgresStore {
    async fn cause_notes(&self) -> Result<Vec<CauseNote>, Error> {
        self.query(async |client| all(client).await).await
    }

    async fn note_cause(
        &self,
        cause: Cause,
        sink: Option<String>,
        text: Option<String>,
        actor: String,
    ) -> Result<(), Error> {
        let sink = sink.unwrap_or_default();
        self.work(async |client| note(client, (cause, &sink), text.as_deref(), &actor).await)
            .await
    }
}

async fn all(client: &Client) -> Result<Vec<CauseNote>, Error> {
    let statement = client.prepare_cached(ALL).await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter()
        .map(|found| {
            let sink: String = row::get(found, "sink")?;
            Ok(CauseNote {
                cause: row::word(found, "cause")?,
                sink: Some(sink).filter(|sink| !sink.is_empty()),
                text: row::get(found, "note")?,
                actor: row::get(found, "actor")?,
                at: row::time(row::get(found, "at")?)?,
            })
        })
        .collect()
}

async fn note(
    client: &Client,
    (cause, sink): (Cause, &str),
    text: Option<&str>,
    actor: &str,
) -> Result<(), Error> {
    let cause = cause.as_str();
    match text {
        Some(text) => {
            let write = client.prepare_cached(WRITE).await?;
            let (text, actor) = (row::text(text), row::text(actor));
            client
                .execute(&write, &[&cause, &sink, &text, &actor])
                .await?
        }
        None => {
            let remove = client.prepare_cached(REMOVE).await?;
            client.execute(&remove, &[&cause, &sink]).await?
        }
    };
    Ok(())
}
