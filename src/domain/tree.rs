//! A JSON tree that borrows from its source text. Nothing is copied, and strings are decoded only on access, so all
//! other parts may be anything that the JSON grammar allows.
//!
//! Notifications are parsed into this and not into [`serde_json::Value`], which took a third of the service's time for
//! a notification, and which rejects half of a surrogate pair.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};

/// The deepest nesting that is part of the tree: the same as in `serde_json`.
const DEPTH: usize = 127;

/// A JSON value.
pub(super) enum Tree<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number, `true`, `false` or `null`, as written.
    Plain(&'a str),
    /// An array.
    List(Vec<Self>),
    /// An object's fields, in their order.
    Object(Vec<(Text<'a>, Self)>),
    /// An array or object that is nested too deeply to be read.
    TooDeep,
}

/// A string as written.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    /// The string with its quotes.
    quoted: &'a str,
    is_escaped: bool,
}

/// The value has no canonical form.
#[derive(Debug)]
pub(super) struct NoCanonicalForm;

impl<'a> Tree<'a> {
    /// Parses `json`.
    ///
    /// # Errors
    /// If it is not JSON.
    pub(super) fn of(json: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<IgnoredAny>(json)?;
        let mut reader = Reader { json, at: 0 };
        // It was found to be JSON, so there is a value.
        Ok(reader.value(DEPTH).unwrap_or(Self::TooDeep))
    }

    /// A field's value, for an object. If the field is repeated, the last one counts.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let mut fields = self.fields()?.iter().rev();
        fields
            .find(|(known, _)| known.read() == name)
            .map(|(_, value)| value)
    }

    /// The fields of an object; `None` for any other value.
    pub(super) fn fields(&self) -> Option<&[(Text<'a>, Self)]> {
        match self {
            Self::Object(fields) => Some(fields),
            Self::Text(_) | Self::Plain(_) | Self::List(_) | Self::TooDeep => None,
        }
    }

    /// The items of an array. A single value counts as an array of one, as HAL allows.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            single => std::slice::from_ref(single),
        }
    }

    /// A string's value; `None` for any other value.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.read()),
            Self::Plain(_) | Self::List(_) | Self::Object(_) | Self::TooDeep => None,
        }
    }

    /// Writes the canonical form: keys sorted, only the last of repeated keys, no white space, strings as `serde_json`
    /// writes them, numbers as they are except for the exponent's sign. It must never change, because stored
    /// deduplication keys were made from it.
    ///
    /// # Errors
    /// If a string is not valid Unicode, or the value is nested too deeply.
    pub(super) fn write_canonical(&self, out: &mut Vec<u8>) -> Result<(), NoCanonicalForm> {
        match self {
            Self::Text(text) => text.write_canonical(out)?,
            Self::Plain(plain) => write_plain(plain, out),
            Self::List(items) => {
                out.push(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    item.write_canonical(out)?;
                }
                out.push(b']');
            }
            Self::Object(fields) => {
                let mut sorted = Vec::with_capacity(fields.len());
                for (name, value) in fields {
                    sorted.push((name.decode_strict()?, name, value));
                }
                sorted.sort_by(|(one, ..), (other, ..)| one.cmp(other));
                out.push(b'{');
                let mut is_first = true;
                for (place, (key, name, value)) in sorted.iter().enumerate() {
                    if sorted.get(place + 1).is_some_and(|(next, ..)| next == key) {
                        // A repeated key is left out, but its value must have a canonical form.
                        let end = out.len();
                        value.write_canonical(out)?;
                        out.truncate(end);
                        continue;
                    }
                    if !std::mem::take(&mut is_first) {
                        out.push(b',');
                    }
                    name.write_canonical(out)?;
                    out.push(b':');
                    value.write_canonical(out)?;
                }
                out.push(b'}');
            }
            Self::TooDeep => return Err(NoCanonicalForm),
        }
        Ok(())
    }
}

