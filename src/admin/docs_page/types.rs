//! Describes types in words: a schema where it is used, and the named types with their fields.

use maud::{Markup, html};
use serde_json::Value;

use super::inline;
use crate::admin::openapi::{entries, word};

/// A named type with its fields.
pub(super) fn render(name: &str, schema: &Value) -> Markup {
    let description = word(&schema["description"]);
    html! {
        article aria-labelledby=(anchor(name)) {
            h3 id=(anchor(name)) { (name) }
            @if !description.is_empty() { p { (inline(description)) } }
            @if schema["properties"].is_object() {
                (fields(schema))
            } @else {
                p { (of(schema)) }
            }
            @for part in list(&schema["allOf"]) {
                @if part["properties"].is_object() { (fields(part)) } @else { p { "All of " (of(part)) ", and:" } }
            }
        }
    }
}

/// A reference to a named type.
pub(super) fn link(name: &str) -> Markup {
    html! { a href={ "#" (anchor(name)) } { (name) } }
}

/// A schema where it is used, in a few words.
pub(super) fn of(schema: &Value) -> Markup {
    if let Some(to) = schema["$ref"].as_str() {
        return link(to.rsplit('/').next().unwrap_or(to));
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(parts) = schema[several].as_array() {
            return joined(parts, " or ");
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        return html! {
            "one of "
            @for (at, value) in words.iter().enumerate() {
                @if at > 0 { ", " }
                code { (word(value)) }
            }
        };
    }
    match &schema["type"] {
        Value::Array(kinds) => {
            let kinds = kinds.iter().map(|kind| of_kind(word(kind), schema));
            html! { @for (at, kind) in kinds.enumerate() { @if at > 0 { " or " } (kind) } }
        }
        Value::String(kind) => of_kind(kind, schema),
        _ if schema["allOf"].is_array() => html! {},
        _ => html! { "any JSON" },
    }
}

fn of_kind(kind: &str, schema: &Value) -> Markup {
    match kind {
        "array" => html! { "list of " (of(&schema["items"])) },
        "object" if schema["properties"].is_object() => fields(schema),
        "object" if schema["additionalProperties"].is_object() => {
            html! { "object of " (of(&schema["additionalProperties"])) }
        }
        "string" => html! { "text" (bounds(schema)) },
        "integer" => html! { "whole number" (bounds(schema)) },
        "boolean" => html! { code { "true" } " or " code { "false" } },
        "null" => html! { code { "null" } },
        other => html! { (other) (bounds(schema)) },
    }
}

/// The constraints on a text or a number.
fn bounds(schema: &Value) -> Markup {
    let number = |name: &str| schema.get(name).map(ToString::to_string);
    let text = |name: &str| schema[name].as_str();
    html! {
        @if let Some(format) = text("format").filter(|format| !format.starts_with("int") && *format != "double") {
            " (" (format) ")"
        }
        @match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => { " from " (least) " to " (most) }
            (Some(least), None) => { " from " (least) }
            (None, Some(most)) => { " up to " (most) }
            (None, None) => {}
        }
        @if let Some(most) = number("maxLength") { " of at most " (most) " bytes" }
        @if let Some(pattern) = text("pattern") { " that fits " code { (pattern) } }
    }
}

fn fields(schema: &Value) -> Markup {
    let required = list(&schema["required"]);
    html! {
        dl {
            @for (name, field) in entries(&schema["properties"]) {
                dt {
                    code { (name) }
                    @if required.iter().any(|required| required == name) { span.kind { " required" } }
                }
                dd {
                    (inline(word(&field["description"])))
                    " " (of(field))
                }
            }
        }
    }
}

fn joined(parts: &[Value], between: &str) -> Markup {
    html! { @for (at, part) in parts.iter().enumerate() { @if at > 0 { (between) } (of(part)) } }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn anchor(name: &str) -> String {
    format!("type-{name}")
}
