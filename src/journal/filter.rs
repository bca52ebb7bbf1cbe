//! The filter for listing, replaying or exporting events. Its fields have the same names in a query string, in a JSON
//! body, on the command line and in a stored replay job.

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::domain::{Cause, DeliveryState, EventState, Outcome, SessionKind, Source};

/// Which events to list, and in which order. An empty filter lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; in any state if the list is empty.
    pub states: Vec<EventState>,
    /// How the session ended.
    pub outcome: Option<Outcome>,
    /// How the event entered the service.
    pub source: Option<Source>,
    /// The kind of session.
    pub kind: Option<SessionKind>,
    /// The cause for which the event or one of its deliveries failed.
    pub cause: Option<Cause>,
    /// A sink to which it is to be delivered, was delivered or could not be delivered.
    pub sink: Option<String>,
    /// The state of its delivery to that sink, or to any sink if none is named.
    pub delivery: Option<DeliveryState>,
    /// Whether the notification was stale.
    pub stale: Option<bool>,
    /// The vendor's error code.
    pub error_code: Option<String>,
    /// The session.
    pub session_id: Option<String>,
    /// The encounter.
    pub encounter_id: Option<String>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// The order.
    pub order: Order,
}

/// The order of a list of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    #[default]
    NewestFirst,
    /// The oldest.
    OldestFirst,
}

impl Filter {
    /// The names of all fields but the order.
    pub const FIELDS: &str = "state, outcome, source, kind, cause, sink, delivery, stale, error_code, session_id, \
                              encounter_id, since, until";

    /// Lists the events in this state.
    pub fn of_state(state: EventState) -> Self {
        Self {
            states: vec![state],
            ..Self::default()
        }
    }

    /// Lists the events of this session.
    pub fn of_session(session_id: impl Into<String>) -> Self {
        Self {
            session_id: Some(session_id.into()),
            ..Self::default()
        }
    }

