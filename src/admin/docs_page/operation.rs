//! One operation on the page: its description, the roles that may call it, its parameters and answers, and a call with
//! curl.

use maud::{Markup, html};
use serde_json::Value;

use super::{code, inline, types};
use crate::admin::openapi::{entries, word};

/// One operation of the description.
pub(super) struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    told: &'a Value,
    /// The response components to which answers refer.
    answers: &'a Value,
}

impl<'a> Operation<'a> {
    /// All operations, by path.
    pub(super) fn all(description: &'a Value) -> Vec<Self> {
        let answers = &description["components"]["responses"];
        let paths = entries(&description["paths"]);
        let operations = paths.flat_map(|(path, methods)| {
            entries(methods).map(move |(method, told)| Self {
                path,
                method,
                told,
                answers,
            })
        });
        operations.collect()
    }

    /// The operation's id, which is also its anchor.
    pub(super) fn id(&self) -> &'a str {
        word(&self.told["operationId"])
    }

    /// The operation's tag.
    pub(super) fn tag(&self) -> &'a str {
        word(&self.told["tags"][0])
    }

    /// The operation's summary.
    pub(super) fn summary(&self) -> &'a str {
        word(&self.told["summary"]).trim_end_matches('.')
    }

    /// Renders the operation as a part of the page.
    pub(super) fn render(&self) -> Markup {
        let body = &self.told["requestBody"]["content"];
        html! {
            article aria-labelledby=(self.id()) {
                h3 id=(self.id()) { (self.summary()) }
                p.call { span.method { (self.method.to_uppercase()) } " " code { (self.path) } }
                @if let Some(description) = self.told["description"].as_str() {
                    @for paragraph in description.split("\n\n") { p { (inline(paragraph)) } }
                }
                p.marks { (self.marks()) }
                @if let Some(parameters) = self.told["parameters"].as_array() {
                    h4 { "Parameters" }
                    dl { @for parameter in parameters { (of_parameter(parameter)) } }
                }
                @if body.is_object() {
                    h4 { "Body" }
                    (contents(body))
                }
                h4 { "Answers" }
                dl { @for (status, answer) in entries(&self.told["responses"]) { (self.of_answer(status, answer)) } }
                h4 { "Call" }
                (code(&self.curl()))
            }
        }
    }

    /// The roles that may call the operation, and its other marks.
    fn marks(&self) -> Markup {
        let is_set = |name: &str| self.told[name] == true;
        html! {
            @match self.told["x-role"].as_array() {
                Some(roles) => {
                    "Role: "
                    @for (at, role) in roles.iter().enumerate() {
                        @if at > 0 { " or " }
                        code { (word(role)) }
                    }
                    "."
                }
                None => { "Open: needs no token." }
            }
            @if is_set("x-audited") { " Stands in the audit log." }
            @if is_set("x-clinical-content") { " " strong { "Clinical content." } }
        }
    }

    fn of_answer(&self, status: &str, answer: &'a Value) -> Markup {
        let reference = answer["$ref"].as_str();
        let name = reference.and_then(|reference| reference.rsplit('/').next());
        // An error answer: the shape of these is explained once at the top of the page.
        let is_refusal = name.is_some();
        let answer = name.map_or(answer, |name| &self.answers[name]);
        html! {
            dt { code { (status) } }
            dd {
                (inline(word(&answer["description"])))
                @for (name, header) in entries(&answer["headers"]) {
                    " Header " code { (name) } ": " (inline(word(&header["description"])))
                }
                @if !is_refusal { (contents(&answer["content"])) }
            }
        }
    }

    /// An example call to copy.
    fn curl(&self) -> String {
        let mut call = String::from("curl --fail-with-body");
        if self.method != "get" {
            call += &format!(" --request {}", self.method.to_uppercase());
        }
        if self.told["x-role"].is_array() {
            call += " \\\n  --header \"Authorization: Bearer $TOKEN\"";
        }
        let body = entries(&self.told["requestBody"]["content"]).next();
        if let Some((media_type, content)) = body {
            call += &format!(" \\\n  --header 'Content-Type: {media_type}'");
            call += &format!(" \\\n  --data '{}'", content["example"]);
        }
        let path = self.path.replace('{', "$").replace('}', "");
        call + &format!(" \\\n  \"$URL{path}\"")
    }
}

fn of_parameter(parameter: &Value) -> Markup {
    let is_required = parameter["required"] == true;
    html! {
        dt {
            code { (word(&parameter["name"])) }
            span.kind {
                " in the " (word(&parameter["in"]))
                @if is_required { ", required" }
            }
        }
        dd {
            (inline(word(&parameter["description"])))
            " " (types::of(&parameter["schema"]))
        }
    }
}

/// The types of a body, by media type.
fn contents(content: &Value) -> Markup {
    html! {
        @if content.is_object() {
            ul.contents {
                @for (media_type, content) in entries(content) {
                    li { code { (media_type) } ": " (types::of(&content["schema"])) }
                }
            }
        }
    }
}
