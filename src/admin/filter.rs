//! What to list: the names, values and limits of filters, the same in a query, in a body and on the command line.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use url::form_urlencoded;

use crate::journal::{ExpectedFilter, Filter};

/// The fields of a filter.
pub const FIELDS: &str = "state, outcome, session_id, encounter_id, since, until";
/// Entries of a page where the caller does not say.
pub const DEFAULT_LIMIT: usize = 50;
/// Most entries of a page.
pub const MAX_LIMIT: usize = 500;

/// A query of a list.
#[derive(Debug)]
pub(super) struct Query<F> {
    pub(super) filter: F,
    pub(super) limit: usize,
    pub(super) cursor: Option<i64>,
}

/// Reads a query of the list of events.
pub(super) fn events(query: Option<&str>) -> Result<Query<Filter>, String> {
    list(query, FIELDS, set)
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
                "overdue" => match value {
                    "true" => filter.overdue_at = Some(now),
                    "false" => filter.overdue_at = None,
                    _ => return Err("overdue: use true or false".to_owned()),
                },
                _ => return Ok(false),
            }
            Ok(true)
        },
    )
}

/// Reads `fields`, limit and cursor. `set` sets one field; `false` where there is none of this name. What is wrong is named,
/// with what is allowed.
fn list<F: Default>(
    query: Option<&str>,
    fields: &str,
    set: impl Fn(&mut F, &str, &str) -> Result<bool, String>,
) -> Result<Query<F>, String> {
    let mut found = Query {
        filter: F::default(),
        limit: DEFAULT_LIMIT,
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

/// Longest wait for a session's end.
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

/// Reads a query of `limit` only.
pub(super) fn only_limit(query: Option<&str>) -> Result<usize, String> {
    let mut found = DEFAULT_LIMIT;
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "limit" => found = limit(&value)?,
            _ => return Err(unknown(&name, "limit")),
        }
    }
    Ok(found)
}

/// Sets one field of a filter; `false` where there is none of this name.
///
/// # Errors
/// Names the field and what it takes.
pub(super) fn set(filter: &mut Filter, name: &str, value: &str) -> Result<bool, String> {
    match name {
        "state" => filter.state = Some(value.parse().map_err(of(name))?),
        "outcome" => filter.outcome = Some(value.parse().map_err(of(name))?),
        "session_id" => filter.session_id = Some(text(name, value)?),
        "encounter_id" => filter.encounter_id = Some(text(name, value)?),
        "since" => filter.since = Some(time(value).map_err(of(name))?),
        "until" => filter.until = Some(time(value).map_err(of(name))?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// A moment as people and programs write it.
///
/// # Errors
/// Says how to write one.
pub fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, Timestamp::now())
}

/// RFC 3339, a day (from its start, UTC), or how long ago.
fn time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let day = text.parse::<Date>().ok();
    let day = day.and_then(|day| format!("{day}T00:00:00Z").parse().ok());
    // A day is 24 hours long here, which jiff leaves open.
    let ago = || {
        let mut total = SignedDuration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
            let (unit, tail) = tail.split_at(
                tail.find(|c: char| c.is_ascii_digit())
                    .unwrap_or(tail.len()),
            );
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 24 * 3600,
                "w" => 7 * 24 * 3600,
                _ => return None,
            };
            let part = number.parse::<i64>().ok()?.checked_mul(seconds)?;
            total = total.checked_add(SignedDuration::from_secs(part))?;
            rest = tail;
        }
        now.checked_sub(total).ok()
    };
    day.or_else(|| (!text.is_empty()).then(ago).flatten()).ok_or_else(|| {
        format!(
            "invalid time '{text}'; expected how long ago (90m, 24h, 7d), a day (2026-11-25) or RFC 3339, such as \
             2026-11-25T12:00:00Z (in a URL write + as %2B)"
        )
    })
}

/// A number of entries.
///
/// # Errors
/// Says how many there may be.
pub(super) fn limit(text: &str) -> Result<usize, String> {
    const RANGE: RangeInclusive<usize> = 1..=MAX_LIMIT;
    usize::from_str(text)
        .ok()
        .filter(|limit| RANGE.contains(limit))
        .ok_or_else(|| format!("limit: use a number from 1 to {MAX_LIMIT}"))
}

/// What a name is refused with.
pub(super) fn unknown(name: &str, allowed: &str) -> String {
    format!("'{name}' is not known here; use {allowed}")
}

fn cursor(text: &str) -> Result<i64, String> {
    text.parse()
        .map_err(|_| "cursor: use the next_cursor of an earlier page, as it is".to_owned())
}

/// An empty value is more likely a script's unset variable than a wish for everything.
fn text(name: &str, value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err(format!("{name}: is empty; give an id or leave it out"));
    }
    Ok(value.to_owned())
}

fn of(name: &str) -> impl Fn(String) -> String {
    move |problem| format!("{name}: {problem}")
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
        let found = events(Some(query)).expect("is right");
        assert_eq!(found.filter.state, Some(EventState::Dead));
        assert_eq!(found.filter.outcome, Some(Outcome::TimedOut));
        assert_eq!(found.filter.session_id.as_deref(), Some("a&b"));
        assert_eq!(found.filter.encounter_id.as_deref(), Some("e"));
        let shown = |time: Option<Timestamp>| time.map(|time| time.to_string());
        assert_eq!(
            shown(found.filter.since).as_deref(),
            Some("2025-01-01T00:00:00Z")
        );
        assert_eq!(
            shown(found.filter.until).as_deref(),
            Some("2025-01-01T23:00:00Z")
        );
        assert_eq!((found.limit, found.cursor), (500, Some(7)));
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
