//! Which events to list, replay or export: the fields of a filter by name, the same in a query, in a body, on the command
//! line and in a stored replay job.

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value};

use crate::domain::{Cause, DeliveryState, EventState, Outcome, SessionKind, Source};

/// What to list, and in which order. An empty filter lists all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; in any where there is none.
    pub states: Vec<EventState>,
    /// How the session ended.
    pub outcome: Option<Outcome>,
    /// How the event came in.
    pub source: Option<Source>,
    /// Of which kind the session was.
    pub kind: Option<SessionKind>,
    /// What it did not succeed for, itself or one of its deliveries.
    pub cause: Option<Cause>,
    /// Which sink it is, was or failed to be delivered to.
    pub sink: Option<String>,
    /// Where its delivery to that sink stands, or to any where no sink is named.
    pub delivery: Option<DeliveryState>,
    /// Whether it was sent too long before.
    pub stale: Option<bool>,
    /// The vendor's error code.
    pub error_code: Option<String>,
    /// The session.
    pub session_id: Option<String>,
    /// The session's encounter.
    pub encounter_id: Option<String>,
    /// Received at this time or later.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Which come first.
    pub order: Order,
}

/// Which events come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    #[default]
    NewestFirst,
    /// The oldest.
    OldestFirst,
}

impl Filter {
    /// The names of its fields, the order aside.
    pub const FIELDS: &str = "state, outcome, source, kind, cause, sink, delivery, stale, error_code, session_id, \
                              encounter_id, since, until";

    /// Events in this state.
    pub fn of_state(state: EventState) -> Self {
        Self {
            states: vec![state],
            ..Self::default()
        }
    }

    /// Events of this session.
    pub fn of_session(session_id: impl Into<String>) -> Self {
        Self {
            session_id: Some(session_id.into()),
            ..Self::default()
        }
    }

    /// Whether it is to list everything.
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                order: self.order,
                ..Self::default()
            }
    }

    /// Sets one field; `false` where there is none of this name.
    ///
    /// # Errors
    /// Names the field and what it takes.
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

    /// Its fields that are set, with their values in words.
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

    /// The same as a JSON object of strings.
    pub fn to_json(&self) -> Value {
        let fields = self.fields().into_iter();
        Value::Object(
            fields
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
        )
    }

    /// A filter from such an object. A field that is null is not set.
    ///
    /// # Errors
    /// Names the field and what it takes.
    pub fn from_json(fields: &Map<String, Value>) -> Result<Self, String> {
        let mut filter = Self::default();
        for (name, value) in fields {
            let value = match value {
                Value::Null => continue,
                Value::String(value) => value.clone(),
                Value::Bool(value) if name == "stale" => value.to_string(),
                _ => return Err(format!("{name}: use a string")),
            };
            if !filter.set(name, &value)? {
                return Err(unknown(name, Self::FIELDS));
            }
        }
        Ok(filter)
    }
}

/// What a name is refused with.
pub fn unknown(name: &str, allowed: &str) -> String {
    format!("'{name}' is not known here; use {allowed}")
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

/// An id or a name. An empty value is more likely a script's unset variable than a wish for everything.
///
/// # Errors
/// Where it is empty.
pub fn text(name: &str, value: &str) -> Result<String, String> {
    if value.is_empty() {
        return Err(format!("{name}: is empty; give an id or leave it out"));
    }
    Ok(value.to_owned())
}

/// Names the field before a problem with its value.
pub fn of(name: &str) -> impl Fn(String) -> String {
    move |problem| format!("{name}: {problem}")
}

fn kind(word: &str) -> Result<SessionKind, String> {
    let kind = SessionKind::from_word(word);
    if kind == SessionKind::Unknown && word != "unknown" {
        return Err(format!(
            "unknown kind '{word}'; expected one of ambient, form_filling, unknown"
        ));
    }
    Ok(kind)
}

/// A word for yes or no.
///
/// # Errors
/// Says which there are.
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
