//! Reads: one event, a list, bodies, counts.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};

use super::row;
use crate::domain::{
    Document, EncounterId, EventId, EventState, LinkGroup, LinkState, Resource, SessionId,
};
use crate::journal::{
    Attempt, AuditEntry, Delivery, DeliveryLease, Error, EventDetail, Filter, Link, Page, Stats,
};

/// What is to be delivered, as long as the lease stands.
pub(super) fn document(
    connection: &Connection,
    lease: &DeliveryLease,
) -> Result<Option<Document>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, received_at, session_id, encounter_id, outcome, error_code, session_status, stale, body, status,
         source,
         coalesce((SELECT revision FROM amendments WHERE event = seq), 1),
         (SELECT replaces FROM amendments WHERE event = seq) FROM events WHERE seq = ?1 AND body IS NOT NULL AND EXISTS
         (SELECT 1 FROM deliveries WHERE event = ?1 AND sink = ?2 AND fence = ?3 AND holder IS NOT NULL)",
    )?;
    let mut rows = statement.query(params![lease.event, lease.sink, lease.fence])?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let mut document = Document {
        id: row::id(found.get(0)?),
        received_at: row::time(found.get(1)?)?,
        session_id: SessionId::new(found.get::<_, String>(2)?)
            .ok_or(Error::Corrupt { what: "session id" })?,
        encounter_id: found
            .get::<_, Option<String>>(3)?
            .and_then(EncounterId::new),
        outcome: row::word(found, 4, "outcome")?,
        error_code: found.get(5)?,
        session_status: found.get(6)?,
        stale: found.get(7)?,
        status: found.get(9)?,
        source: row::word(found, 10, "source")?,
        revision: found.get(11)?,
        replaces: found.get::<_, Option<[u8; 16]>>(12)?.map(row::id),
        notification: row::bytes(found.get(8)?),
        resources: Vec::new(),
        missing: Vec::new(),
    };
    let mut statement = connection.prepare_cached(
        "SELECT link_group, href, state, http_status, fetched_at, reason, body FROM links WHERE event = ?1 ORDER BY n",
    )?;
    let mut rows = statement.query([lease.event])?;
    while let Some(found) = rows.next()? {
        let (group, href) = (LinkGroup::new(found.get::<_, String>(0)?), found.get(1)?);
        let (state, reason) = (row::word(found, 2, "link state")?, found.get(5)?);
        if state == LinkState::Fetched {
            let resource = Resource {
                group,
                href,
                http_status: found.get(3)?,
                fetched_at: row::time(found.get(4)?)?,
                body: row::bytes(found.get(6)?),
            };
            document.add_resource(resource, reason);
        } else {
            document.add_unfetched(state, group, href, reason);
        }
    }
    Ok(Some(document))
}

/// One event with all that belongs to it.
pub(super) fn event(connection: &Connection, id: EventId) -> Result<Option<EventDetail>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {}, seq FROM events WHERE id = ?1",
        row::EVENT
    ))?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let seq: i64 = found.get(18)?;
    Ok(Some(EventDetail {
        event: row::event(found)?,
        links: links(connection, seq)?,
        deliveries: deliveries(connection, seq)?,
        attempts: attempts(connection, seq)?,
    }))
}

/// An event's links, without bodies.
pub(super) fn links(connection: &Connection, seq: i64) -> Result<Vec<Link>, Error> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {} FROM links WHERE event = ?1 ORDER BY n",
        row::LINK
    ))?;
    let mut rows = statement.query([seq])?;
    let mut links = Vec::new();
    while let Some(found) = rows.next()? {
        links.push(row::link(found)?);
    }
    Ok(links)
}

fn deliveries(connection: &Connection, seq: i64) -> Result<Vec<Delivery>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT sink, state, attempts, next_attempt_at, delivered_at, last_error, holder IS NOT NULL FROM deliveries
         WHERE event = ?1 ORDER BY sink",
    )?;
    let mut rows = statement.query([seq])?;
    let mut deliveries = Vec::new();
    while let Some(found) = rows.next()? {
        let is_leased: bool = found.get(6)?;
        deliveries.push(Delivery {
            sink: found.get(0)?,
            state: row::word(found, 1, "delivery state")?,
            attempts: found.get(2)?,
            next_attempt_at: if is_leased {
                None
            } else {
                row::optional_time(found.get(3)?)?
            },
            delivered_at: row::optional_time(found.get(4)?)?,
            last_error: found.get(5)?,
        });
    }
    Ok(deliveries)
}

fn attempts(connection: &Connection, seq: i64) -> Result<Vec<Attempt>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT at, what, detail FROM attempts WHERE event = ?1 ORDER BY rowid")?;
    let mut rows = statement.query([seq])?;
    let mut attempts = Vec::new();
    while let Some(found) = rows.next()? {
        attempts.push(Attempt {
            at: row::time(found.get(0)?)?,
            what: found.get(1)?,
            detail: found.get(2)?,
        });
    }
    Ok(attempts)
}

/// The notification's body.
pub(super) fn payload(connection: &Connection, id: EventId) -> Result<Option<Bytes>, Error> {
    let body: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT body FROM events WHERE id = ?1")?
        .query_row([id.as_bytes()], |found| found.get(0))
        .optional()?;
    Ok(body.flatten().map(row::bytes))
}

