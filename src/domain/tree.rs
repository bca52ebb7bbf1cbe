//! JSON as a tree over the text that it was read from. Nothing is copied, and nothing is read beyond the grammar until it
//! is asked for, so what stands beside it may be anything that is JSON.
//!
//! A notification is read by this and not into [`serde_json::Value`], which took a third of the time that the service had
//! for it, and which knows no half of a surrogate pair.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Visitor};

/// How deep a value may stand within others to be part of the tree: as deep as `serde_json` reads.
const DEPTH: usize = 127;

/// One value.
pub(super) enum Tree<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number, `true`, `false` or `null`, as written.
    Plain(&'a str),
    /// A list.
    List(Vec<Self>),
    /// An object's fields, in the order in which they stand.
    Object(Vec<(Text<'a>, Self)>),
    /// A list or an object that stands too deep to be looked into.
    TooDeep,
}

/// A string as written, between its quotes.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    /// With the quotes.
    quoted: &'a str,
    is_escaped: bool,
}

/// What has no canonical form.
#[derive(Debug)]
pub(super) struct NoCanonicalForm;

impl<'a> Tree<'a> {
    /// The tree of `json`.
    ///
    /// # Errors
    /// Where it is no JSON.
    pub(super) fn of(json: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<IgnoredAny>(json)?;
        let mut reader = Reader { json, at: 0 };
        // It is JSON, so there is a value.
        Ok(reader.value(DEPTH).unwrap_or(Self::TooDeep))
    }

    /// The value of a field of an object. Of a field that is repeated the last one counts.
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

    /// The items of a list; a single value is taken for a list of one, as HAL allows it to stand for one.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            single => std::slice::from_ref(single),
        }
    }

    /// What a string says; `None` for any other value.
    pub(super) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.read()),
            Self::Plain(_) | Self::List(_) | Self::Object(_) | Self::TooDeep => None,
        }
    }

    /// Writes the canonical form: keys sorted, of repeated ones the last, no white space, strings as `serde_json` writes
    /// them, numbers as they are but for the exponent's sign. It must stay as it is, since keys in stores were made of it.
    ///
    /// # Errors
    /// Where a string is not made of characters, or the tree ends for its depth.
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
                    sorted.push((name.strictly()?, name, value));
                }
                sorted.sort_by(|(one, ..), (other, ..)| one.cmp(other));
                out.push(b'{');
                let mut is_first = true;
                for (place, (key, name, value)) in sorted.iter().enumerate() {
                    if sorted.get(place + 1).is_some_and(|(next, ..)| next == key) {
                        // It is not part of the form, but has to have one.
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
    /// What it says. What is no character (half of a surrogate pair) and what no database keeps in a text (U+0000)
    /// becomes U+FFFD.
    pub(super) fn read(self) -> Cow<'a, str> {
        if !self.is_escaped {
            return Cow::Borrowed(self.plain());
        }
        let Lossy(text) = serde_json::from_str(self.quoted).unwrap_or_default();
        Cow::Owned(text)
    }

    /// What it says, where it is made of characters.
    fn strictly(self) -> Result<Cow<'a, str>, NoCanonicalForm> {
        if !self.is_escaped {
            return Ok(Cow::Borrowed(self.plain()));
        }
        serde_json::from_str(self.quoted)
            .map(Cow::Owned)
            .map_err(|_| NoCanonicalForm)
    }

    /// A string without escapes is written in one way only.
    fn write_canonical(self, out: &mut Vec<u8>) -> Result<(), NoCanonicalForm> {
        if self.is_escaped {
            serde_json::to_writer(out, &self.strictly()?).map_err(|_| NoCanonicalForm)
        } else {
            out.extend_from_slice(self.quoted.as_bytes());
            Ok(())
        }
    }

    fn plain(self) -> &'a str {
        &self.quoted[1..self.quoted.len() - 1]
    }
}

/// Writes what is no string, list or object. `1E5` and `1e+5` are written as the latter, all other numbers as they are.
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

/// Goes through text that is known to be JSON. `None` where it is not, which does not happen.
struct Reader<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The value that begins here, and what stands `depth` deep within it.
    fn value(&mut self, depth: usize) -> Option<Tree<'a>> {
        Some(match self.peek()? {
            b'"' => Tree::Text(self.string()?),
            b'[' | b'{' if depth == 0 => {
                self.pass_over()?;
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

    /// The next byte that is no white space, which is not passed over.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.json.as_bytes().get(self.at..)?;
        self.at += rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))?;
        self.json.as_bytes().get(self.at).copied()
    }

    /// Whether one more follows before `end`. Passes over the comma or the end.
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

    /// Passes over a list or an object without a call within a call.
    fn pass_over(&mut self) -> Option<()> {
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

/// A string that need not be made of characters.
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
        // As bytes: as a string it would have to be made of characters.
        deserializer.deserialize_bytes(Read)
    }
}

#[cfg(test)]
mod tests;
