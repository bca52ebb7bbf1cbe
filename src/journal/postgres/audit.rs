//! The audit log: who read or changed what, and why.

use deadpool_postgres::Client;
use uuid::Uuid;

use super::row;
use crate::journal::{AuditEntry, AuditFilter, AuditPage, Error};

const LIST: &str = "SELECT seq, at, actor, action, event, reason FROM audit
    WHERE ($1::bigint IS NULL OR seq < $1) AND ($2::text IS NULL OR actor = $2) AND ($3::uuid IS NULL OR event = $3)
        AND ($4::bigint IS NULL OR at >= $4) AND ($5::bigint IS NULL OR at < $5)
    ORDER BY seq DESC LIMIT $6";

/// Adds an entry.
pub(super) async fn write(client: &Client, entry: &AuditEntry) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO audit (at, actor, action, event, reason) VALUES ($1, $2, $3, $4, $5)",
            &[
                &entry.at.as_millisecond(),
                &row::text(&entry.actor),
                &row::text(&entry.action),
                &entry.event.map(row::uuid),
                &entry.reason.as_deref().map(row::text),
            ],
        )
        .await?;
    Ok(())
}

/// A page of entries, newest first.
pub(super) async fn page(
    client: &Client,
    filter: &AuditFilter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<AuditPage, Error> {
    let statement = client.prepare_cached(LIST).await?;
    let rows = client
        .query(
            &statement,
            &[
                &cursor,
                &filter.actor.as_deref().map(row::text),
                &filter.event.map(row::uuid),
                &filter.since.map(|time| time.as_millisecond()),
                &filter.until.map(|time| time.as_millisecond()),
                &row::limit(limit.saturating_add(1)),
            ],
        )
        .await?;
    let entries = rows.iter().take(limit).map(|found| {
        Ok(AuditEntry {
            at: row::time(row::get(found, "at")?)?,
            actor: row::get(found, "actor")?,
            action: row::get(found, "action")?,
            event: row::get::<Option<Uuid>>(found, "event")?.map(row::event_id),
            reason: row::get(found, "reason")?,
        })
    });
    let entries = entries.collect::<Result<_, Error>>()?;
    let next = match rows.get(..limit).and_then(<[_]>::last) {
        Some(last) if rows.len() > limit => Some(row::get(last, "seq")?),
        _ => None,
    };
    Ok(AuditPage { entries, next })
}
