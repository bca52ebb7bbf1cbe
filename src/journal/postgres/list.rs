//! Lists of events: a page, a count, and the preview of a replay.

use deadpool_postgres::Client;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::row;
use crate::domain::EventState;
use crate::journal::conditions::Conditions;
use crate::journal::window::{BinarySearch, EVERYTHING, Extent, Window};
use crate::journal::{Error, Filter, MOST_COUNTED, Order, Page, Preview, PreviewGroup};

type Value = Box<dyn ToSql + Sync + Send>;

/// A page of events, from `cursor` on.
pub(super) async fn page(
    client: &Client,
    filter: &Filter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<Page, Error> {
    let Some(window) = window(client, filter, cursor).await? else {
        return Ok(Page::default());
    };
    let wanted = wanted(filter, window);
    let order = match filter.order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    // One more than asked for, to tell whether there is a next page. The numbers are selected first: tens of thousands
    // of events may have one cause, and only a page of them is read in full.
    let sql = format!(
        "{} WHERE receipts.seq IN ({} WHERE {} ORDER BY receipts.seq {order} LIMIT {}) ORDER BY seq {order}",
        row::EVENT,
        row::EVENT_NUMBER,
        wanted.sql(),
        row::limit(limit.saturating_add(1))
    );
    let rows = query(client, &sql, &wanted).await?;
    let events = rows.iter().take(limit).map(row::event);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let next = match rows.get(..limit).and_then(<[_]>::last) {
        Some(last) if rows.len() > limit => Some(row::get(last, "seq")?),
        _ => window.next,
    };
    Ok(Page { events, next })
}

/// The range that a query for a page searches; `None` when there are no events.
async fn window(
    client: &Client,
    filter: &Filter,
    cursor: Option<i64>,
) -> Result<Option<Window>, Error> {
    if filter.is_indexed() {
        return Ok(Some(Window::behind(cursor, filter.order)));
    }
    let extent = "SELECT min(seq) AS first, max(seq) AS last FROM receipts";
    let extent = client.prepare_cached(extent).await?;
    let found = client.query_one(&extent, &[]).await?;
    let (first, last) = (row::get(&found, "first")?, row::get(&found, "last")?);
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(None);
    };
    let mut events = Extent { first, last };
    let (from, to) = filter.stored_between();
    if let Some(from) = from {
        events.first = search(client, events, from).await?.low;
    }
    if let Some(to) = to {
        events.last = search(client, events, to).await?.high;
    }
    Ok(Some(Window::part(cursor, filter.order, events)))
}

/// Finds the place of a time, in milliseconds, among these events.
async fn search(client: &Client, events: Extent, time: i64) -> Result<BinarySearch, Error> {
    let at = "SELECT received_at FROM receipts WHERE seq >= $1 ORDER BY seq LIMIT 1";
    let (at, mut search) = (client.prepare_cached(at).await?, BinarySearch::of(events));
    while let Some(middle) = search.middle() {
        let found = client.query_opt(&at, &[&middle]).await?;
        let at: Option<i64> = found
            .map(|found| row::get(&found, "received_at"))
            .transpose()?;
        search.narrow(middle, at.is_some_and(|at| at < time));
    }
    Ok(search)
}

/// The number of events, counted up to `most`.
pub(super) async fn count(client: &Client, filter: &Filter, most: u32) -> Result<u64, Error> {
    let wanted = wanted(filter, EVERYTHING);
    let sql = format!(
        "SELECT count(*) AS n FROM ({} WHERE {} LIMIT {most}) AS counted",
        row::EVENT_NUMBER,
        wanted.sql()
    );
    let rows = query(client, &sql, &wanted).await?;
    match rows.first() {
        Some(counted) => row::total(counted, "n"),
        None => Ok(0),
    }
}

