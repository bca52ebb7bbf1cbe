//! Reads single fields of JSON and leaves all else as it is: only what is asked for is looked at beyond the grammar, so
//! what stands beside it may be anything that is JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The fields of a JSON object, each with its value unread. Of a field that is repeated the last one counts.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The fields of `json`; `None` where it is JSON but no object.
    ///
    /// # Errors
    /// Where it is no JSON.
    pub(super) fn of(json: &'a str) -> serde_json::Result<Option<Self>> {
        match serde_json::from_str(json) {
            Ok(fields) => Ok(Some(fields)),
            Err(_) => serde_json::from_str(json).map(|IgnoredAny| None),
        }
    }

    /// The fields of an object within JSON.
    pub(super) fn within(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let field = self.0.iter().rev().find(|(known, _)| known == name);
        field.map(|(_, value)| *value)
    }

    /// The value of a field that is a string.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(text)
    }

    /// All fields, in the order in which they stand.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }
}

/// The text of a JSON string; `None` for any other value. What is no character (half of a surrogate pair) and what no
/// database keeps in a text (U+0000) becomes U+FFFD.
pub(super) fn text(value: &RawValue) -> Option<String> {
    let Text(text) = serde_json::from_str(value.get()).ok()?;
    Some(text.into_owned())
}

/// The items of a list; a single value is taken for a list of one, as HAL allows it to stand for one.
pub(super) fn items(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_else(|_| vec![value])
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A string that need not be made of characters.
struct Text<'a>(Cow<'a, str>);

/// What a text becomes where something in it has to be replaced.
fn replaced(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "\u{FFFD}")
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lossy;
        impl<'de> Visitor<'de> for Lossy {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
                match std::str::from_utf8(bytes) {
                    Ok(text) if !text.contains('\0') => Ok(Text(Cow::Borrowed(text))),
                    _ => self.visit_bytes(bytes),
                }
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(replaced(bytes))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                self.visit_bytes(text.as_bytes())
            }
        }
        // As bytes: as a string it would have to be made of characters.
        deserializer.deserialize_bytes(Lossy)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_stands_beside_the_fields_may_be_anything_that_is_json() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for beside in [
            r#""\ud800""#,
            r#"{"\udfff\ud800":1}"#,
            r#"{"$serde_json::private::Number":"x"}"#,
            r#"{"$serde_json::private::RawValue":"}"}"#,
            "1e999999",
            "-0.00000000000000000000000000000000000001E-400",
            &deep,
        ] {
            let json = format!(
                r#"{{"beside":{beside},"\ud800":1,"$serde_json::private::Number":2,"a\u0062":"\u0063\n"}}"#
            );
            let fields = Fields::of(&json).expect("JSON").expect("an object");
            assert_eq!(fields.text("ab").as_deref(), Some("c\n"));
            assert_eq!(fields.get("beside").expect("a field").get(), beside);
            assert_eq!(fields.text("beside").is_some(), beside.starts_with('"'));
        }
    }

    #[test]
    fn what_is_no_character_is_replaced_and_the_last_of_a_repeated_field_counts() {
        let json = r#"{"a":"first","b":"x\ud800y\u0000z","a":"last"}"#;
        let fields = Fields::of(json).expect("JSON").expect("an object");
        assert_eq!(fields.text("a").as_deref(), Some("last"));
        let replaced = fields.text("b").expect("a text").replace('\u{FFFD}', "");
        assert_eq!(replaced, "xyz");
    }

    #[test]
    fn a_value_that_is_no_list_is_a_list_of_one() {
        let raw = |json| serde_json::from_str::<&RawValue>(json).expect("JSON");
        let all = |json| -> Vec<&str> { items(raw(json)).iter().map(|item| item.get()).collect() };
        assert_eq!(all(r#"[{"a":1}, "b"]"#), [r#"{"a":1}"#, r#""b""#]);
        assert_eq!(all(r#"{"a":[1]}"#), [r#"{"a":[1]}"#]);
        assert!(all("[]").is_empty());
    }

    proptest! {
        #[test]
        fn a_text_reads_as_any_reader_of_json_reads_it(text in "[^\0]*") {
            let json = Value::from(text.clone()).to_string();
            let raw: &RawValue = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(super::text(raw), Some(text));
        }
    }
}
