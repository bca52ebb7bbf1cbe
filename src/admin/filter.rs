//! Filters of lists: their names, values and limits, the same in a query, in a body and on the command line.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use url::form_urlencoded;

use crate::journal::filter::{of, text, time, unknown, yes_or_no};
use crate::journal::{AuditFilter, ExpectedFilter, Filter, Order};

/// The default number of entries in a page.
pub const DEFAULT_LIMIT: NonZeroUsize = NonZeroUsize::new(50).expect("not zero");
/// The limit of entries in a page.
pub const MAX_LIMIT: usize = 500;

/// A query of a list.
#[derive(Debug)]
pub(super) struct Query<F> {
    pub(super) filter: F,
    pub(super) limit: usize,
    pub(super) cursor: Option<i64>,
}

/// A filter of events, and whether to count the events that match.
#[derive(Debug, Default)]
pub(super) struct EventQuery {
    pub(super) filter: Filter,
    pub(super) count: bool,
}

/// Reads a query of the list of events.
pub(super) fn events(query: Option<&str>) -> Result<Query<EventQuery>, String> {
    list(
        query,
        &format!("{}, order, count", Filter::FIELDS),
        |query: &mut EventQuery, name, value| match name {
            "count" => {
                query.count = yes_or_no(value).map_err(of(name))?;
                Ok(true)
            }
            "order" => {
                query.filter.order = match value {
                    "asc" => Order::OldestFirst,
                    "desc" => Order::NewestFirst,
                    _ => return Err("order: use asc or desc".to_owned()),
                };
                Ok(true)
            }
            _ => query.filter.set(name, value),
        },
    )
}

/// Reads a query of the audit log.
pub(super) fn audit(query: Option<&str>) -> Result<Query<AuditFilter>, String> {
    list(
        query,
        "actor, event, since, until",
        |filter: &mut AuditFilter, name, value| {
            match name {
                "actor" => filter.actor = Some(value.to_owned()),
                "event" => {
                    let id = value.parse();
                    filter.event = Some(id.map_err(|_| "event: use an event's id".to_owned())?);
                }
                "since" => filter.since = Some(time(value).map_err(of(name))?),
                "until" => filter.until = Some(time(value).map_err(of(name))?),
                _ => return Ok(false),
            }
            Ok(true)
        },
    )
}

/// Reads a query of the list of expected sessions.
pub(super) fn sessions(
    query: Option<&str>,
    now: Timestamp,
) -> Result<Query<ExpectedFilter>, String> {
    list(
        query,
        "state, provider, overdue",
        |filter: &mut ExpectedFilter, name, value| {
            match name {
                "state" => filter.state = Some(value.parse().map_err(of(name))?),
                "provider" => filter.provider = Some(text(name, value)?),
                "overdue" => filter.overdue_at = yes_or_no(value).map_err(of(name))?.then_some(now),
                _ => return Ok(false),
            }
            Ok(true)
        },
    )
}

/// Reads `fields`, limit and cursor. `set` sets one field, and returns `false` if there is no field of this name. An
/// error names the parameter and what is allowed.
fn list<F: Default>(
    query: Option<&str>,
    fields: &str,
    set: impl Fn(&mut F, &str, &str) -> Result<bool, String>,
) -> Result<Query<F>, String> {
    let mut found = Query {
        filter: F::default(),
        limit: DEFAULT_LIMIT.get(),
        cursor: None,
    };
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "limit" => found.limit = limit(&value)?,
            "cursor" => found.cursor = Some(cursor(&value)?),
            _ if set(&mut found.filter, &name, &value)? => {}
            _ => return Err(unknown(&name, &format!("{fields}, limit, cursor"))),
        }
    }
    Ok(found)
}

