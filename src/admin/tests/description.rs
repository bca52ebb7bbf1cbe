//! The description covers all that the router accepts, and its page and file are made from it.

use std::collections::BTreeSet;
use std::path::Path;

use axum::http::Method;
use serde_json::Value;
use utoipa::{IntoParams, PartialSchema};

use super::{Admin, OPERATOR, VIEWER};
use crate::admin::openapi::bodies::{NewSession, SessionChange};
use crate::admin::openapi::entries;
use crate::admin::openapi::query::{
    AuditFields, EventListing, FilterFields, Paging, SessionFields,
};
use crate::admin::{filter, registration, router};
use crate::config::Reconcile;

const UNKNOWN_EVENT: &str = "019ac000-0000-7000-8000-000000000000";

#[tokio::test]
async fn every_route_is_described_and_nothing_else_is() {
    let admin = Admin::start();
    let document = admin.get("/openapi.json").await.json();
    let described: BTreeSet<&str> = entries(&document["paths"]).map(|(path, _)| path).collect();
    let router = format!("{:?}", router(admin.state.clone(), axum::Router::new()));
    let routed: BTreeSet<&str> = router
        .split("RouteId(")
        .filter_map(|route| route.split_once("): \"")?.1.split('"').next())
        // The last two answer for paths that do not exist.
        .filter(|path| !path.contains("{*") && !["/", "/api/v1"].contains(path))
        .collect();
    assert!(routed.len() > 20, "the router cannot be read: {router}");
    assert_eq!(described, routed);
}