impl<'a> Text<'a> {
    /// The decoded string. Half of a surrogate pair, and U+0000, which databases do not store in text, become U+FFFD.
    pub(super) fn read(self) -> Cow<'a, str> {
        if !self.is_escaped {
            return Cow::Borrowed(self.plain());
        }
        let Lossy(text) = serde_json::from_str(self.quoted).unwrap_or_default();
        Cow::Owned(text)
    }

    /// The decoded string, if it is valid Unicode.
    fn decode_strict(self) -> Result<Cow<'a, str>, NoCanonicalForm> {
        if !self.is_escaped {
            return Ok(Cow::Borrowed(self.plain()));
        }
        serde_json::from_str(self.quoted)
            .map(Cow::Owned)
            .map_err(|_| NoCanonicalForm)
    }

    /// Writes the canonical form. A string without escapes has only one form.
    fn write_canonical(self, out: &mut Vec<u8>) -> Result<(), NoCanonicalForm> {
        if self.is_escaped {
            serde_json::to_writer(out, &self.decode_strict()?).map_err(|_| NoCanonicalForm)
        } else {
            out.extend_from_slice(self.quoted.as_bytes());
            Ok(())
        }
    }

    fn plain(self) -> &'a str {
        &self.quoted[1..self.quoted.len() - 1]
    }
}

/// Writes a number, `true`, `false` or `null`. The exponent is written as in `1e+5`, also for `1E5`; the rest of a
/// number stays as it is.
fn write_plain(plain: &str, out: &mut Vec<u8>) {
    let exponent = match plain.find(['e', 'E']) {
        Some(place) if !plain.starts_with(['t', 'f']) => place,
        _ => return out.extend_from_slice(plain.as_bytes()),
    };
    out.extend_from_slice(&plain.as_bytes()[..exponent]);
    out.push(b'e');
    let power = &plain[exponent + 1..];
    if !power.starts_with(['+', '-']) {
        out.push(b'+');
    }
    out.extend_from_slice(power.as_bytes());
}

/// A parser for text that is known to be JSON. Its methods return `None` on invalid text, which does not occur.
struct Reader<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Parses the next value, up to `depth` levels of nesting.
    fn value(&mut self, depth: usize) -> Option<Tree<'a>> {
        Some(match self.peek()? {
            b'"' => Tree::Text(self.string()?),
            b'[' | b'{' if depth == 0 => {
                self.skip()?;
                Tree::TooDeep
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while self.is_more(b']')? {
                    items.push(self.value(depth - 1)?);
                }
                Tree::List(items)
            }
            b'{' => {
                self.at += 1;
                let mut fields = Vec::new();
                while self.is_more(b'}')? {
                    self.peek()?;
                    let name = self.string()?;
                    // The colon.
                    self.peek()?;
                    self.at += 1;
                    fields.push((name, self.value(depth - 1)?));
                }
                Tree::Object(fields)
            }
            _ => Tree::Plain(self.plain()?),
        })
    }

    /// Skips white space and returns the next byte without consuming it.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.json.as_bytes().get(self.at..)?;
        self.at += rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.json.as_bytes().get(self.at).copied()
    }

    /// Whether another item follows before `end`. Consumes the comma or `end`.
    fn is_more(&mut self, end: u8) -> Option<bool> {
        let next = self.peek()?;
        if next == end || next == b',' {
            self.at += 1;
        }
        Some(next != end)
    }

    fn string(&mut self) -> Option<Text<'a>> {
        let start = self.at;
        let (bytes, mut is_escaped) = (self.json.as_bytes(), false);
        self.at += 1;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', bytes.get(self.at..)?)?;
            if bytes[self.at] == b'"' {
                break;
            }
            is_escaped = true;
            self.at += 2;
        }
        self.at += 1;
        Some(Text {
            quoted: self.json.get(start..self.at)?,
            is_escaped,
        })
    }

    fn plain(&mut self) -> Option<&'a str> {
        let rest = self.json.get(self.at..)?;
        let is_end = |c: char| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
        let plain = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        self.at += plain.len();
        Some(plain)
    }

    /// Skips an array or object without recursion.
    fn skip(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match self.json.as_bytes().get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'{' => open += 1,
                b']' | b'}' => open -= 1,
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Some(());
            }
        }
    }
}

/// A decoded string in which invalid Unicode was replaced.
#[derive(Default)]
struct Lossy(String);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Lossy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Lossy, E> {
                Ok(Lossy(
                    String::from_utf8_lossy(bytes).replace('\0', "\u{FFFD}"),
                ))
            }
        }
        // Deserializes bytes, because a string would have to be valid Unicode.
        deserializer.deserialize_bytes(Read)
    }
}

#[cfg(test)]
mod tests;
