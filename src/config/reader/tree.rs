//! The merged tree of values, each with its source. It knows TOML's types and nothing about sections.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Source;

/// Keys and their values.
pub(in crate::config) type Table = BTreeMap<String, Node>;

/// A value and where it was set. Not `Debug`, since it may be a secret.
pub(in crate::config) struct Node {
    pub(in crate::config) value: Value,
    pub(in crate::config) source: Source,
}

/// A value as it was written.
pub(in crate::config) enum Value {
    /// A TOML string.
    String(String),
    /// The text of a variable or a flag: a string, a number or a comma-separated list, depending on the key.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
    /// A type that no key accepts, by its name.
    Other(&'static str),
}

impl Value {
    /// The value of a variable or a flag: a list or table in TOML's notation, or else plain text.
    pub(in crate::config) fn of_text(text: &str, source: &Source) -> Self {
        let is_nested = text.trim_start().starts_with(['{', '[']);
        match DeValue::parse(text.trim()) {
            Ok(value) if is_nested => Node::of_toml(value, &|_| source.clone()).value,
            _ => Self::Text(text.to_owned()),
        }
    }

    /// The string.
    pub(in crate::config) fn text(&self) -> Result<&str, String> {
        match self {
            Self::String(text) | Self::Text(text) => Ok(text),
            other => Err(format!("expected a string, found {}", other.kind())),
        }
    }

    /// The whole number.
    pub(in crate::config) fn integer(&self) -> Result<i64, String> {
        match self {
            Self::Integer(number) => Ok(*number),
            Self::Text(text) => match DeValue::parse(text.trim()).map(Spanned::into_inner) {
                Ok(DeValue::Integer(number)) => Self::of_integer(&number).integer(),
                _ => Err(format!("invalid whole number '{text}'")),
            },
            other => Err(format!("expected a whole number, found {}", other.kind())),
        }
    }

    /// The type of the value, for an error that must not show the value.
    pub(in crate::config) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) | Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }

    fn of_integer(number: &toml::de::DeInteger<'_>) -> Self {
        i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Self::Other("an integer out of range"), Self::Integer)
    }
}

impl Node {
    /// Whether the value is a table with this key.
    pub(in crate::config) fn has(&self, key: &str) -> bool {
        matches!(&self.value, Value::Table(table) if table.contains_key(key))
    }

    /// An empty table.
    fn empty_table(source: &Source) -> Self {
        Self {
            value: Value::Table(Table::new()),
            source: source.clone(),
        }
    }

    /// Converts a parsed TOML value; `source_at` gives the source of a byte offset.
    fn of_toml(value: Spanned<DeValue<'_>>, source_at: &dyn Fn(usize) -> Source) -> Self {
        let source = source_at(value.span().start);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::String(text.into_owned()),
            DeValue::Integer(number) => Value::of_integer(&number),
            DeValue::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| Self::of_toml(item, source_at))
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(table_of_toml(table, source_at)),
            DeValue::Float(number) => number
                .as_str()
                .replace('_', "")
                .parse()
                .map_or(Value::Other("a float"), Value::Float),
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Datetime(_) => Value::Other("a date"),
        };
        Self { value, source }
    }
}

/// Converts a parsed TOML table. The source of each value is the place of its key.
pub(in crate::config) fn table_of_toml(
    table: DeTable<'_>,
    source_at: &dyn Fn(usize) -> Source,
) -> Table {
    table
        .into_iter()
        .map(|(key, value)| {
            let mut node = Node::of_toml(value, source_at);
            node.source = source_at(key.span().start);
            (key.into_inner().into_owned(), node)
        })
        .collect()
}

/// Sets the value at `path`, and replaces any that was there. Within `sinks` and `sdp.identities`, which are lists, the
/// next part of the path is the name of a sink or an identity.
pub(in crate::config) fn set(
    root: &mut Table,
    path: &[&str],
    text: &str,
    source: &Source,
) -> Result<(), String> {
    let (table, path) = match path {
        ["sinks", name, rest @ ..] if !rest.is_empty() => {
            (item(root, ("sinks", "sink"), name, source)?, rest)
        }
        ["sdp", "identities", name, rest @ ..] if !rest.is_empty() => {
            let sdp = beneath(root, "sdp", source)?;
            (item(sdp, ("identities", "identity"), name, source)?, rest)
        }
        _ => (root, path),
    };
    let Some((key, parents)) = path.split_last() else {
        return Err("names no key".to_owned());
    };
    let mut table = table;
    for parent in parents {
        table = beneath(table, parent, source)?;
    }
    let value = Value::of_text(text, source);
    let source = source.clone();
    table.insert((*key).to_owned(), Node { value, source });
    Ok(())
}

/// The table at this key; a new one if there is none.
fn beneath<'t>(table: &'t mut Table, key: &str, source: &Source) -> Result<&'t mut Table, String> {
    let node = table
        .entry(key.to_owned())
        .or_insert_with(|| Node::empty_table(source));
    match &mut node.value {
        Value::Table(next) => Ok(next),
        _ => Err(format!(
            "'{key}' is not a table, so nothing can be set beneath it"
        )),
    }
}

/// The item with this name in a list, without regard to letter case; a new one if there is none.
fn item<'t>(
    table: &'t mut Table,
    (list, kind): (&str, &str),
    name: &str,
    source: &Source,
) -> Result<&'t mut Table, String> {
    let items = table.entry(list.to_owned()).or_insert_with(|| Node {
        value: Value::Array(Vec::new()),
        source: source.clone(),
    });
    let Value::Array(items) = &mut items.value else {
        return Err(format!("'{list}' is not a list of tables"));
    };
    let found = items.iter().position(|item| is_named(item, name));
    let index = found.unwrap_or_else(|| {
        let mut item = Node::empty_table(source);
        if let Value::Table(table) = &mut item.value {
            let value = Value::String(name.to_owned());
            let source = source.clone();
            table.insert("name".to_owned(), Node { value, source });
        }
        items.push(item);
        items.len() - 1
    });
    match &mut items[index].value {
        Value::Table(table) => Ok(table),
        _ => Err(format!("the {kind} '{name}' is not a table")),
    }
}

fn is_named(item: &Node, name: &str) -> bool {
    let Value::Table(table) = &item.value else {
        return false;
    };
    table
        .get("name")
        .and_then(|node| node.value.text().ok())
        .is_some_and(|text| text.eq_ignore_ascii_case(name))
}
