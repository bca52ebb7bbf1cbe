//! Checks of others' JSON: whether it is JSON by the grammar, how it can be passed on, and whether it holds any
//! content.
//!
//! The bytes are judged only by the grammar: lone surrogates, deep nesting, repeated keys and huge numbers are all
//! JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use super::tree::Tree;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// The bytes after a byte order mark, if they begin with one.
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BOM).unwrap_or(bytes)
}

/// Whether these bytes are one JSON value by the grammar. They need not be valid UTF-8, see [`readable`].
pub fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(without_bom(bytes)).is_ok()
}

/// JSON as text that can be embedded in other JSON, and whether it had to be repaired for that: invalid UTF-8 becomes
/// U+FFFD. Does not check that it is JSON.
pub fn readable(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let bytes = without_bom(bytes);
    // The common case, and much faster than the lossy conversion.
    match std::str::from_utf8(bytes) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (String::from_utf8_lossy(bytes), true),
    }
}

/// A hash of a JSON value that does not depend on key order and white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// The fingerprint of these bytes. Bytes without a canonical form, for instance because they are not JSON, are hashed
/// as they are.
pub fn fingerprint(bytes: &[u8]) -> Fingerprint {
    let (text, _) = readable(bytes);
    let mut form = Vec::with_capacity(text.len());
    let is_canonical = Tree::of(&text).is_ok_and(|tree| tree.write_canonical(&mut form).is_ok());
    let canonical = if is_canonical { &form[..] } else { bytes };
    Fingerprint(Sha256::digest(canonical).into())
}

/// Whether an answer holds no content: it is empty or `null`, or consists of objects and lists in which everything is
/// empty. Headings with their codes, and ids of what the answer belongs to, do not count as content.
pub fn is_empty_content(bytes: &[u8]) -> bool {
    // Reading ends at the first content, so an answer with content is an error here, as is one that is not JSON.
    is_nothing(bytes) || serde_json::from_slice::<Empty>(without_bom(bytes)).is_ok()
}

/// A JSON value without content.
struct Empty;

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// Whatever is not named here, such as a number, is content and therefore an error.
impl<'de> Visitor<'de> for Empty {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self, E> {
        if text.trim().is_empty() {
            Ok(self)
        } else {
            Err(E::custom("content"))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        const HEADINGS: [&str; 8] = [
            "title",
            "loinc_code",
            "source_transcripts",
            "id",
            "session_id",
            "ambient_session_id",
            "encounter_id",
            "status",
        ];
        while let Some(key) = fields.next_key::<String>()? {
            if HEADINGS.contains(&key.as_str()) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                fields.next_value::<Self>()?;
            }
        }
        Ok(self)
    }
}

/// Whether a body is empty: white space only, or `null`.
pub fn is_nothing(bytes: &[u8]) -> bool {
    matches!(without_bom(bytes).trim_ascii(), b"" | b"null")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn json_by_its_grammar_is_json_whatever_our_parser_makes_of_it() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let huge = format!("{{\"n\":{}}}", "9".repeat(5000));
        for json in [
            &b"{\"a\":\"\\ud800\"}"[..],
            b"{\"a\":\"\\udc00\\ud800\"}",
            b"{\"a\":1,\"a\":2}",
            b"{\"a\":1e999999}",
            b"{\"a\":\"caf\xE9\"}",
            b"\xEF\xBB\xBF {\"a\":1}\n",
            b"{\"$serde_json::private::Number\":\"x\"}",
            b"{\"$serde_json::private::RawValue\":\"x\"}",
            deep.as_bytes(),
            huge.as_bytes(),
        ] {
            assert!(
                is_json(json),
                "{}",
                String::from_utf8_lossy(&json[..20.min(json.len())])
            );
        }
        for other in [
            &b""[..],
            b"{",
            b"<html>",
            b"{}{}",
            b"\xFE\xFF\0{\0}",
            b"{\"a\":\xE9}",
        ] {
            assert!(!is_json(other), "{other:?}");
        }
    }

    #[test]
    fn headings_alone_and_empty_lists_are_no_content_and_anything_else_is() {
        for empty in [
            "",
            " \n",
            "null",
            "{}",
            "[]",
            "\"\"",
            "{\"summary\":[]}",
            "{\"summary\":null,\"structured_data\":[]}",
            "{\"summary\":[{\"title\":\"PLAN\",\"loinc_code\":\"1-2\",\"content\":\" \"}]}",
            "\u{FEFF}{\"structured_data\":{\"generated_values\":[]}}",
            "{\"final_transcript\":[]}",
            "{\"session_id\":\"s\",\"encounter_id\":\"e\",\"status\":\"running\",\"summary\":[]}",
            "{\"summary\":[{\"id\":\"1\",\"content\":\"\",\"source_transcripts\":[\"01JE8GP4\"]}]}",
        ] {
            assert!(is_empty_content(empty.as_bytes()), "{empty}");
        }
        for full in [
            "0",
            "false",
            "\"x\"",
            "{\"summary\":[{\"title\":\"PLAN\",\"content\":\"rest\"}]}",
            "{\"summary\":\"rest\"}",
            "{\"structured_data\":{\"generated_values\":[{\"data\":{\"weight\":0}}]}}",
            "{\"new\":{\"a\":[1]}}",
            "{\"session_id\":\"s\",\"note\":\"rest\"}",
            "{\"structured_data\":{\"non_generated_values\":[{\"form_template_id\":\"f\"}]}}",
            "{\"a\":\"\\ud800\"}",
            "not json",
        ] {
            assert!(!is_empty_content(full.as_bytes()), "{full}");
        }
        assert!(!is_empty_content(b"{\"a\":\"\xE9\"}"));
    }

    proptest! {
        #[test]
        fn json_that_was_repaired_is_json_still(before in "[a-zé \\\\n]{0,5}", bad in proptest::collection::vec(0x80_u8.., 1..4), after in "[a-z]{0,5}") {
            let json = [b"{\"a\":\"", before.replace('\\', "").as_bytes(), &bad, after.as_bytes(), b"\"}"].concat();
            let (text, is_repaired) = readable(&json);
            prop_assert_eq!(is_repaired, std::str::from_utf8(&json).is_err());
            prop_assert!(is_json(&json) && serde_json::from_str::<Value>(&text).is_ok());
        }
    }
}
