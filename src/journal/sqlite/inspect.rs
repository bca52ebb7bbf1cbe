//! Does everything in the file fit together? For `store check`: reads the whole file and changes nothing.

use rusqlite::Connection;

use crate::journal::Error;

/// Most damages that are told of one kind; a broken file has thousands.
const MOST: usize = 20;

/// What must never be found, and what it would mean.
const RULES: &[(&str, &str)] = &[
    (
        "in progress, but nobody would take them up",
        "SELECT count(*) FROM events WHERE state IN ('received', 'retrieving') AND next_attempt_at IS NULL",
    ),
    (
        "ended, but due again",
        "SELECT count(*) FROM events WHERE state IN ('done', 'dead', 'quarantined') AND next_attempt_at IS NOT NULL",
    ),
    (
        "being delivered, but with no delivery that is due",
        "SELECT count(*) FROM events WHERE state = 'delivering' AND NOT EXISTS
         (SELECT 1 FROM deliveries WHERE event = seq AND state = 'pending' AND next_attempt_at IS NOT NULL)",
    ),
    (
        "done, but with a delivery that is not",
        "SELECT count(*) FROM events WHERE state = 'done' AND EXISTS
         (SELECT 1 FROM deliveries WHERE event = seq AND state <> 'delivered')",
    ),
    (
        "in progress, but without their content",
        "SELECT count(*) FROM events WHERE state IN ('received', 'retrieving', 'delivering') AND body IS NULL",
    ),
    (
        "deliveries of events that are not there",
        "SELECT count(*) FROM deliveries WHERE event NOT IN (SELECT seq FROM events)",
    ),
    (
        "links of events that are not there",
        "SELECT count(*) FROM links WHERE event NOT IN (SELECT seq FROM events)",
    ),
    (
        "links said to be fetched, but without their body while the event has its own",
        "SELECT count(*) FROM links JOIN events ON seq = event
         WHERE links.state = 'fetched' AND links.body IS NULL AND events.body IS NOT NULL",
    ),
];

/// What does not fit together. Empty when all is well.
pub(super) fn inspect(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut problems = damages(connection)?;
    for (what, sql) in RULES {
        let count: u64 = connection.query_row(sql, [], |row| row.get(0))?;
        if count > 0 {
            problems.push(format!("{count} events or parts of them: {what}"));
        }
    }
    problems.extend(balance(connection)?);
    Ok(problems)
}

/// What SQLite finds to be damaged.
pub(super) fn damages(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MOST})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
    Ok(lines
        .into_iter()
        .filter(|line| line != "ok")
        .map(|line| format!("damaged: {line}"))
        .collect())
}

/// The counts that operators see against the rows that are there.
fn balance(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(
        "SELECT counts.state, n, (SELECT count(*) FROM events WHERE events.state = counts.state) AS rows
         FROM counts WHERE n <> rows",
    )?;
    let off = statement.query_map([], |row| {
        Ok(format!(
            "{} events are counted as {}, and there are {}",
            row.get::<_, i64>(1)?,
            row.get::<_, String>(0)?,
            row.get::<_, i64>(2)?,
        ))
    })?;
    Ok(off.collect::<Result<_, _>>()?)
}
