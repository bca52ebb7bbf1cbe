//! Reads an expected session from its row.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use crate::domain::{EncounterId, Expected, Origin, Registration, SessionId, SessionKind};
use crate::journal::Error;
use crate::journal::postgres::expectation::context;
use crate::journal::postgres::row;
use crate::journal::postgres::server_clock::ServerClock;

pub(super) const SELECT: &str = "SELECT seq, session_id, encounter_id, kind, provider, origin, started_at, ended_at, deadline,
    registered_at, context, state, due, due_since, polls, last_status, last_result, aborted_at, settled_at, event,
    server_millis() AS now FROM expected";

pub(super) async fn one(
    client: &impl GenericClient,
    clock: ServerClock,
    id: &SessionId,
) -> Result<Option<Expected>, Error> {
    let statement = client
        .prepare_cached(&format!("{SELECT} WHERE session_id = $1"))
        .await?;
    let found = client
        .query_opt(&statement, &[&row::text(id.as_str())])
        .await?;
    found.map(|found| read(&found, clock)).transpose()
}

pub(super) fn all(rows: &[Row], clock: ServerClock) -> Result<Vec<Expected>, Error> {
    rows.iter().map(|found| read(found, clock)).collect()
}

/// Reads a session from a row of [`SELECT`].
pub(super) fn read(row: &Row, clock: ServerClock) -> Result<Expected, Error> {
    let (now, due): (i64, Option<i64>) = (row::get(row, "now")?, row::get(row, "due")?);
    let time = |column| row::optional_time(row::get(row, column)?);
    Ok(Expected {
        number: row::get(row, "seq")?,
        registration: Registration {
            session_id: SessionId::new(row::get::<String>(row, "session_id")?)
                .ok_or(row::corrupt("session_id"))?,
            encounter_id: row::get::<Option<String>>(row, "encounter_id")?
                .and_then(EncounterId::new),
            kind: SessionKind::from_word(row::get(row, "kind")?),
            provider: row::get(row, "provider")?,
            origin: row::word::<Origin>(row, "origin")?,
            started_at: time("started_at")?,
            ended_at: time("ended_at")?,
            deadline: time("deadline")?,
            context: context(row)?,
        },
        registered_at: row::time(row::get(row, "registered_at")?)?,
        state: row::word(row, "state")?,
        next_poll_at: row::optional_time(due.map(|due| clock.own(due, now)))?,
        due_since: row::time(row::get(row, "due_since")?)?,
        polls: row::count(row, "polls")?,
        last_status: row::get(row, "last_status")?,
        last_result: row::get(row, "last_result")?,
        aborted_at: time("aborted_at")?,
        settled_at: time("settled_at")?,
        event: row::get::<Option<uuid::Uuid>>(row, "event")?.map(row::event_id),
    })
}
