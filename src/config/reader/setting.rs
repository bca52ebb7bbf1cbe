//! The types that a key's value can have: how each is read from a tree and shown as TOML.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::dump::quoted;
use super::duration;
use super::tree::Value;
use crate::domain::{LinkGroup, Outcome};

/// A type that a key's value can have. A secret must not be one: errors may show the value, and [`Setting::show`] does.
pub(in crate::config) trait Setting: Sized {
    /// Parses the value. The error says what is wrong and what is allowed.
    fn parse(value: &Value) -> Result<Self, String>;

    /// The value as TOML.
    fn show(&self) -> String;

    /// The whole value, if [`Self::show`] leaves a part of it out.
    fn hidden(&self) -> Option<String> {
        None
    }
}

/// A setting whose value is one of a few words.
pub(in crate::config) trait Word: Copy + 'static {
    /// All values.
    const ALL: &'static [Self];

    /// The word for a value.
    fn word(self) -> &'static str;
}

/// A number of bytes: an integer, or a string with `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct ByteSize(pub(in crate::config) usize);

/// A share, from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Ratio(pub(in crate::config) f64);

impl Setting for String {
    fn parse(value: &Value) -> Result<Self, String> {
        value.text().map(str::to_owned)
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn parse(value: &Value) -> Result<Self, String> {
        match value.text()? {
            "" => Err("must not be empty; use a path".to_owned()),
            path => Ok(Self::from(path)),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for SocketAddr {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = value.text()?;
        text.parse().map_err(|_| {
            format!("invalid address with port '{text}'; expected one such as 0.0.0.0:8080 or [::1]:8080")
        })
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for Url {
    fn parse(value: &Value) -> Result<Self, String> {
        // The text is not shown, because it may contain credentials.
        Self::parse(value.text()?).map_err(|error| {
            format!("invalid address ({error}); expected one such as https://host.example/path")
        })
    }

    /// Shows the address without its query, which may contain a token.
    fn show(&self) -> String {
        let mut shown = self.clone();
        if shown.query().is_some() {
            shown.set_query(Some("[redacted]"));
        }
        quoted(shown.as_str())
    }

    fn hidden(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for Duration {
    fn parse(value: &Value) -> Result<Self, String> {
        duration::parse(
            value.text().map_err(|found| {
                format!("{found}; use a duration with its unit, such as \"5s\"")
            })?,
        )
    }

    fn show(&self) -> String {
        quoted(&duration::show(*self))
    }
}

impl Setting for bool {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Ok(*value),
            Value::Text(text) if text.trim() == "true" => Ok(true),
            Value::Text(text) if text.trim() == "false" => Ok(false),
            other => Err(format!("expected true or false, found {}", other.kind())),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn parse(value: &Value) -> Result<Self, String> {
        not_negative(value.integer()?)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    fn parse(value: &Value) -> Result<Self, String> {
        not_negative(value.integer()?)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Ratio {
    fn parse(value: &Value) -> Result<Self, String> {
        let ratio = match value {
            Value::Float(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            _ => None,
        };
        ratio
            .filter(|ratio| (0.0..=1.0).contains(ratio))
            .map(Self)
            .ok_or_else(|| "expected a number from 0.0 to 1.0".to_owned())
    }

    fn show(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl Setting for ByteSize {
    fn parse(value: &Value) -> Result<Self, String> {
        const UNITS: [(&str, usize); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        if let Ok(bytes) = value.integer() {
            return not_negative(bytes).map(Self);
        }
        let text = value
            .text()
            .map_err(|_| format!("expected a number of bytes, found {}", value.kind()))?;
        UNITS
            .into_iter()
            .find_map(|(unit, bytes)| {
                let number: usize = text.strip_suffix(unit)?.trim_end().parse().ok()?;
                number.checked_mul(bytes).map(Self)
            })
            .ok_or_else(|| {
                format!(
                    "invalid size '{text}'; expected bytes as a number, or \"512KiB\", \"1MiB\", \"1GiB\""
                )
            })
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl Setting for LinkGroup {
    fn parse(value: &Value) -> Result<Self, String> {
        match value.text()? {
            "" => Err("a link group must not be empty".to_owned()),
            name => Ok(Self::new(name)),
        }
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Word for Outcome {
    const ALL: &'static [Self] = Self::ALL;

    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl<T: Word> Setting for T {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = value.text()?;
        let found = T::ALL.iter().copied().find(|value| value.word() == text);
        found.ok_or_else(|| {
            let words: Vec<&str> = T::ALL.iter().map(|value| value.word()).collect();
            format!("'{text}' is not allowed; use {}", words.join(" or "))
        })
    }

    fn show(&self) -> String {
        quoted(self.word())
    }
}

/// A setting for which the empty string means `None`.
impl<T: Setting> Setting for Option<T> {
    fn parse(value: &Value) -> Result<Self, String> {
        match value.text() {
            Ok("") => Ok(None),
            _ => T::parse(value).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), T::show)
    }

    fn hidden(&self) -> Option<String> {
        self.as_ref().and_then(T::hidden)
    }
}

/// A list, which a variable or flag may also write with commas.
impl<T: Setting> Setting for Vec<T> {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| T::parse(&item.value)).collect(),
            Value::Text(text) if text.trim().is_empty() => Ok(Self::new()),
            Value::Text(text) => text
                .split(',')
                .map(|item| T::parse(&Value::Text(item.trim().to_owned())))
                .collect(),
            other => Err(format!("expected a list, found {}", other.kind())),
        }
    }

    fn show(&self) -> String {
        let items: Vec<String> = self.iter().map(T::show).collect();
        format!("[{}]", items.join(", "))
    }
}

fn not_negative<T: TryFrom<i64>>(number: i64) -> Result<T, String> {
    T::try_from(number).map_err(|_| format!("{number} is out of range; use 0 or more"))
}
