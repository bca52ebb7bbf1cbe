//! `GET /docs`: the description of the API as a page for people, made from the same document as `/openapi.json`.
//!
//! The page has no script, so nothing on it can call the API. A form for trying calls would be another way to read
//! clinical content, besides the console's.

mod operation;
mod types;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::openapi::{self, entries, word};
use operation::Operation;

/// The page may load only this listener's stylesheet, and no site may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLESHEET: &str = include_str!("docs.css");

/// The description as a page.
///
/// Every operation with its parameters, its answers and a call with curl.
#[utoipa::path(
    get, path = "/docs", tag = "operations", operation_id = "show_docs",
    responses((status = 200, description = "A page without a script.", body = String, content_type = "text/html")),
)]
pub(super) async fn show() -> Response {
    page()
}

/// The stylesheet of the page.
#[utoipa::path(
    get, path = "/docs.css", tag = "operations", operation_id = "show_docs_stylesheet",
    responses((status = 200, description = "A stylesheet.", body = String, content_type = "text/css")),
)]
pub(super) async fn stylesheet() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        STYLESHEET,
    )
}

/// The page. The caller of this function must have checked that the client may see it.
pub(crate) fn page() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(|| render(openapi::value()).into_string());
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE.as_str()).into_response()
}

fn render(description: &Value) -> Markup {
    let operations = Operation::all(description);
    let title = word(&description["info"]["title"]);
    let tags: Vec<&Value> = description["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="/docs.css";
            }
            body {
                a.skip href="#content" { "Skip to the operations" }
                header {
                    h1 { (title) }
                    p { "Version " (word(&description["info"]["version"])) ". The same for programs: "
                        a href="/openapi.json" { "openapi.json" } ", "
                        a href="/schemas/cloudevent.json" { "what sinks get" } ", "
                        a href="/schemas/alert.json" { "alerts" } "." }
                }
                div.columns {
                    nav aria-label="Operations" {
                        @for tag in &tags {
                            p { a href={ "#tag-" (word(&tag["name"])) } { (word(&tag["name"])) } }
                            ul {
                                @for operation in of_tag(&operations, tag) {
                                    li { a href={ "#" (operation.id()) } { (operation.summary()) } }
                                }
                            }
                        }
                        p { a href="#types" { "types" } }
                    }
                    main #content {
                        section {
                            h2 { "How to call" }
                            p { (inline(word(&description["info"]["description"]))) }
                            p { "The examples need the listener and a token in two variables:" }
                            (code("URL=http://127.0.0.1:9464 TOKEN=..."))
                            p { "A refusal has the shape of " (types::link("Error")) ". Lists are read page by page: give the "
                                code { "next_cursor" } " of a page as " code { "cursor" } " with the same filter, until it is "
                                code { "null" } "." }
                        }
                        @for tag in &tags {
                            section {
                                h2 id={ "tag-" (word(&tag["name"])) } { (word(&tag["name"])) }
                                p { (inline(word(&tag["description"]))) }
                                @for operation in of_tag(&operations, tag) { (operation.render()) }
                            }
                        }
                        section {
                            h2 #types { "types" }
                            @for (name, schema) in entries(&description["components"]["schemas"]) {
                                (types::render(name, schema))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The operations with a tag.
fn of_tag<'a>(
    operations: &'a [Operation<'a>],
    tag: &'a Value,
) -> impl Iterator<Item = &'a Operation<'a>> {
    let tag = word(&tag["name"]);
    operations
        .iter()
        .filter(move |operation| operation.tag() == tag)
}

/// A paragraph in which text between backticks is shown as code.
fn inline(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// Lines to copy.
fn code(lines: &str) -> Markup {
    html! { pre { code { (lines) } } }
}
