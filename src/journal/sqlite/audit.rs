//! The audit log: who read or changed what, and why.

use rusqlite::{Connection, params};

use super::row;
use crate::domain::EventId;
use crate::journal::{AuditEntry, AuditFilter, AuditPage, Error};

const LIST: &str = "SELECT seq, at, actor, action, event, reason FROM audit
    WHERE (?1 IS NULL OR seq < ?1) AND (?2 IS NULL OR actor = ?2) AND (?3 IS NULL OR event = ?3)
        AND (?4 IS NULL OR at >= ?4) AND (?5 IS NULL OR at < ?5)
    ORDER BY seq DESC LIMIT ?6";

/// Adds an entry.
pub(super) fn write(connection: &Connection, entry: &AuditEntry) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO audit (at, actor, action, event, reason) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            entry.at.as_millisecond(),
            entry.actor,
            entry.action,
            entry.event.as_ref().map(EventId::as_bytes),
            entry.reason
        ])?;
    Ok(())
}

/// A page of entries, newest first.
pub(super) fn page(
    connection: &Connection,
    filter: &AuditFilter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<AuditPage, Error> {
    let mut statement = connection.prepare_cached(LIST)?;
    let mut rows = statement.query(params![
        cursor,
        filter.actor,
        filter.event.as_ref().map(EventId::as_bytes),
        filter.since.map(|time| time.as_millisecond()),
        filter.until.map(|time| time.as_millisecond()),
        i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX),
    ])?;
    let mut page = AuditPage {
        entries: Vec::new(),
        next: None,
    };
    let mut last = None;
    while let Some(found) = rows.next()? {
        if page.entries.len() == limit {
            page.next = last;
            break;
        }
        last = Some(found.get(0)?);
        page.entries.push(AuditEntry {
            at: row::time(found.get(1)?)?,
            actor: found.get(2)?,
            action: found.get(3)?,
            event: found.get::<_, Option<[u8; 16]>>(4)?.map(row::id),
            reason: found.get(5)?,
        });
    }
    Ok(page)
}