/// The body fetched for a link.
pub(super) fn resource(
    connection: &Connection,
    id: EventId,
    n: u32,
) -> Result<Option<Bytes>, Error> {
    let body: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT body FROM links WHERE event = (SELECT seq FROM events WHERE id = ?1) AND n = ?2")?
        .query_row(params![id.as_bytes(), n], |found| found.get(0))
        .optional()?;
    Ok(body.flatten().map(row::bytes))
}

/// A page of events, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<Page, Error> {
    let (mut wanted, mut values) = (Vec::new(), Vec::new());
    match filter.state {
        Some(EventState::Purged) => {
            wanted.push("purged_at IS NOT NULL AND state <> 'done'".to_owned());
        }
        Some(state) => {
            values.push(Value::Text(state.as_str().to_owned()));
            let number = values.len();
            wanted.push(format!(
                "state = ?{number} AND (purged_at IS NULL OR state = 'done')"
            ));
        }
        None => {}
    }
    let mut want = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            wanted.push(condition.replace("{}", &format!("?{}", values.len())));
        }
    };
    let text = |text: &str| Some(Value::Text(text.to_owned()));
    want("seq < {}", cursor.map(Value::Integer));
    want(
        "outcome = {}",
        filter.outcome.and_then(|outcome| text(outcome.as_str())),
    );
    want(
        "session_id = {}",
        filter.session_id.as_deref().and_then(text),
    );
    // The index has what is worked on; what is only received is found by its state.
    want(
        "seq IN (SELECT seq FROM events WHERE encounter_id IS NOT NULL AND state <> 'received' AND encounter_id = {}
         UNION ALL SELECT seq FROM events WHERE state = 'received' AND encounter_id = {})",
        filter.encounter_id.as_deref().and_then(text),
    );
    want(
        "received_at >= {}",
        filter
            .since
            .map(|time| Value::Integer(time.as_millisecond())),
    );
    want(
        "received_at < {}",
        filter
            .until
            .map(|time| Value::Integer(time.as_millisecond())),
    );
    let condition = if wanted.is_empty() {
        "1".to_owned()
    } else {
        wanted.join(" AND ")
    };
    // One more than asked for tells whether there is a next page.
    let sql = format!(
        "SELECT {}, seq FROM events WHERE {condition} ORDER BY seq DESC LIMIT {}",
        row::EVENT,
        limit.saturating_add(1)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut page = Page {
        events: Vec::new(),
        next: None,
    };
    let mut last = None;
    while let Some(found) = rows.next()? {
        if page.events.len() == limit {
            page.next = last;
            break;
        }
        last = Some(found.get(18)?);
        page.events.push(row::event(found)?);
    }
    Ok(page)
}

/// How many events stand where.
pub(super) fn stats(connection: &Connection) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    let mut statement = connection.prepare_cached("SELECT state, n FROM counts")?;
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        stats
            .events
            .push((row::word(found, 0, "state")?, found.get(1)?));
    }
    stats.show_purged(&purged(connection)?);
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT min(received_at) FROM (
                 SELECT received_at FROM (SELECT received_at FROM events WHERE state = 'received' ORDER BY seq LIMIT 1)
                 UNION ALL
                 SELECT received_at FROM (SELECT received_at FROM events WHERE state = 'retrieving' ORDER BY seq LIMIT 1)
                 UNION ALL
                 SELECT received_at FROM (SELECT received_at FROM events WHERE state = 'delivering' ORDER BY seq LIMIT 1))",
        )?
        .query_row([], |found| found.get(0))?;
    stats.oldest_pending = row::optional_time(oldest)?;
    stats.unauthentic = connection
        .prepare_cached("SELECT count(*) FROM unauthentic")?
        .query_row([], |found| found.get(0))?;
    Ok(stats)
}

/// What an operator purged, by the state that it had.
fn purged(connection: &Connection) -> Result<Vec<(EventState, u64)>, Error> {
    // A check looks into files of older versions as well, and leaves their schema as it is.
    let is_known: bool = connection
        .prepare_cached(
            "SELECT count(*) = 1 FROM pragma_table_info('events') WHERE name = 'purged_at'",
        )?
        .query_row([], |found| found.get(0))?;
    if !is_known {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT state, count(*) FROM events INDEXED BY events_purged
         WHERE purged_at IS NOT NULL AND state <> 'done' GROUP BY state",
    )?;
    let mut rows = statement.query([])?;
    let mut purged = Vec::new();
    while let Some(found) = rows.next()? {
        purged.push((row::word(found, 0, "state")?, found.get(1)?));
    }
    Ok(purged)
}

/// The newest audit entries.
pub(super) fn audit_log(connection: &Connection, limit: usize) -> Result<Vec<AuditEntry>, Error> {
    let mut statement = connection
        .prepare_cached("SELECT at, actor, action, event FROM audit ORDER BY seq DESC LIMIT ?1")?;
    let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut entries = Vec::new();
    while let Some(found) = rows.next()? {
        entries.push(AuditEntry {
            at: row::time(found.get(0)?)?,
            actor: found.get(1)?,
            action: found.get(2)?,
            event: found.get::<_, Option<[u8; 16]>>(3)?.map(row::id),
        });
    }
    Ok(entries)
}
