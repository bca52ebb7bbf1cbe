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
        "SELECT {}, seq FROM events WHERE {condition} ORDER BY seq DESC LIMIT $1",
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
        "outcome = {}",
        filter.outcome.map(|outcome| text(outcome.as_str())),
    );
    want("session_id = {}", filter.session_id.as_deref().map(text));
    // The index has what is worked on; what is only received is found by its state.
    want(
        "seq IN (SELECT seq FROM events WHERE encounter_id IS NOT NULL AND state <> 'received' AND encounter_id = {}
         UNION ALL SELECT seq FROM events WHERE state = 'received' AND encounter_id = {})",
        filter.encounter_id.as_deref().map(text),
    );
    let millis = |time: jiff::Timestamp| number(time.as_millisecond());
    want("received_at >= {}", filter.since.map(millis));
    want("received_at < {}", filter.until.map(millis));
    match filter.state {
        Some(EventState::Purged) => {
            wanted.push("purged_at IS NOT NULL AND state <> 'done'".to_owned());
        }
        Some(state) => {
            values.push(text(state.as_str()));
            let number = values.len();
            wanted.push(format!(
                "state = ${number} AND (purged_at IS NULL OR state = 'done')"
            ));
        }
        None => {}
    }
    if wanted.is_empty() {
        "true".to_owned()
    } else {
        wanted.join(" AND ")
    }
}

fn number(value: i64) -> Value {
    Box::new(value)
}

fn text(value: &str) -> Value {
    Box::new(row::text(value).into_owned())
}
