//! Reads: one event, a list, bodies, counts.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};

use super::{content, row};
use crate::domain::{EventId, EventState};
use crate::journal::lease::WHEN_RETRIEVED;
use crate::journal::{
    Attempt, AuditEntry, Delivery, Error, Event, EventDetail, Filter, Found, Page, Stats,
};

/// One event with all that belongs to it.
pub(super) fn event(connection: &Connection, id: EventId) -> Result<Option<EventDetail>, Error> {
    let mut statement =
        connection.prepare_cached(&format!("{} WHERE receipts.id = ?1", row::EVENT))?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(found) = rows.next()? else {
        return Ok(None);
    };
    let seq: i64 = found.get(17)?;
    Ok(Some(EventDetail {
        event: row::event(found)?,
        links: content::links(connection, seq)?,
        deliveries: deliveries(connection, seq)?,
        attempts: attempts(connection, seq)?,
    }))
}

/// Those that were made and those that are to be made.
fn deliveries(connection: &Connection, seq: i64) -> Result<Vec<Delivery>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT sink, state, attempts, NULL, delivered_at, last_error, applied_at FROM deliveries WHERE event = ?1
         UNION ALL
         SELECT substr(task, 9), 'pending', tries + (owner IS NOT NULL),
             CASE WHEN owner IS NULL AND due < ?2 THEN due END, NULL, cause, NULL
         FROM work WHERE event = ?1 AND task LIKE 'deliver:%'
         ORDER BY 1",
    )?;
    let mut rows = statement.query(params![seq, WHEN_RETRIEVED])?;
    let mut deliveries = Vec::new();
    while let Some(found) = rows.next()? {
        deliveries.push(Delivery {
            sink: found.get(0)?,
            state: row::word(found, 1, "delivery state")?,
            attempts: found.get(2)?,
            next_attempt_at: row::optional_time(found.get(3)?)?,
            delivered_at: row::optional_time(found.get(4)?)?,
            last_error: found.get(5)?,
            applied_at: row::optional_time(found.get(6)?)?,
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

/// An event, and what was found for it. `None` where its content is gone.
pub(super) fn found(connection: &Connection, id: EventId) -> Result<Option<(Event, Found)>, Error> {
    let sql = format!("{} WHERE receipts.id = ?1 AND body IS NOT NULL", row::EVENT);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(event) = rows.next()? else {
        return Ok(None);
    };
    let content = content::event(connection, event.get(17)?)?;
    let event = row::event(event)?;
    Ok(content.map(|(_, found)| (event, found)))
}

/// The notification's body.
pub(super) fn payload(connection: &Connection, id: EventId) -> Result<Option<Bytes>, Error> {
    let body: Option<Option<Vec<u8>>> = connection
        .prepare_cached("SELECT body FROM receipts WHERE id = ?1")?
        .query_row([id.as_bytes()], |found| found.get(0))
        .optional()?;
    // Empty where there was no notification.
    let body = body.flatten().filter(|body| !body.is_empty());
    Ok(body.map(row::bytes))
}

/// The body fetched for a link.
pub(super) fn resource(
    connection: &Connection,
    id: EventId,
    n: u32,
) -> Result<Option<Bytes>, Error> {
    let seq: Option<i64> = connection
        .prepare_cached("SELECT seq FROM receipts WHERE id = ?1")?
        .query_row([id.as_bytes()], |found| found.get(0))
        .optional()?;
    let Some(seq) = seq else { return Ok(None) };
    let links = content::found(connection, seq, true)?.map(|found| found.links);
    let mut links = links.into_iter().flatten();
    Ok(links
        .find(|linked| linked.link.n == n)
        .and_then(|linked| linked.body))
}

/// A page of events, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<Page, Error> {
    let (mut wanted, mut values) = (Vec::new(), Vec::new());
    if let Some(state) = filter.state {
        wanted.push(in_state(state).to_owned());
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
        "coalesce(found.outcome, receipts.outcome) = {}",
        filter.outcome.and_then(|outcome| text(outcome.as_str())),
    );
    // What nobody has looked at yet is mentioned nowhere but in its receipt.
    for (column, name) in [
        ("session_id", &filter.session_id),
        ("encounter_id", &filter.encounter_id),
    ] {
        want(
            &format!(
                "{column} = {{}} AND seq IN (SELECT event FROM mentions WHERE name = {{}}
                 UNION ALL SELECT event FROM work WHERE task IN ('forward', 'new', 'retrieve'))"
            ),
            name.as_deref().and_then(text),
        );
    }
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
        "{} WHERE {condition} ORDER BY seq DESC LIMIT {}",
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
        last = Some(found.get(17)?);
        page.events.push(row::event(found)?);
    }
    Ok(page)
}

/// The events that operators see in this state.
fn in_state(state: EventState) -> &'static str {
    match state {
        EventState::Received => {
            "seq IN (SELECT event FROM work INDEXED BY work_due WHERE owner IS NULL AND task IN ('forward', 'new'))"
        }
        EventState::Retrieving => {
            "seq IN (SELECT event FROM work WHERE task = 'retrieve' OR (task IN ('forward', 'new') AND owner IS NOT NULL))"
        }
        EventState::Delivering => {
            "seq IN (SELECT event FROM work WHERE task LIKE 'deliver:%') AND endings.state IS NULL AND pending.task IS NULL"
        }
        // Most are done: they are found as they come, and not gathered first, which the sign in front of the column sees to.
        EventState::Done => "+endings.state = 'done'",
        EventState::Dead => {
            "seq IN (SELECT event FROM endings WHERE state = 'dead' AND purged_at IS NULL)"
        }
        EventState::Quarantined => {
            "seq IN (SELECT event FROM endings WHERE state = 'quarantined' AND purged_at IS NULL)"
        }
        EventState::Purged => {
            "seq IN (SELECT event FROM endings WHERE purged_at IS NOT NULL AND state <> 'done')"
        }
    }
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
    let begun = connection
        .prepare_cached(
            "SELECT count(*) FROM work INDEXED BY work_due WHERE owner IS NOT NULL AND task IN ('forward', 'new')",
        )?
        .query_row([], |found| found.get(0))?;
    stats.show_begun(begun);
    let oldest: Option<i64> = connection
        .prepare_cached(
            "SELECT received_at FROM work JOIN receipts ON seq = event WHERE task <> 'refresh'
             AND NOT EXISTS (SELECT 1 FROM endings WHERE endings.event = work.event) ORDER BY work.event LIMIT 1",
        )?
        .query_row([], |found| found.get(0))
        .optional()?;
    stats.oldest_pending = row::optional_time(oldest)?;
    stats.rejected = connection
        .prepare_cached("SELECT count(*) FROM unauthentic")?
        .query_row([], |found| found.get(0))?;
    Ok(stats)
}

/// What an operator purged, by the state that it had.
fn purged(connection: &Connection) -> Result<Vec<(EventState, u64)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT state, count(*) FROM endings INDEXED BY endings_purged
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