/// What a replay of these events would do.
pub(super) async fn preview(client: &Client, filter: &Filter) -> Result<Preview, Error> {
    let wanted = wanted(filter, EVERYTHING);
    let sql = format!(
        "SELECT listed.state, listed.outcome, cause_code, body IS NOT NULL AND junk IS NULL AS has_content,
            EXISTS (SELECT FROM retrievals WHERE event = listed.seq AND retrieved_at IS NOT NULL) AS is_retrieved,
            count(*) AS n, min(listed.received_at) AS oldest, max(listed.received_at) AS newest
         FROM ({} WHERE {} ORDER BY seq LIMIT {MOST_COUNTED}) AS listed JOIN receipts ON receipts.seq = listed.seq
         GROUP BY 1, 2, 3, 4, 5",
        row::EVENT,
        wanted.sql()
    );
    let rows = query(client, &sql, &wanted).await?;
    let groups = rows.iter().map(|found| {
        Ok(PreviewGroup {
            state: row::word(found, "state")?,
            outcome: row::word(found, "outcome")?,
            cause: row::optional_word(found, "cause_code")?,
            has_content: row::get(found, "has_content")?,
            is_retrieved: row::get(found, "is_retrieved")?,
            events: row::total(found, "n")?,
            oldest: row::time(row::get(found, "oldest")?)?,
            newest: row::time(row::get(found, "newest")?)?,
        })
    });
    Ok(Preview {
        groups: groups.collect::<Result<_, Error>>()?,
    })
}

/// The conditions of a filter.
fn wanted(filter: &Filter, window: Window) -> Conditions<Value> {
    let mut wanted = Conditions::new('$');
    let millis = |time: jiff::Timestamp| number(time.as_millisecond());
    wanted.that("seq > {}", window.above.map(number));
    wanted.that("seq < {}", window.below.map(number));
    let of_outcome = "coalesce(found.outcome, receipts.outcome) = {}";
    wanted.that(of_outcome, filter.outcome.map(|it| text(it.as_str())));
    wanted.that("source = {}", filter.source.map(|it| text(it.as_str())));
    let of_kind = "coalesce(found.kind, receipts.kind) = {}";
    wanted.that(of_kind, filter.kind.map(|it| text(it.as_str())));
    wanted.that(
        "stale = {}",
        filter.stale.map(|it| -> Value { Box::new(it) }),
    );
    wanted.that("error_code = {}", filter.error_code.as_deref().map(text));
    wanted.deliveries(filter, text);
    wanted.that("session_id = {}", filter.session_id.as_deref().map(text));
    // The index of names has the events that were worked on; the others are found among the pending work.
    wanted.that(
            "receipts.encounter_id = {} AND seq IN (SELECT event FROM retrievals WHERE encounter_id = {}
             UNION ALL SELECT event FROM work WHERE task IN ('forward', 'new', 'retrieve'))",
            filter.encounter_id.as_deref().map(text),
        );
    wanted.that("received_at >= {}", filter.since.map(millis));
    wanted.that("received_at < {}", filter.until.map(millis));
    wanted.any(filter.states.iter().map(|state| in_state(*state)));
    wanted
}

/// Runs a query with these conditions.
async fn query(client: &Client, sql: &str, wanted: &Conditions<Value>) -> Result<Vec<Row>, Error> {
    let statement = client.prepare_cached(sql).await?;
    let values: Vec<&(dyn ToSql + Sync)> = wanted
        .values()
        .iter()
        .map(|value| &**value as &(dyn ToSql + Sync))
        .collect();
    Ok(client.query(&statement, &values).await?)
}

/// The condition for events that operators see in this state.
fn in_state(state: EventState) -> &'static str {
    match state {
        EventState::Received => {
            "seq IN (SELECT event FROM work WHERE owner IS NULL AND task IN ('forward', 'new'))"
        }
        EventState::Retrieving => {
            "seq IN (SELECT event FROM work WHERE task = 'retrieve' OR (task IN ('forward', 'new') AND owner IS NOT NULL))"
        }
        EventState::Delivering => {
            "seq IN (SELECT event FROM work WHERE task LIKE 'deliver:%') AND endings.state IS NULL AND pending.task IS NULL"
        }
        EventState::Done => "endings.state = 'done'",
        EventState::Dead => "endings.state = 'dead' AND purged_at IS NULL",
        EventState::Quarantined => "endings.state = 'quarantined' AND purged_at IS NULL",
        EventState::Purged => "purged_at IS NOT NULL AND endings.state <> 'done'",
    }
}

fn number(value: i64) -> Value {
    Box::new(value)
}

fn text(value: &str) -> Value {
    Box::new(row::text(value).into_owned())
}
