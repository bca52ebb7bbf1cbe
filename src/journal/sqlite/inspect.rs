//! Checks a whole file for inconsistencies without changing it. For `store check`.

use rusqlite::Connection;

use crate::journal::Error;

/// The most damages of one kind that are reported; a broken file has thousands.
const MOST: usize = 20;

/// Queries for what must never be found, with what a finding means.
const RULES: &[(&str, &str)] = &[
    (
        "in progress, but with nothing to be done for them",
        "SELECT count(*) FROM receipts WHERE NOT EXISTS (SELECT 1 FROM endings WHERE event = seq)
         AND NOT EXISTS (SELECT 1 FROM work WHERE event = seq AND task <> 'refresh' AND due < 9223372036854775807)",
    ),
    (
        "ended, but to be retrieved again",
        "SELECT count(*) FROM work JOIN endings USING (event) WHERE task IN ('forward', 'new', 'retrieve')",
    ),
    (
        "done, but with a delivery that is not",
        "SELECT count(*) FROM endings WHERE state = 'done' AND
         (EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event = endings.event AND state <> 'delivered')
          OR EXISTS (SELECT 1 FROM work WHERE work.event = endings.event AND task LIKE 'deliver:%'))",
    ),
    (
        "to be retrieved in two ways",
        "SELECT count(*) FROM (SELECT event FROM work WHERE task IN ('forward', 'new', 'retrieve')
         GROUP BY event HAVING count(*) > 1)",
    ),
    (
        "in progress, but without their content",
        "SELECT count(*) FROM receipts WHERE body IS NULL AND EXISTS (SELECT 1 FROM work WHERE event = seq)",
    ),
    (
        "said to have their content, but without it",
        "SELECT count(*) FROM endings JOIN receipts ON seq = event WHERE has_content <> (body IS NOT NULL)",
    ),
    (
        "work, endings, deliveries or answers of events that are not there",
        "SELECT count(*) FROM (SELECT event FROM work UNION ALL SELECT event FROM endings
         UNION ALL SELECT event FROM deliveries UNION ALL SELECT event FROM retrievals UNION ALL SELECT event FROM links)
         WHERE event NOT IN (SELECT seq FROM receipts)",
    ),
    (
        "retrieved, but without what was fetched while the notification is there",
        "SELECT count(*) FROM retrievals JOIN receipts ON seq = event
         WHERE links IS NOT NULL AND bodies IS NULL AND body IS NOT NULL",
    ),
];

/// The inconsistencies. Empty when there are none.
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

/// The damages that SQLite finds.
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

/// Compares the counts that operators see with the rows that exist.
fn balance(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare(
        "SELECT counts.state, n, coalesce(there, 0) AS there FROM counts LEFT JOIN
         (SELECT state, count(*) AS there FROM
             (SELECT coalesce(endings.state, CASE pending.task WHEN 'retrieve' THEN 'retrieving'
                 WHEN 'new' THEN 'received' WHEN 'forward' THEN 'received' ELSE 'delivering' END) AS state
              FROM receipts LEFT JOIN endings ON endings.event = seq
              LEFT JOIN work AS pending ON pending.event = seq AND pending.task IN ('forward', 'new', 'retrieve'))
          GROUP BY state) AS rows ON rows.state = counts.state
         WHERE n <> coalesce(there, 0)",
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