#[tokio::test]
async fn a_path_takes_the_methods_that_are_described_and_no_other() {
    let admin = Admin::start();
    let document = admin.get("/openapi.json").await.json();
    for (path, operations) in entries(&document["paths"]) {
        let filled = path
            .replace("/events/{id}", &format!("/events/{UNKNOWN_EVENT}"))
            .replace("{id}", "7")
            .replace("{n}", "0")
            .replace("{name}", "gone");
        for method in [
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ] {
            let is_described = operations[method.as_str().to_lowercase()].is_object();
            // The stream never ends.
            if path.ends_with("/stream") && is_described {
                continue;
            }
            let answer = admin.call(method.clone(), &filled, OPERATOR, "").await;
            assert_eq!(answer.status != 405, is_described, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_roles_of_the_description_are_those_that_may_call() {
    let admin = Admin::start();
    let document = admin.get("/openapi.json").await.json();
    for (path, operations) in entries(&document["paths"]) {
        for (method, operation) in entries(operations) {
            let filled = path
                .replace("/events/{id}", &format!("/events/{UNKNOWN_EVENT}"))
                .replace("{id}", "7")
                .replace("{n}", "0")
                .replace("{name}", "gone");
            if path.ends_with("/stream") {
                continue;
            }
            let method: Method = method.to_uppercase().parse().expect("a method");
            let roles = operation["x-role"].as_array();
            let anonymous = admin.call(method.clone(), &filled, "", "").await;
            assert_eq!(anonymous.status == 401, roles.is_some(), "{method} {path}");
            let viewer = admin.call(method.clone(), &filled, VIEWER, "").await;
            let may = roles.is_none_or(|roles| roles.contains(&"viewer".into()));
            assert_eq!(viewer.status != 403, may, "{method} {path}");
        }
    }
}

#[test]
fn the_parameters_of_lists_are_those_that_are_read() {
    let names = |parameters: Vec<utoipa::openapi::path::Parameter>| -> Vec<String> {
        parameters
            .into_iter()
            .map(|parameter| parameter.name)
            .collect()
    };
    let now = jiff::Timestamp::UNIX_EPOCH;
    for (told, refusal) in [
        (
            [
                names(FilterFields::into_params(|| None)),
                names(EventListing::into_params(|| None)),
            ]
            .concat(),
            filter::events(Some("x=1")).expect_err("unknown"),
        ),
        (
            names(AuditFields::into_params(|| None)),
            filter::audit(Some("x=1")).expect_err("unknown"),
        ),
        (
            names(SessionFields::into_params(|| None)),
            filter::sessions(Some("x=1"), now).expect_err("unknown"),
        ),
    ] {
        let told = [told, names(Paging::into_params(|| None))]
            .concat()
            .join(", ");
        assert_eq!(refusal, format!("'x' is not known here; use {told}"));
    }
}

#[test]
fn the_fields_of_sessions_are_those_that_are_read() {
    let fields = |schema: Value| -> BTreeSet<String> {
        entries(&schema["properties"])
            .map(|(name, _)| name.to_owned())
            .collect()
    };
    let read = |refusal: String| -> BTreeSet<String> {
        let (_, names) = refusal.split_once("use ").expect("says what to use");
        names.split(", ").map(str::to_owned).collect()
    };
    let body = br#"{"x": 1}"#;
    let Ok(registration::Registrations::One(session)) = registration::read(body, false) else {
        panic!("no object");
    };
    let refusal = session
        .and_then(|session| session.expected(&Reconcile::default(), jiff::Timestamp::UNIX_EPOCH))
        .map(|_| ())
        .expect_err("unknown");
    assert_eq!(
        fields(serde_json::json!(NewSession::schema())),
        read(refusal)
    );
    let refusal = registration::change(body).map(|_| ()).expect_err("unknown");
    assert_eq!(
        fields(serde_json::json!(SessionChange::schema())),
        read(refusal)
    );
}

#[tokio::test]
async fn what_is_referred_to_is_there() {
    let admin = Admin::start();
    let text = admin.get("/openapi.json").await.text();
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let references = text.split("\"$ref\": \"#").skip(1);
    let mut found = 0;
    for reference in references {
        let place = reference.split('"').next().expect("an end");
        assert!(document.pointer(place).is_some(), "{place}");
        found += 1;
    }
    assert!(found > 100, "the references are not read: {found}");
    let ids: Vec<&Value> = entries(&document["paths"])
        .flat_map(|(_, operations)| entries(operations))
        .map(|(_, operation)| &operation["operationId"])
        .collect();
    let distinct: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), ids.len(), "an operation's id stands twice");
    for link in text.split("\"operationId\": ").skip(1) {
        let id = link.split(['\n', ',']).next().expect("an end");
        assert!(distinct.contains(id), "{id}");
    }
}

#[tokio::test]
async fn the_file_in_the_documentation_is_what_is_served() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(root.join("docs/openapi.json")).unwrap_or_default();
    let admin = Admin::start();
    let served = admin.call(Method::GET, "/openapi.json", VIEWER, "").await;
    assert_eq!(served.headers["content-type"], "application/json");
    let served = served.text();
    if kept != served {
        let target = root.join("target/openapi.json");
        std::fs::write(target, served).expect("written");
        panic!(
            "the API has changed and docs/openapi.json has not; look at the difference, write what breaks a caller into \
             CHANGELOG.md, and take it over: cp target/openapi.json docs/openapi.json"
        );
    }
}

#[tokio::test]
async fn the_page_shows_every_operation_and_runs_nothing() {
    let admin = Admin::start();
    let document = admin.get("/openapi.json").await.json();
    let answer = admin.call(Method::GET, "/docs", VIEWER, "").await;
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers["content-security-policy"]
        .to_str()
        .expect("text");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self';"),
        "{policy}"
    );
    let page = answer.text();
    for (path, operations) in entries(&document["paths"]) {
        for (method, operation) in entries(operations) {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(
                page.contains(&format!("<h3 id=\"{id}\">")),
                "{method} {path}"
            );
            assert!(page.contains(&format!("href=\"#{id}\"")), "{method} {path}");
        }
    }
    for active in ["<script", "<style", " style=", " on", "javascript:"] {
        let is_there = match active {
            " on" => page.contains(" onclick") || page.contains(" onload"),
            active => page.contains(active),
        };
        assert!(!is_there, "{active}");
    }
    for link in page.split("href=\"#").skip(1) {
        let anchor = link.split('"').next().expect("an end");
        assert!(
            page.contains(&format!("id=\"{anchor}\"")),
            "{anchor} leads nowhere"
        );
    }
    assert_eq!(
        admin.call(Method::GET, "/docs.css", "", "").await.status,
        200
    );
}
