//! Lists of events: a page, a count, and the preview of a replay.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::row;
use crate::domain::EventState;
use crate::journal::conditions::Conditions;
use crate::journal::window::{BinarySearch, EVERYTHING, Extent, Window};
use crate::journal::{Error, Filter, MOST_COUNTED, Order, Page, Preview, PreviewGroup};

/// A page of events, from `cursor` on.
pub(super) fn page(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<Page, Error> {
    let Some(window) = window(connection, filter, cursor)? else {
        return Ok(Page::default());
    };
    let wanted = wanted(filter, window);
    let order = match filter.order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    // One more than asked for, to tell whether there is a next page.
    let sql = format!(
        "{} WHERE {} ORDER BY seq {order} LIMIT {}",
        row::EVENT,
        wanted.sql(),
        limit.saturating_add(1)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(wanted.values()))?;
    let mut page = Page {
        events: Vec::new(),
        next: window.next,
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

/// The range that a query for a page searches; `None` when there are no events.
fn window(
    connection: &Connection,
    filter: &Filter,
    cursor: Option<i64>,
) -> Result<Option<Window>, Error> {
    if filter.is_indexed() {
        return Ok(Some(Window::behind(cursor, filter.order)));
    }
    let extent = "SELECT (SELECT min(seq) FROM receipts), (SELECT max(seq) FROM receipts)";
    let (first, last): (Option<i64>, Option<i64>) = connection
        .prepare_cached(extent)?
        .query_row([], |found| Ok((found.get(0)?, found.get(1)?)))?;
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(None);
    };
    let mut events = Extent { first, last };
    let (from, to) = filter.stored_between();
    if let Some(from) = from {
        events.first = search(connection, events, from)?.low;
    }
    if let Some(to) = to {
        events.last = search(connection, events, to)?.high;
    }
    Ok(Some(Window::part(cursor, filter.order, events)))
}

/// Finds the place of a time, in milliseconds, among these events.
fn search(connection: &Connection, events: Extent, time: i64) -> Result<BinarySearch, Error> {
    let at = "SELECT received_at FROM receipts WHERE seq >= ?1 ORDER BY seq LIMIT 1";
    let (mut at, mut search) = (connection.prepare_cached(at)?, BinarySearch::of(events));
    while let Some(middle) = search.middle() {
        let found: Option<i64> = at.query_row([middle], |found| found.get(0)).optional()?;
        search.narrow(middle, found.is_some_and(|at| at < time));
    }
    Ok(search)
}

/// The number of events, counted up to `most`.
pub(super) fn count(connection: &Connection, filter: &Filter, most: u32) -> Result<u64, Error> {
    let wanted = wanted(filter, EVERYTHING);
    let sql = format!(
        "SELECT count(*) FROM ({} WHERE {} LIMIT {most})",
        row::EVENT,
        wanted.sql()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params_from_iter(wanted.values()), |found| found.get(0))?)
}

/// What a replay of these events would do.
pub(super) fn preview(connection: &Connection, filter: &Filter) -> Result<Preview, Error> {
    let wanted = wanted(filter, EVERYTHING);
    let sql = format!(
        "SELECT state, outcome, cause_code, has_body AND NOT is_junk, is_retrieved, count(*), min(received_at),
            max(received_at)
         FROM (SELECT listed.*, body IS NOT NULL AS has_body, junk IS NOT NULL AS is_junk,
                   EXISTS (SELECT 1 FROM retrievals WHERE event = listed.seq AND retrieved_at IS NOT NULL) AS is_retrieved
               FROM ({} WHERE {} ORDER BY seq LIMIT {MOST_COUNTED}) AS listed JOIN receipts ON receipts.seq = listed.seq)
         GROUP BY 1, 2, 3, 4, 5",
        row::EVENT,
        wanted.sql()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(wanted.values()))?;
    let mut groups = Vec::new();
    while let Some(found) = rows.next()? {
        groups.push(PreviewGroup {
            state: row::word(found, 0, "state")?,
            outcome: row::word(found, 1, "outcome")?,
            cause: row::optional_word(found, 2, "cause")?,
            has_content: found.get(3)?,
            is_retrieved: found.get(4)?,
            events: found.get(5)?,
            oldest: row::time(found.get(6)?)?,
            newest: row::time(found.get(7)?)?,
        });
    }
    Ok(Preview { groups })
}

/// The conditions of a filter.
fn wanted(filter: &Filter, window: Window) -> Conditions<Value> {
    let mut wanted = Conditions::new('?');
    let (text, millis) = (
        |text: &str| Value::Text(text.to_owned()),
        |time: jiff::Timestamp| Value::Integer(time.as_millisecond()),
    );
    wanted.any(filter.states.iter().map(|state| in_state(*state)));
    wanted.that("receipts.seq > {}", window.above.map(Value::Integer));
    wanted.that("receipts.seq < {}", window.below.map(Value::Integer));
    let of_outcome = "coalesce(found.outcome, receipts.outcome) = {}";
    wanted.that(of_outcome, filter.outcome.map(|it| text(it.as_str())));
    wanted.that("source = {}", filter.source.map(|it| text(it.as_str())));
    let of_kind = "coalesce(found.kind, receipts.kind) = {}";
    wanted.that(of_kind, filter.kind.map(|it| text(it.as_str())));
    wanted.that(
        "stale = {}",
        filter.stale.map(|it| Value::Integer(it.into())),
    );
    wanted.that("error_code = {}", filter.error_code.as_deref().map(text));
    wanted.deliveries(filter, text);
    // An event that nobody has worked on yet is named only in its receipt.
    for (column, name) in [
        ("session_id", &filter.session_id),
        ("encounter_id", &filter.encounter_id),
    ] {
        wanted.that(
                &format!(
                    "{column} = {{}} AND receipts.seq IN (SELECT event FROM mentions WHERE name = {{}}
                     UNION ALL SELECT event FROM work WHERE task IN ('forward', 'new', 'retrieve'))"
                ),
                name.as_deref().map(text),
            );
    }
    wanted.that("received_at >= {}", filter.since.map(millis));
    wanted.that("received_at < {}", filter.until.map(millis));
    wanted
}

/// The condition for events that operators see in this state.
fn in_state(state: EventState) -> &'static str {
    match state {
        EventState::Received => {
            "receipts.seq IN (SELECT event FROM work INDEXED BY work_due WHERE owner IS NULL AND task IN ('forward', 'new'))"
        }
        EventState::Retrieving => {
            "receipts.seq IN (SELECT event FROM work WHERE task = 'retrieve' OR (task IN ('forward', 'new') AND owner IS NOT NULL))"
        }
        EventState::Delivering => {
            "receipts.seq IN (SELECT event FROM work WHERE task LIKE 'deliver:%') AND endings.state IS NULL AND pending.task IS NULL"
        }
        // Most events are done: the `+` keeps SQLite from using the index, so that they are found in order and not
        // collected first.
        EventState::Done => "+endings.state = 'done'",
        EventState::Dead => {
            "receipts.seq IN (SELECT event FROM endings WHERE state = 'dead' AND purged_at IS NULL)"
        }
        EventState::Quarantined => {
            "receipts.seq IN (SELECT event FROM endings WHERE state = 'quarantined' AND purged_at IS NULL)"
        }
        EventState::Purged => {
            "receipts.seq IN (SELECT event FROM endings WHERE purged_at IS NOT NULL AND state <> 'done')"
        }
    }
}
