//! Reads a session's expectation from a row.

use tokio_postgres::Row;

use super::row;
use crate::domain::{Context, Expectation};
use crate::journal::Error;

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
