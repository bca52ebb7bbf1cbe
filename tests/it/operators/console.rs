//! The console without a browser: who gets in, what they see, what they may do, and what is never on a page.

use reqwest::{Response, StatusCode};
use suki_receiver::lab::simulator::Session;
use url::form_urlencoded::Serializer;

use crate::support::{
    Binary, HttpReceiver, OPERATOR, Receiver, Vendor, completed, eventually, failure, http,
};

/// Somebody with a cookie.
struct Visitor {
    admin: String,
    cookie: String,
}

impl Visitor {
    async fn sign_in(admin: impl ToString, token: &str) -> Self {
        let admin = format!("http://{}", admin.to_string());
        let answer = post(&admin, "/sign-in", &[("token", token)], "").await;
        assert_eq!(answer.status(), 303);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { admin, cookie }
    }

    async fn answer(&self, path: &str) -> Response {
        let request = http().get(format!("{}{path}", self.admin));
        request.header("cookie", &self.cookie).send().await.unwrap()
    }

    /// The page at this path.
    async fn page(&self, path: &str) -> String {
        let answer = self.answer(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        post(&self.admin, path, form, &self.cookie).await
    }
}

async fn post(admin: &str, path: &str, form: &[(&str, &str)], cookie: &str) -> Response {
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    let request = http()
        .post(format!("{admin}{path}"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .header("cookie", cookie);
    request.body(body).send().await.unwrap()
}

fn place(answer: &Response) -> &str {
    answer.headers()["location"].to_str().unwrap()
}

/// A receiver with a dead event of a sink that rejects, and that sink.
async fn with_a_dead_event() -> (Receiver, HttpReceiver, String) {
    let ehr = HttpReceiver::start().await;
    ehr.answers(|_| axum::response::IntoResponse::into_response(StatusCode::UNPROCESSABLE_ENTITY));
    let sink = ehr.sink("ehr");
    let receiver = Receiver::start_with(|config| config.sinks.push(sink)).await;
    let id = receiver.post(failure("s1")).await;
    receiver.becomes(&id, "dead").await;
    (receiver, ehr, id)
}

/// Every page that has no id in its address.
const PAGES: [&str; 8] = [
    "/",
    "/attention",
    "/events",
    "/expected",
    "/replays",
    "/dependencies",
    "/system",
    "/events?state=dead&cause=deliver.rejected&sink=ehr&since=24h",
];

#[tokio::test]
async fn nobody_sees_a_page_before_signing_in_and_is_led_back_to_it_afterwards() {
    let receiver = Receiver::start().await;
    for path in PAGES {
        let answer = http()
            .get(format!("http://{}{path}", receiver.admin))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 303, "{path}");
        assert!(place(&answer).starts_with("/sign-in?back=%2F"), "{path}");
    }
    let admin = format!("http://{}", receiver.admin);
    let wrong = post(&admin, "/sign-in", &[("token", "not-a-token-at-all")], "").await;
    assert_eq!(wrong.status(), 401);
    assert!(
        wrong
            .text()
            .await
            .unwrap()
            .contains("This token is not valid.")
    );
    let back = [("token", OPERATOR), ("back", "/events?state=dead")];
    let right = post(&admin, "/sign-in", &back, "").await;
    assert_eq!(place(&right), "/events?state=dead");
    let elsewhere = [("token", OPERATOR), ("back", "//evil.example/")];
    assert_eq!(place(&post(&admin, "/sign-in", &elsewhere, "").await), "/");
    let visitor = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let out = visitor.post("/sign-out", &[]).await;
    assert_eq!(place(&out), "/sign-in");
    assert_eq!(
        visitor.answer("/").await.status(),
        303,
        "the old cookie is of no use"
    );
    let metrics = receiver.metrics().await;
    assert!(
        metrics.contains(r#"console_sign_ins_total{result="denied"} 1"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn wrong_tokens_may_not_be_tried_for_ever() {
    let receiver = Receiver::start().await;
    let admin = format!("http://{}", receiver.admin);
    for _ in 0..10 {
        let wrong = post(&admin, "/sign-in", &[("token", "guess")], "").await;
        assert_eq!(wrong.status(), 401);
    }
    let limited = post(&admin, "/sign-in", &[("token", "guess")], "").await;
    assert_eq!(limited.status(), 429);
    Visitor::sign_in(receiver.admin, OPERATOR).await;
}

#[tokio::test]
async fn a_viewer_sees_every_page_without_a_form_that_acts_and_may_not_act_by_any_route() {
    let (receiver, _ehr, id) = with_a_dead_event().await;
    let viewer = Visitor::sign_in(receiver.admin, "viewer-token").await;
    let event = format!("/events/{id}");
    for path in PAGES.iter().chain([&&*event]) {
        let page = viewer.page(path).await;
        let forms = page.matches(r#"method="post""#).count();
        assert_eq!(forms, 2, "{path}: but for preferences and signing out");
        assert!(!page.contains("/replays/new"), "{path}");
    }
    assert_eq!(viewer.answer("/audit").await.status(), 403);
    assert_eq!(viewer.answer("/replays/new?state=dead").await.status(), 403);
    for path in [
        format!("{event}/replay"),
        format!("{event}/requeue"),
        format!("{event}/purge"),
        format!("{event}/reveal"),
        "/replays/start".to_owned(),
        "/replays/1/cancel".to_owned(),
        "/sinks/ehr/drop".to_owned(),
        "/sinks/ehr/readdress".to_owned(),
        "/expected/add".to_owned(),
        "/expected/s/poll".to_owned(),
        "/expected/s/refresh".to_owned(),
        "/expected/s/withdraw".to_owned(),
    ] {
        let refused = viewer
            .post(&path, &[("reason", "because I would like to")])
            .await;
        assert_eq!(refused.status(), 403, "{path}");
        assert!(
            refused
                .text()
                .await
                .unwrap()
                .contains("needs the role operator"),
            "{path}"
        );
    }
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let audit = operator.page("/audit").await;
    assert!(
        audit.contains("refused (403): reveal of clinical content"),
        "{audit}"
    );
}

#[tokio::test]
async fn another_site_may_not_have_a_browser_act() {
    let (receiver, _ehr, id) = with_a_dead_event().await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
    ] {
        let request = http()
            .post(format!("{}/events/{id}/replay", operator.admin))
            .header("cookie", &operator.cookie)
            .header(name, value);
        assert_eq!(
            request.send().await.unwrap().status(),
            403,
            "{name}: {value}"
        );
    }
    assert_eq!(receiver.state_of(&id).await, "dead");
}

#[tokio::test]
async fn content_is_on_a_page_only_for_a_reason_that_is_on_record() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    vendor.sdp.add_session(Session::ambient("s1"));
    let link = "/api/v1/ambient/session/s1/content".to_owned();
    let id = receiver.post(completed("s1", &[("contents", link)])).await;
    receiver.becomes(&id, "done").await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let event = format!("/events/{id}");
    for path in PAGES.iter().chain([&&*event, &"/audit"]) {
        let page = operator.page(path).await;
        assert!(!page.contains("PHI-"), "{path}");
    }
    let reveal = format!("{event}/reveal");
    let vague = operator
        .post(&reveal, &[("part", "payload"), ("reason", "hm")])
        .await;
    assert_eq!(vague.status(), 400);
    assert!(!operator.page("/audit").await.contains("read payload"));
    let why = "A call of the clinic <b>about a note</b>";
    let shown = operator
        .post(&reveal, &[("part", "payload"), ("reason", why)])
        .await;
    assert_eq!(shown.status(), 200);
    assert_eq!(shown.headers()["cache-control"], "no-store");
    let shown = shown.text().await.unwrap();
    assert!(shown.contains("PHI-info"), "{shown}");
    assert!(!shown.contains("<b>about"), "what was typed is text");
    let audit = operator.page("/audit").await;
    assert!(
        audit.contains("read payload") && audit.contains("A call of the clinic"),
        "{audit}"
    );
    assert!(
        operator
            .page(&event)
            .await
            .contains("Its content was read 1 time.")
    );
    let metrics = receiver.metrics().await;
    assert!(metrics.contains("content_reveals_total 1"), "{metrics}");
}

#[tokio::test]
async fn an_operator_replays_and_purges_an_event_from_its_page() {
    let (receiver, ehr, id) = with_a_dead_event().await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let page = operator.page(&format!("/events/{id}")).await;
    for words in [
        "The sink rejects the content",
        "deliver.rejected",
        "HTTP 422",
        "Fix the rule",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    ehr.answers(|_| axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT));
    let form = [
        ("from", "deliver"),
        ("sink", "ehr"),
        ("reason", "the rule is fixed"),
    ];
    let done = operator.post(&format!("/events/{id}/replay"), &form).await;
    assert_eq!(place(&done), format!("/events/{id}?said=replayed"));
    receiver.becomes(&id, "done").await;
    let purge = format!("/events/{id}/purge");
    let slip = operator.post(&purge, &[("confirm", "nothex")]).await;
    assert_eq!(slip.status(), 400);
    let done = operator
        .post(&purge, &[("confirm", &id[id.len() - 6..])])
        .await;
    assert_eq!(done.status(), 303);
    assert!(
        operator
            .page(&format!("/events/{id}"))
            .await
            .contains("Its content is removed")
    );
    assert!(operator.page("/audit").await.contains("the rule is fixed"));
}

#[tokio::test]
async fn a_group_is_planned_replayed_and_followed_to_its_end() {
    let (receiver, ehr, _) = with_a_dead_event().await;
    let second = receiver.post(failure("s2")).await;
    receiver.becomes(&second, "dead").await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let attention = operator.page("/attention").await;
    let plan = "/replays/new?state=dead&amp;cause=deliver.rejected&amp;sink=ehr&amp;from=deliver";
    assert!(attention.contains(plan), "{attention}");
    let planned = operator.page(&plan.replace("&amp;", "&")).await;
    assert!(planned.contains("Replay 2 events"), "{planned}");
    ehr.answers(|_| axum::response::IntoResponse::into_response(StatusCode::NO_CONTENT));
    let form = [
        ("state", "dead"),
        ("cause", "deliver.rejected"),
        ("sink", "ehr"),
        ("from", "deliver"),
        ("to", "ehr"),
        ("rate", "100"),
    ];
    let begun = operator.post("/replays/start", &form).await;
    let job = place(&begun).split('?').next().unwrap().to_owned();
    eventually("both are done", async || {
        let page = operator.page(&job).await;
        page.contains("<dt>Done again</dt><dd>2</dd>")
    })
    .await;
    assert!(
        operator
            .page("/attention")
            .await
            .contains("Nothing needs attention")
    );
    let everything = operator
        .post("/replays/start", &[("from", "deliver"), ("rate", "5")])
        .await;
    assert_eq!(everything.status(), 400, "without a filter");
}

#[tokio::test]
async fn every_page_keeps_to_itself_and_runs_no_script_but_its_own() {
    let (receiver, _ehr, id) = with_a_dead_event().await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let event = format!("/events/{id}");
    for path in PAGES.iter().chain([&&*event, &"/audit", &"/sign-in"]) {
        let answer = operator.answer(path).await;
        // With `no-referrer`, browsers send no origin along with a form, and the form is refused.
        assert_eq!(answer.headers()["referrer-policy"], "same-origin");
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{path}: {policy}"
        );
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        let types: Vec<_> = answer.headers().get_all("content-type").iter().collect();
        assert_eq!(types, ["text/html; charset=utf-8"], "{path}");
        let page = answer.text().await.unwrap();
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
        assert_eq!(page.matches("<script").count(), 1, "{path}");
        for forbidden in [
            " style=",
            " onclick=",
            " onload=",
            "javascript:",
            "http://",
            "https://",
        ] {
            let page = page
                .replace("http://127.0.0.1:8080", "")
                .replace("http://127.0.0.1:9464", "");
            let page = page.replace("http://www.w3.org", "");
            assert!(!page.contains(forbidden), "{path}: {forbidden}");
        }
    }
    let sheet = operator.page("/").await;
    let path = sheet
        .split('"')
        .find(|part| part.ends_with(".css"))
        .unwrap()
        .to_owned();
    let asset = operator.answer(&path).await;
    assert!(
        asset.headers()["cache-control"]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
}

#[tokio::test]
async fn any_id_leads_to_its_page() {
    let receiver = Receiver::start().await;
    let id = receiver.post(failure("s 1")).await;
    receiver.becomes(&id, "done").await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    for (wanted, page) in [
        (&*id, format!("/events/{id}")),
        ("s+1", "/events?session_id=s+1".to_owned()),
        ("e-s+1", "/events?encounter_id=e-s+1".to_owned()),
        ("", "/events".to_owned()),
    ] {
        let answer = operator.answer(&format!("/go?q={wanted}")).await;
        assert_eq!(place(&answer), page);
    }
}

#[tokio::test]
async fn a_rotated_token_ends_the_sessions_that_were_opened_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("token");
    std::fs::write(&file, "the-first-token-of-ann").unwrap();
    let settings = [("ADMIN__TOKEN_FILE", file.display().to_string())];
    let binary = Binary::start(temp.path(), &settings).await;
    let ann = Visitor::sign_in(binary.admin, "the-first-token-of-ann").await;
    ann.page("/").await;
    std::fs::write(&file, "the-second-token-of-ann").unwrap();
    binary.signal(nix::sys::signal::Signal::SIGHUP);
    eventually("the session is over", async || {
        ann.answer("/").await.status() == 303
    })
    .await;
    let again = Visitor::sign_in(binary.admin, "the-second-token-of-ann").await;
    again.page("/").await;
}

#[tokio::test]
async fn the_configuration_is_shown_with_its_secrets_masked() {
    let temp = tempfile::tempdir().unwrap();
    let binary = Binary::start(temp.path(), &[("ADMIN__LABEL", "STAGING".to_owned())]).await;
    let operator = Visitor::sign_in(binary.admin, &binary.token()).await;
    let page = operator.page("/system").await;
    assert!(
        page.contains("STAGING") && page.contains("drain_timeout"),
        "{page}"
    );
    assert!(!page.contains(crate::support::SECRET), "{page}");
}

#[tokio::test]
async fn an_event_links_to_its_trace_where_it_is_said_where_traces_are_shown() {
    let receiver = Receiver::start_with(|config| {
        config.admin.console.trace_url = "https://traces.example/trace/{trace_id}".to_owned();
    })
    .await;
    let id = receiver.post(failure("s")).await;
    let page = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let page = page.page(&format!("/events/{id}")).await;
    let link = format!("https://traces.example/trace/{}", id.replace('-', ""));
    assert!(page.contains(&link), "{page}");
}

#[tokio::test]
async fn an_operator_pauses_a_sink_with_a_reason_that_everyone_sees_and_a_viewer_cannot() {
    let receiver = Receiver::start().await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let viewer = Visitor::sign_in(receiver.admin, "viewer-token").await;
    assert!(operator.page("/dependencies").await.contains("Pause…"));
    assert!(!viewer.page("/dependencies").await.contains("Pause…"));
    let reason = [("reason", "ticket 4711 <b>")];
    let refused = viewer.post("/sinks/archive/pause", &reason).await;
    assert_eq!(refused.status(), 403);
    let unknown = operator.post("/sinks/gone/pause", &reason).await;
    assert_eq!(unknown.status(), 404);
    assert!(!viewer.page("/").await.contains("are paused"));
    assert!(!viewer.page("/attention").await.contains("Paused sinks"));
    let done = operator.post("/sinks/archive/pause", &reason).await;
    assert_eq!(place(&done), "/dependencies?said=paused");
    let page = viewer.page("/dependencies").await;
    assert!(page.contains("by ops: ticket 4711 &lt;b&gt;"), "{page}");
    assert!(!page.contains("takes deliveries") && !page.contains("Resume…"));
    let id = receiver.post(failure("s1")).await;
    receiver.becomes(&id, "delivering").await;
    let event = viewer.page(&format!("/events/{id}")).await;
    assert!(event.contains("its sink is paused"), "{event}");
    let overview = viewer.page("/").await;
    assert!(overview.contains("Deliveries to archive are paused and wait."));
    assert!(!overview.contains("nothing needs attention"), "{overview}");
    let attention = viewer.page("/attention").await;
    assert!(attention.contains("Paused sinks") && attention.contains("ticket 4711"));
    let done = operator.post("/sinks/archive/resume", &[]).await;
    assert_eq!(place(&done), "/dependencies?said=resumed");
    let page = viewer.page("/dependencies").await;
    assert!(page.contains("takes deliveries") && !page.contains("ticket 4711"));
}

#[tokio::test]
async fn an_events_page_names_the_instances_where_another_one_took_part() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::start_in(temp.path(), |_| {}).await;
    let id = receiver.post(failure("s1")).await;
    let event = receiver.becomes(&id, "done").await;
    let timeline = event["timeline"].as_array().unwrap();
    let by = |what: &str| {
        let found = timeline.iter().find(|it| it["what"] == what);
        found.unwrap()["instance"].as_str()
    };
    assert_eq!(by("received"), None);
    assert_eq!(by("deliver to archive"), Some("test"));
    let path = format!("/events/{id}");
    let visitor = Visitor::sign_in(receiver.admin, OPERATOR).await;
    assert!(!visitor.page(&path).await.contains("by test"));
    receiver.stop().await;
    let rename = |config: &mut suki_receiver::config::Config| {
        config.server.instance = "other".to_owned();
    };
    let receiver = Receiver::start_in(temp.path(), rename).await;
    let visitor = Visitor::sign_in(receiver.admin, OPERATOR).await;
    assert!(visitor.page(&path).await.contains("by test"));
}

#[tokio::test]
async fn an_operator_notes_something_on_a_cause_that_everyone_sees_and_a_viewer_cannot() {
    let (receiver, _ehr, _) = with_a_dead_event().await;
    let operator = Visitor::sign_in(receiver.admin, OPERATOR).await;
    let viewer = Visitor::sign_in(receiver.admin, "viewer-token").await;
    let page = operator.page("/attention").await;
    assert!(page.contains("Write a note…") && page.contains("no patient data belongs here"));
    assert!(!viewer.page("/attention").await.contains("Write a note…"));
    let path = "/causes/deliver.rejected/note";
    let note = [("sink", "ehr"), ("text", "ticket 4711 <b>")];
    assert_eq!(viewer.post(path, &note).await.status(), 403);
    let unknown = operator.post("/causes/no.cause/note", &note).await;
    assert_eq!(unknown.status(), 404);
    let done = operator.post(path, &note).await;
    assert_eq!(place(&done), "/attention?said=noted");
    let page = viewer.page("/attention").await;
    assert!(page.contains("ticket 4711 &lt;b&gt;"), "{page}");
    assert!(page.contains("ops, "), "{page}");
    let page = operator.page("/attention").await;
    assert!(page.contains("Change the note…"), "{page}");
    operator.post(path, &[("sink", "ehr"), ("text", "")]).await;
    assert!(!viewer.page("/attention").await.contains("4711"));
}