    /// Whether no field is set.
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                order: self.order,
                ..Self::default()
            }
    }

    /// Sets one field. Returns `false` when there is no field of this name.
    ///
    /// # Errors
    /// The error names the field and the values that it takes.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "state" => {
                let states = value.split(',').map(|word| word.trim().parse());
                self.states = states.collect::<Result<_, _>>().map_err(of(name))?;
            }
            "outcome" => self.outcome = Some(value.parse().map_err(of(name))?),
            "source" => self.source = Some(value.parse().map_err(of(name))?),
            "kind" => self.kind = Some(kind(value).map_err(of(name))?),
            "cause" => self.cause = Some(value.parse().map_err(of(name))?),
            "sink" => self.sink = Some(text(name, value)?),
            "delivery" => self.delivery = Some(value.parse().map_err(of(name))?),
            "stale" => self.stale = Some(yes_or_no(value).map_err(of(name))?),
            "error_code" => self.error_code = Some(text(name, value)?),
            "session_id" => self.session_id = Some(text(name, value)?),
            "encounter_id" => self.encounter_id = Some(text(name, value)?),
            "since" => self.since = Some(time(value).map_err(of(name))?),
            "until" => self.until = Some(time(value).map_err(of(name))?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The fields that are set, with their values as text.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let words: Vec<&str> = self.states.iter().map(|state| state.as_str()).collect();
        let states = (!words.is_empty()).then(|| words.join(","));
        [
            ("state", states),
            ("outcome", self.outcome.map(|it| it.to_string())),
            ("source", self.source.map(|it| it.to_string())),
            ("kind", self.kind.map(|it| it.as_str().to_owned())),
            ("cause", self.cause.map(|it| it.to_string())),
            ("sink", self.sink.clone()),
            ("delivery", self.delivery.map(|it| it.to_string())),
            ("stale", self.stale.map(|it| it.to_string())),
            ("error_code", self.error_code.clone()),
            ("session_id", self.session_id.clone()),
            ("encounter_id", self.encounter_id.clone()),
            ("since", self.since.map(|it| it.to_string())),
            ("until", self.until.map(|it| it.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// The filter as a JSON object of strings.
    pub fn to_json(&self) -> Value {
        let fields = self.fields().into_iter();
        Value::Object(
            fields
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    }

    /// Reads a filter from such an object. A field that is null is not set.
    ///
    /// # Errors
    /// The error names the field and the values that it takes.
    pub fn from_json(fields: &Map<String, Value>) -> Result<Self, String> {
        let mut filter = Self::default();
        for (name, value) in fields {
            if !Self::FIELDS.split(", ").any(|field| field == name) {
                return Err(unknown(name, Self::FIELDS));
            }
            let value = match value {
                Value::Null => continue,
                Value::String(value) => value.clone(),
                Value::Bool(value) if name == "stale" => value.to_string(),
                _ => return Err(format!("{name}: use a string")),
            };
            filter.set(name, &value)?;
        }
        Ok(filter)
    }
}

/// The error message for an unknown name.
pub fn unknown(name: &str, allowed: &str) -> String {
    format!("'{name}' is not known here; use {allowed}")
}

/// Parses a time as people and programs write it.
///
/// # Errors
/// The error says how to write one.
pub fn time(text: &str) -> Result<Timestamp, String> {
    time_at(text, Timestamp::now())
}

/// Parses RFC 3339, a date (its start in UTC), or an age.
fn time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let day = text.parse::<Date>().ok();
    let day = day.and_then(|day| format!("{day}T00:00:00Z").parse().ok());
    // jiff does not fix the length of a day; here it is 24 hours.
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

/// Checks an id or a name. An empty value is an error: it is more likely an unset variable in a script than a request
/// for everything.
///
/// # Errors
/// When it is empty.
pub fn text(name: &str, value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err(format!("{name}: is empty; give an id or leave it out"));
    }
    Ok(value.to_owned())
}

/// Puts the field's name in front of a problem with its value.
pub fn of(name: &str) -> impl Fn(String) -> String {
    move |problem| format!("{name}: {problem}")
}

fn kind(word: &str) -> Result<SessionKind, String> {
    word.parse()
}

/// Parses `true` or `false`.
///
/// # Errors
/// The error names both words.
pub fn yes_or_no(word: &str) -> Result<bool, String> {
    match word {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("use true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_as_it_was_written() {
        let fields = [
            ("state", "dead,quarantined"),
            ("outcome", "failed"),
            ("source", "reconcile"),
            ("kind", "form_filling"),
            ("cause", "deliver.timeout"),
            ("sink", "ehr"),
            ("delivery", "dead"),
            ("stale", "true"),
            ("error_code", "E1"),
            ("session_id", "s, 1"),
            ("encounter_id", "e"),
            ("since", "2026-11-25T12:00:00Z"),
            ("until", "2026-11-26T12:00:00Z"),
        ];
        let mut filter = Filter::default();
        for (name, value) in fields {
            assert!(filter.set(name, value).expect(name), "{name}");
        }
        assert_eq!(
            filter.fields(),
            fields.map(|(name, value)| (name, value.to_owned()))
        );
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.join(", "), Filter::FIELDS);
        let Value::Object(json) = filter.to_json() else {
            panic!("no object");
        };
        assert_eq!(Filter::from_json(&json), Ok(filter));
    }

    #[test]
    fn yes_and_no_are_no_words_of_another_field() {
        let from = |json: Value| Filter::from_json(json.as_object().expect("an object"));
        let stale = from(serde_json::json!({"stale": true})).expect("is right");
        assert_eq!(stale.stale, Some(true));
        assert!(from(serde_json::json!({"sink": false})).is_err());
        for json in [serde_json::json!({"x": 1}), serde_json::json!({"x": null})] {
            let why = from(json).expect_err("there is no such field");
            assert!(why.contains("'x' is not known here"), "{why}");
        }
    }

    #[test]
    fn a_time_may_be_a_day_or_how_long_ago() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
        let shown = |text: &str| time_at(text, now).expect(text).to_string();
        assert_eq!(shown("90m"), "2026-11-25T10:30:00Z");
        assert_eq!(shown("1d2h"), "2026-11-24T10:00:00Z");
        assert_eq!(shown("2026-11-01"), "2026-11-01T00:00:00Z");
        assert!(time_at("soon", now).is_err());
    }
}
