//! Renders the body of a delivery by a template, for targets with a format of their own, such as chats. The template's
//! input is the CloudEvent.
//!
//! In a JSON body, an inserted value is written as JSON, with its quotation marks, so that no value can break out of
//! its place. Error messages quote no content.

use std::collections::BTreeMap;

use bytes::Bytes;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value};
use serde::de::IgnoredAny;

/// The name of the only template.
const NAME: &str = "body";
/// The most steps of one rendering, so that no template runs for ever.
const FUEL: u64 = 1_000_000;

/// A compiled template.
#[derive(Debug, Clone)]
pub(super) struct Template {
    environment: Environment<'static>,
    is_json: bool,
}

impl Template {
    /// Compiles a template for bodies of this content type.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub(super) fn new(text: &str, content_type: &str) -> Result<Self, String> {
        let is_json = content_type.contains("json");
        let escape = if is_json {
            AutoEscape::Json
        } else if content_type.contains("html") || content_type.contains("xml") {
            AutoEscape::Html
        } else {
            AutoEscape::None
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_auto_escape_callback(move |_| escape.clone());
        environment.set_fuel(Some(FUEL));
        environment
            .add_template_owned(NAME, text.to_owned())
            .map_err(|error| {
                let line = error.line().unwrap_or(1);
                let what = error.detail().unwrap_or("it cannot be read");
                format!("line {line} of the template: {what}")
            })?;
        Ok(Self {
            environment,
            is_json,
        })
    }

    /// Renders the body from an envelope.
    ///
    /// # Errors
    /// Why it cannot be rendered, without any content.
    pub(super) fn render(&self, envelope: &[u8]) -> Result<Bytes, String> {
        let envelope: serde_json::Value = serde_json::from_slice(envelope)
            .map_err(|_| "the envelope cannot be read".to_owned())?;
        let body = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render(value(&envelope)))
            .map_err(|error| {
                let line = error.line().unwrap_or(1);
                format!("line {line} of the template: {}", kind(error.kind()))
            })?;
        if body.trim().is_empty() {
            return Err("the template makes an empty body".to_owned());
        }
        if self.is_json && serde_json::from_str::<IgnoredAny>(&body).is_err() {
            return Err("the template makes a body that is not JSON; an inserted value has its own quotation marks".to_owned());
        }
        Ok(Bytes::from(body))
    }
}

/// Describes an error without any content.
fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::OutOfFuel => "it takes too long",
        ErrorKind::UndefinedError => "it uses something that is not there",
        ErrorKind::InvalidOperation | ErrorKind::BadSerialization => {
            "it does something that cannot be done with this value"
        }
        ErrorKind::UnknownFilter | ErrorKind::UnknownFunction | ErrorKind::UnknownMethod => {
            "it calls something that is not known"
        }
        _ => "it cannot be rendered",
    }
}

/// Converts JSON into a template's value. A number keeps its value if a float can hold it.
fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::from(()),
        Json::Bool(is) => Value::from(*is),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_f64().map(Value::from))
            .unwrap_or_else(|| Value::from(number.to_string())),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(value).collect(),
        Json::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, field)| (name.clone(), value(field)));
            Value::from(fields.collect::<BTreeMap<String, Value>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, content_type: &str, message: &str) -> Result<String, String> {
        let envelope = serde_json::json!({"type": "t", "data": {"message": message, "n": 7}});
        let template = Template::new(template, content_type)?;
        let body = template.render(envelope.to_string().as_bytes())?;
        Ok(String::from_utf8(body.to_vec()).expect("text"))
    }

    #[test]
    fn nothing_in_a_value_can_break_out_of_its_place_in_json() {
        for message in [
            "a \"quoted\" one",
            "two\nlines",
            "back\\slash",
            "{{ x }} é 日本",
        ] {
            let body = render(
                r#"{"text": {{ "Suki: " ~ data.message }}, "n": {{ data.n }}}"#,
                "application/json",
                message,
            );
            let body: serde_json::Value =
                serde_json::from_str(&body.expect("a body")).expect("JSON");
            assert_eq!(body["text"], format!("Suki: {message}"));
            assert_eq!(body["n"], 7);
        }
        let text = render("{{ data.message }}", "text/plain", "a \"b\"");
        assert_eq!(text.expect("a body"), "a \"b\"");
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said_without_the_content() {
        let why = render("{\"a\":\n{% if %}", "application/json", "PHI").expect_err("no template");
        assert!(why.starts_with("line 2 of the template"), "{why}");
        for template in [
            "{{ data.message.x.y() }}",
            "{{ data.message / 2 }}",
            " \n",
            r#"{"text": "{{ data.message }}"}"#,
        ] {
            let why = render(template, "application/json", "PHI").expect_err(template);
            assert!(!why.contains("PHI"), "{why}");
        }
    }
}