/// The longest wait for a session's end.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Reads a query of `wait` only.
pub(super) fn wait(query: Option<&str>) -> Result<Duration, String> {
    let mut found = Duration::ZERO;
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "wait" => {
                found = value
                    .strip_suffix('s')
                    .and_then(|seconds| seconds.parse().ok())
                    .map(Duration::from_secs)
                    .filter(|wait| *wait <= LONGEST_WAIT)
                    .ok_or("wait: use whole seconds from 0s to 60s, such as 30s")?;
            }
            _ => return Err(unknown(&name, "wait")),
        }
    }
    Ok(found)
}

/// The default number of the history's minutes, and the limit.
const MINUTES: (usize, usize) = (60, 1440);

/// Reads a query of `minutes` only.
pub(super) fn minutes(query: Option<&str>) -> Result<usize, String> {
    let (mut found, most) = MINUTES;
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "minutes" => {
                let minutes = value.parse().ok();
                found = minutes
                    .filter(|minutes| (1..=most).contains(minutes))
                    .ok_or_else(|| format!("minutes: use a number from 1 to {most}"))?;
            }
            _ => return Err(unknown(&name, "minutes")),
        }
    }
    Ok(found)
}

/// Reads a query of `limit` only.
pub(super) fn only_limit(query: Option<&str>) -> Result<usize, String> {
    let mut found = DEFAULT_LIMIT.get();
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "limit" => found = limit(&value)?,
            _ => return Err(unknown(&name, "limit")),
        }
    }
    Ok(found)
}

/// A number of entries.
///
/// # Errors
/// When the text is not a number within the limit.
pub(super) fn limit(text: &str) -> Result<usize, String> {
    const RANGE: RangeInclusive<usize> = 1..=MAX_LIMIT;
    usize::from_str(text)
        .ok()
        .filter(|limit| RANGE.contains(limit))
        .ok_or_else(|| format!("limit: use a number from 1 to {MAX_LIMIT}"))
}

fn cursor(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| "cursor: use the next_cursor of an earlier page, as it is".to_owned())
}

/// The parameters, each at most once.
fn pairs(query: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if pairs.iter().any(|(known, _)| *known == name) {
            return Err(format!("{name}: is given twice"));
        }
        pairs.push((name.into_owned(), value.into_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventState, Outcome};

    #[test]
    fn every_field_is_read() {
        let query = "state=dead&outcome=timed_out&session_id=a%26b&encounter_id=e&since=2025-01-01T00%3A00%3A00Z\
                     &until=2025-01-02T00:00:00%2B01:00&limit=500&cursor=7";
        let Query {
            filter: EventQuery { filter, count },
            limit,
            cursor,
        } = events(Some(query)).expect("is right");
        assert!(!count);
        assert_eq!(filter.states, [EventState::Dead]);
        assert_eq!(filter.outcome, Some(Outcome::TimedOut));
        assert_eq!(filter.session_id.as_deref(), Some("a&b"));
        assert_eq!(filter.encounter_id.as_deref(), Some("e"));
        let shown = |time: Option<Timestamp>| time.map(|time| time.to_string());
        assert_eq!(shown(filter.since).as_deref(), Some("2025-01-01T00:00:00Z"));
        assert_eq!(shown(filter.until).as_deref(), Some("2025-01-01T23:00:00Z"));
        assert_eq!((limit, cursor), (500, Some(7)));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (query, words) in [
            ("state=lost", ["state:", "quarantined"]),
            ("outcome=", ["outcome:", "timed_out"]),
            ("session_id=", ["session_id:", "leave it out"]),
            ("since=yesterday", ["since:", "RFC 3339"]),
            ("limit=0", ["limit:", "from 1 to 500"]),
            ("limit=501", ["limit:", "from 1 to 500"]),
            ("cursor=x", ["cursor:", "next_cursor"]),
            ("stat=dead", ["'stat'", "encounter_id"]),
            ("limit=1&limit=2", ["limit:", "twice"]),
        ] {
            let problem = events(Some(query)).expect_err(query);
            for word in words {
                assert!(problem.contains(word), "{query}: {problem}");
            }
        }
    }
}
