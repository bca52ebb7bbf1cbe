//! JSON Schemas of what sinks get, made from the types that are sent. Says nothing of what a template makes of it.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Object, Schema};

use super::envelope::Envelope;
use super::notice::Notice;

/// The schema of an event.
pub fn cloudevent() -> Value {
    document::<Envelope<'static>>("What a sink gets for a session of Suki")
}

/// The schema of an alert, and of word that the synthetic notification came through.
pub fn alert() -> Value {
    document::<Notice<'static>>("What a sink gets that is of no patient")
}

/// The schema of a type as a document of its own: what it refers to stands in it.
fn document<T: ToSchema>(title: &str) -> Value {
    let mut parts = Vec::new();
    T::schemas(&mut parts);
    let parts: Map<String, Value> = parts
        .into_iter()
        .map(|(name, part)| (name, json!(part)))
        .collect();
    let mut whole = json!(T::schema());
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    whole["title"] = title.into();
    if !parts.is_empty() {
        whole["$defs"] = parts.into();
    }
    refer_inside(&mut whole);
    whole
}

/// Makes references lead into the document.
fn refer_inside(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(to)) => *to = to.replace("#/components/schemas/", "#/$defs/"),
                    (_, value) => refer_inside(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(refer_inside),
        _ => {}
    }
}

/// A text that is always the same.
pub(super) fn always(text: &'static str) -> Schema {
    one_of([text])
}

/// One of these words.
pub(super) fn one_of(words: impl IntoIterator<Item = &'static str>) -> Schema {
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    one_of_texts(words)
}

/// One of these texts.
pub(super) fn one_of_texts(texts: Vec<String>) -> Schema {
    let text: Object = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(texts))
        .build();
    Schema::Object(text)
}
