//! Lists of events: a page, a count, a preview of their replay.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::row;
use crate::domain::{DeliveryState, EventState};
use crate::journal::{Error, Filter, MOST_COUNTED, Order, Page, Preview, PreviewGroup};

/// A page of events, from `cursor` on.
pub(super) fn page(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<Page, Error> {
    let wanted = Wanted::of(filter, cursor);
    let order = match filter.order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    // One more than asked for tells whether there is a next page.
    let sql = format!(
        "{} WHERE {} ORDER BY seq {order} LIMIT {}",
        row::EVENT,
        wanted.condition(),
        limit.saturating_add(1)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(wanted.values))?;
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

/// How many events there are, at most `most`.
pub(super) fn count(connection: &Connection, filter: &Filter, most: u32) -> Result<u64, Error> {
    let wanted = Wanted::of(filter, None);
    let sql = format!(
        "SELECT count(*) FROM ({} WHERE {} LIMIT {most})",
        row::EVENT,
        wanted.condition()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params_from_iter(wanted.values), |found| found.get(0))?)
}

/// What a replay of them would do.
pub(super) fn preview(connection: &Connection, filter: &Filter) -> Result<Preview, Error> {
    let wanted = Wanted::of(filter, None);
    let sql = format!(
        "SELECT state, outcome, cause_code, has_body AND NOT is_junk, is_retrieved, count(*), min(received_at),
            max(received_at)
         FROM (SELECT listed.*, body IS NOT NULL AS has_body, junk IS NOT NULL AS is_junk,
                   EXISTS (SELECT 1 FROM retrievals WHERE event = listed.seq AND retrieved_at IS NOT NULL) AS is_retrieved
               FROM ({} WHERE {} ORDER BY seq LIMIT {MOST_COUNTED}) AS listed JOIN receipts ON receipts.seq = listed.seq)
         GROUP BY 1, 2, 3, 4, 5",
        row::EVENT,
        wanted.condition()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(wanted.values))?;
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

/// The conditions of a filter, and their values in the order of their numbers.
struct Wanted {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Wanted {
    fn of(filter: &Filter, cursor: Option<i64>) -> Self {
        let mut wanted = Self {
            conditions: Vec::new(),
            values: Vec::new(),
        };
        let (text, millis) = (
            |text: &str| Value::Text(text.to_owned()),
            |time: jiff::Timestamp| Value::Integer(time.as_millisecond()),
        );
        if !filter.states.is_empty() {
            let states = filter.states.iter().map(|state| in_state(*state));
            let states: Vec<String> = states.map(|state| format!("({state})")).collect();
            wanted.conditions.push(format!("({})", states.join(" OR ")));
        }
        let after = match filter.order {
            Order::NewestFirst => "receipts.seq < {}",
            Order::OldestFirst => "receipts.seq > {}",
        };
        wanted.that(after, cursor.map(Value::Integer));
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
        wanted.deliveries(filter);
        // What nobody has looked at yet is mentioned nowhere but in its receipt.
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

    /// Adds a condition on a value, where there is one.
    fn that(&mut self, condition: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.values.push(value);
            let place = format!("?{}", self.values.len());
            self.conditions.push(condition.replace("{}", &place));
        }
    }

    /// The conditions on deliveries and causes. A cause of a delivery is one at the sink, where one is named.
    fn deliveries(&mut self, filter: &Filter) {
        let cause = filter.cause;
        let of_delivery = cause.filter(|cause| cause.stage() == "deliver");
        if let Some(cause) = cause.filter(|_| of_delivery.is_none()) {
            let of_event = "receipts.seq IN (SELECT event FROM endings WHERE state <> 'done' AND purged_at IS NULL \
                            AND cause_code = {} UNION ALL SELECT event FROM work WHERE cause_code = {})";
            self.that(of_event, Some(Value::Text(cause.as_str().to_owned())));
        }
        if of_delivery.is_none() && filter.sink.is_none() && filter.delivery.is_none() {
            return;
        }
        let (mut made, mut pending) = (
            vec!["1".to_owned()],
            vec!["task LIKE 'deliver:%'".to_owned()],
        );
        if let Some(cause) = of_delivery {
            let place = self.value(Value::Text(cause.as_str().to_owned()));
            made.push(format!("cause_code = {place} AND state = 'dead'"));
            pending.push(format!("cause_code = {place}"));
        }
        if let Some(sink) = &filter.sink {
            let place = self.value(Value::Text(sink.clone()));
            made.push(format!("sink = {place}"));
            pending.push(format!("task = 'deliver:' || {place}"));
        }
        let made = made.join(" AND ");
        let pending = pending.join(" AND ");
        let made = |state: &str| format!("SELECT event FROM deliveries WHERE {made}{state}");
        let pending = format!("SELECT event FROM work WHERE {pending}");
        let of_it = match filter.delivery {
            None => format!("{} UNION ALL {pending}", made("")),
            Some(DeliveryState::Pending) => pending,
            Some(DeliveryState::Delivered) => made(" AND state = 'delivered'"),
            Some(DeliveryState::Dead) => made(" AND state = 'dead'"),
        };
        self.conditions.push(format!("receipts.seq IN ({of_it})"));
    }

    /// Adds a value and gives its place.
    fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    fn condition(&self) -> String {
        if self.conditions.is_empty() {
            "1".to_owned()
        } else {
            self.conditions.join(" AND ")
        }
    }
}

/// The events that operators see in this state.
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
        // Most are done: they are found as they come, and not gathered first, which the sign in front of the column sees to.
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
