//! Lists of events, newest first.

use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;

use super::row;
use crate::domain::EventState;
use crate::journal::{Error, Filter, Page};

type Value = Box<dyn ToSql + Sync + Send>;

/// A page of events, from `cursor` on.
pub(super) async fn list(
    client: &Client,
    filter: &Filter,
    limit: usize,
    cursor: Option<i64>,
) -> Result<Page, Error> {
    // One more than asked for tells whether there is a next page.
    let mut values: Vec<Value> = vec![Box::new(row::limit(limit.saturating_add(1)))];
    let condition = condition(filter, cursor, &mut values);
    let sql = format!(
        "{} WHERE {condition} ORDER BY seq DESC LIMIT $1",
        row::EVENT
    );
    let statement = client.prepare_cached(&sql).await?;
    let values: Vec<&(dyn ToSql + Sync)> = values
        .iter()
        .map(|value| &**value as &(dyn ToSql + Sync))
        .collect();
    let rows = client.query(&statement, &values).await?;
    let events = rows.iter().take(limit).map(row::event);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    let next = match rows.get(..limit).and_then(<[_]>::last) {
        Some(last) if rows.len() > limit => Some(row::get(last, "seq")?),
        _ => None,
    };
    Ok(Page { events, next })
}

/// The conditions, and their values in the order of their numbers.
fn condition(filter: &Filter, cursor: Option<i64>, values: &mut Vec<Value>) -> String {
    let mut wanted = Vec::new();
    let mut want = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            wanted.push(condition.replace("{}", &format!("${}", values.len())));
        }
    };
    want("seq < {}", cursor.map(number));
    want(
        "coalesce(found.outcome, receipts.outcome) = {}",
        filter.outcome.map(|outcome| text(outcome.as_str())),
    );
    want("session_id = {}", filter.session_id.as_deref().map(text));
    // The index has what was looked at; what was not is among the work.
    want(
        "receipts.encounter_id = {} AND seq IN (SELECT event FROM retrievals WHERE encounter_id = {}
         UNION ALL SELECT event FROM work WHERE task IN ('forward', 'new', 'retrieve'))",
        filter.encounter_id.as_deref().map(text),
    );
    let millis = |time: jiff::Timestamp| number(time.as_millisecond());
    want("received_at >= {}", filter.since.map(millis));
    want("received_at < {}", filter.until.map(millis));
    if let Some(state) = filter.state {
        wanted.push(in_state(state).to_owned());
    }
    if wanted.is_empty() {
        "true".to_owned()
    } else {
        wanted.join(" AND ")
    }
}

/// The events that operators see in this state.
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
