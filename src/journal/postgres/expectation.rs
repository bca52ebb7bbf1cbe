//! The effect of a new event on the expectation of its session: it is met, and its data is attached to the event.

use tokio_postgres::Row;

use super::row;
use crate::domain::{Context, Expectation};
use crate::journal::Error;

/// The parts of a statement that end the expectations of the sessions of `new` events. A session that was recovered by
/// polling becomes late, because its notification has come now. The event of the recovery is recorded as the one that
/// the notification is compared with before it is delivered.
macro_rules! meet {
    () => {
        "met AS (
        UPDATE expected SET state = CASE expected.state WHEN 'recovered' THEN 'late' ELSE 'met' END, due = NULL,
            settled_at = CASE expected.state WHEN 'recovered' THEN settled_at ELSE server_millis() END,
            event = CASE expected.state WHEN 'recovered' THEN expected.event ELSE new.id END
        FROM new WHERE expected.session_id = new.session_id AND junk IS NULL AND source <> 'reconcile'
            AND expected.state NOT IN ('met', 'late', 'withdrawn')
        RETURNING new.seq, expected.state, expected.event),
    amended AS (
        INSERT INTO amendments (event, revision, replaces)
        SELECT met.seq, 1 + coalesce(revision, 1), met.event
        FROM met JOIN receipts ON receipts.id = met.event LEFT JOIN amendments ON amendments.event = receipts.seq
        WHERE met.state = 'late'),
    hurried AS (
        UPDATE work SET due = server_millis() FROM met JOIN receipts ON receipts.id = met.event
        WHERE met.state = 'late' AND work.event = receipts.seq AND work.owner IS NULL
            AND work.task IN ('forward', 'new', 'retrieve'))"
    };
}
pub(super) use meet;

/// The data of an expected session that is attached to its events, from columns of these names. `None` if the session
/// was not expected.
pub(super) fn expectation(row: &Row) -> Result<Option<Expectation>, Error> {
    let Some(registered_at) = row::get::<Option<i64>>(row, "registered_at")? else {
        return Ok(None);
    };
    Ok(Some(Expectation {
        registered_at: row::time(registered_at)?,
        ended_at: row::optional_time(row::get(row, "ended_at")?)?,
        provider: row::get(row, "provider")?,
        context: context(row)?,
    }))
}

/// What the partner said of the patient, the encounter and the provider.
pub(super) fn context(row: &Row) -> Result<Option<Context>, Error> {
    let context = row::get::<Option<Vec<u8>>>(row, "context")?;
    Ok(context.map(|context| Context(context.into())))
}
