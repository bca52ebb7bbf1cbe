//! Schemas of strings that have only a few values, for the schemas of the events that sinks get.

use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Object, Schema};

/// The version of CloudEvents.
pub(super) fn specversion() -> Schema {
    always("1.0")
}

/// The media type of `data`.
pub(super) fn datacontenttype() -> Schema {
    always("application/json")
}

/// A string with one value.
pub(super) fn always(text: &'static str) -> Schema {
    one_of([text])
}

/// A string with one of these values.
pub(super) fn one_of(words: impl IntoIterator<Item = &'static str>) -> Schema {
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    one_of_texts(words)
}

/// A string with one of these values.
pub(super) fn one_of_texts(texts: Vec<String>) -> Schema {
    let text: Object = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(texts))
        .build();
    Schema::Object(text)
}
