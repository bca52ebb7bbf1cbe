//! A page of expected sessions, and statistics of all of them.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, ToSql, params_from_iter};

use super::read::{SELECT, all};
use crate::domain::Millis;
use crate::journal::sqlite::row;
use crate::journal::{Error, ExpectedFilter, ExpectedPage, ExpectedStats};

pub(super) fn list(
    connection: &Connection,
    filter: &ExpectedFilter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<ExpectedPage, Error> {
    let (mut wanted, mut values) = (vec!["1".to_owned()], Vec::new());
    let mut want = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            wanted.push(condition.replace("{}", &format!("?{}", values.len())));
        }
    };
    let text = |text: &str| Value::Text(text.to_owned());
    want("seq < {}", cursor.map(Value::Integer));
    want("state = {}", filter.state.map(|state| text(state.as_str())));
    want("provider = {}", filter.provider.as_deref().map(text));
    let overdue = filter
        .overdue_at
        .map(|time| Value::Integer(time.as_millisecond()));
    want("due IS NOT NULL AND due_since < {}", overdue);
    let sql = format!(
        "{SELECT} WHERE {} ORDER BY seq DESC LIMIT {}",
        wanted.join(" AND "),
        limit.saturating_add(1)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let sessions = all(statement.query(params_from_iter(values))?)?;
    Ok(ExpectedPage::of(sessions, limit))
}

pub(super) fn stats(connection: &Connection, kept_since: Millis) -> Result<ExpectedStats, Error> {
    let mut statement = connection.prepare_cached("SELECT state, n FROM expected_counts")?;
    let mut rows = statement.query([])?;
    let mut counts = Vec::new();
    while let Some(found) = rows.next()? {
        counts.push((row::word(found, 0, "state")?, found.get(1)?));
    }
    let oldest = |sql: &str, parameters: &[&dyn ToSql]| {
        let oldest: Option<Millis> = connection
            .prepare_cached(sql)?
            .query_row(parameters, |found| found.get(0))
            .optional()?;
        row::optional_time(oldest)
    };
    Ok(ExpectedStats {
        counts,
        overdue_since: oldest(
            "SELECT due_since FROM expected INDEXED BY expected_overdue WHERE due IS NOT NULL ORDER BY due_since LIMIT 1",
            &[],
        )?,
        oldest_due: oldest(
            "SELECT min(due) FROM (SELECT min(due) AS due FROM expected WHERE lane = 0 AND due IS NOT NULL
             UNION ALL SELECT min(due) FROM expected WHERE lane = 1 AND due IS NOT NULL
             UNION ALL SELECT min(due) FROM expected WHERE lane = 2 AND due IS NOT NULL) HAVING min(due) IS NOT NULL",
            &[],
        )?,
        earliest: oldest(
            "SELECT min(registered_at, coalesce(started_at, registered_at), coalesce(ended_at, registered_at)) AS earliest
             FROM expected INDEXED BY expected_earliest WHERE due IS NOT NULL AND earliest > ?1 ORDER BY earliest LIMIT 1",
            &[&kept_since],
        )?,
    })
}
