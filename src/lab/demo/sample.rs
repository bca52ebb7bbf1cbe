//! Shows a part of a delivered file, as it is written, with deeply nested values shortened to one line each.
//!
//! It keeps the order of the file's keys, which a parsed JSON value would not.

use std::fmt;

use anyhow::Context;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Objects below this depth are shown on one line.
const DEPTH: usize = 3;
/// The longest line.
const WIDTH: usize = 100;

/// At most `lines` lines of a JSON object.
pub(super) fn in_part(json: &str, lines: usize) -> anyhow::Result<String> {
    let value: &RawValue = serde_json::from_str(json).context("a delivered file is no JSON")?;
    let mut all = Vec::new();
    put(value.get(), "", "", 0, &mut all)?;
    let mut shown: Vec<_> = all.iter().take(lines).map(|line| cut(line)).collect();
    if all.len() > lines {
        shown.push(format!("… {} more lines", all.len() - lines));
    }
    Ok(shown.join("\n"))
}

/// Adds a value's lines, with `before` in front and `after` at the end.
fn put(
    json: &str,
    before: &str,
    after: &str,
    depth: usize,
    lines: &mut Vec<String>,
) -> anyhow::Result<()> {
    let indent = "  ".repeat(depth);
    if depth >= DEPTH || !json.starts_with('{') {
        lines.push(format!("{indent}{before}{json}{after}"));
        return Ok(());
    }
    let Fields(fields) = serde_json::from_str(json)?;
    lines.push(format!("{indent}{before}{{"));
    for (number, (name, value)) in fields.iter().enumerate() {
        let comma = if number + 1 < fields.len() { "," } else { "" };
        let name = format!("{}: ", serde_json::to_string(name)?);
        put(value.get(), &name, comma, depth + 1, lines)?;
    }
    lines.push(format!("{indent}}}{after}"));
    Ok(())
}

fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    let start: String = line.chars().take(WIDTH - 2).collect();
    format!("{start} …")
}

/// An object's fields in their order.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_stays_and_what_lies_deep_is_on_one_line() {
        let json = r#"{"z":1,"a":{"b":{"c":{"d":[1,2]}}},"y":"text"}"#;
        let shown = in_part(json, 7).expect("JSON");
        insta::assert_snapshot!(shown, @r#"
        {
          "z": 1,
          "a": {
            "b": {
              "c": {"d":[1,2]}
            }
          },
        … 2 more lines
        "#);
    }

    #[test]
    fn a_long_line_is_cut_between_two_characters() {
        let json = format!(r#"{{"note":"{}"}}"#, "é".repeat(200));
        let shown = in_part(&json, 10).expect("JSON");
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(shown.contains('…'));
    }
}
