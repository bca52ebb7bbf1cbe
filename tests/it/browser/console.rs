//! What an operator does in a browser, and what a browser finds wrong with the pages.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use suki_receiver::lab::simulator::Session;

use super::{Browser, ELSEWHERE};
use crate::support::{
    Binary, HttpReceiver, OPERATOR, Receiver, Signed, Vendor, completed, eventually, failure, http,
};

const ENTER: &str = "\u{e007}";

/// A receiver with one event that is done, one that is dead, one in the quarantine, and one expected session.
async fn receiver(vendor: &Vendor, ehr: &HttpReceiver) -> (Receiver, String) {
    ehr.answers(|n| match n {
        0 => StatusCode::NO_CONTENT.into_response(),
        _ => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
    });
    let sink = ehr.sink("ehr");
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.sinks = vec![sink];
        config.admin.label = "STAGING".to_owned();
    })
    .await;
    vendor.sdp.add_session(Session::ambient("done"));
    let link = "/api/v1/ambient/session/done/content".to_owned();
    let done = completed("done", &[("contents", link)]);
    let done = receiver.post(done).await;
    receiver.becomes(&done, "done").await;
    let dead = receiver.post(failure("dead")).await;
    receiver.becomes(&dead, "dead").await;
    let quarantined = crate::support::Signed::new(*b"<xml/>");
    quarantined.post(&receiver.webhook()).await;
    let said = serde_json::json!({"session_id": "expected"});
    receiver.admin_post("/api/v1/sessions", said).await;
    (receiver, dead)
}

/// Signs in by the keyboard alone.
async fn sign_in(browser: &Browser, receiver: &Receiver) -> String {
    sign_in_at(browser, &receiver.admin.to_string()).await
}

async fn sign_in_at(browser: &Browser, address: &str) -> String {
    let admin = format!("http://{address}");
    browser.open(&format!("{admin}/sign-in")).await;
    browser.press(OPERATOR).await;
    browser.press(ENTER).await;
    browser.says("h1", "Overview").await;
    admin
}

#[tokio::test]
async fn a_dead_event_is_found_and_replayed_by_the_keyboard_alone_and_seen_done() {
    let (vendor, ehr) = (Vendor::start().await, HttpReceiver::start().await);
    let (receiver, dead) = receiver(&vendor, &ehr).await;
    let browser = Browser::start().await;
    let admin = sign_in(&browser, &receiver).await;
    browser.press("g").await;
    browser.press("a").await;
    browser.says("h1", "Needs attention").await;
    browser.tab_to("Open the list").await;
    browser.press(ENTER).await;
    browser.says("h1", "Events").await;
    browser.tab_to(&dead[dead.len() - 4..]).await;
    browser.press(ENTER).await;
    browser.says("#state", "dead").await;
    ehr.answers(|_| StatusCode::NO_CONTENT.into_response());
    browser.tab_to("Replay…").await;
    browser.press(ENTER).await;
    browser.tab_to("reason").await;
    browser.press("The rule is fixed").await;
    browser.press(ENTER).await;
    browser.says("#state", "done").await;
    browser.open(&format!("{admin}/audit")).await;
    browser.says("table", "The rule is fixed").await;
    browser.close().await;
}

#[tokio::test]
async fn an_operator_signs_in_over_plain_http_from_another_machine() {
    let receiver = Receiver::start_with(|config| {
        config.admin.console.hosts = vec![ELSEWHERE.to_owned()];
    })
    .await;
    let browser = Browser::start().await;
    let address = format!("{ELSEWHERE}:{}", receiver.admin.port());
    sign_in_at(&browser, &address).await;
    browser.close().await;
}

#[tokio::test]
async fn content_is_revealed_with_a_reason_and_gone_when_the_tab_is_left() {
    let (vendor, ehr) = (Vendor::start().await, HttpReceiver::start().await);
    let (receiver, dead) = receiver(&vendor, &ehr).await;
    let browser = Browser::start().await;
    let admin = sign_in(&browser, &receiver).await;
    browser.open(&format!("{admin}/events/{dead}")).await;
    browser.tab_to("Reveal clinical content…").await;
    browser.press(ENTER).await;
    browser.tab_to("reason").await;
    browser.press("A call of the clinic about this note").await;
    browser.press(ENTER).await;
    browser.says("#revealed", "PHI-detail").await;
    browser.run("dispatchEvent(new Event('pagehide'))").await;
    eventually("it is hidden", async || {
        browser
            .text("#revealed")
            .await
            .is_ok_and(|text| text.is_empty())
    })
    .await;
    browser.open(&format!("{admin}/audit")).await;
    browser
        .says("table", "A call of the clinic about this note")
        .await;
    browser.close().await;
}

#[tokio::test]
async fn a_page_follows_what_happens_and_says_when_it_cannot() {
    let (vendor, ehr) = (Vendor::start().await, HttpReceiver::start().await);
    let (mut_receiver, _) = receiver(&vendor, &ehr).await;
    let browser = Browser::start().await;
    let admin = sign_in(&browser, &mut_receiver).await;
    browser.says("#live-word", "live").await;
    browser.open(&format!("{admin}/events")).await;
    browser.says("#live-word", "live").await;
    mut_receiver.post(failure("new")).await;
    browser.says("#new", "1 new event").await;
    browser.open(&format!("{admin}/")).await;
    browser.says("#live-word", "live").await;
    mut_receiver.stop().await;
    browser.says("#live-word", "lost").await;
    browser.close().await;
}

#[tokio::test]
async fn a_page_whose_stream_was_cut_comes_back_by_itself_and_shows_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    let (public, admin, token) = (binary.public, binary.admin, binary.token());
    binary.post(failure("before")).await;
    let browser = Browser::start().await;
    browser
        .open(&format!("http://{admin}/sign-in#{token}"))
        .await;
    browser.says("h1", "Overview").await;
    browser.open(&format!("http://{admin}/events")).await;
    browser.says("#count", "1 event").await;
    browser.says("#live-word", "live").await;
    binary.kill();
    browser.says("#live-word", "lost").await;
    let binary = Binary::spawn_on(&[], dir.path(), public, admin, &[]);
    eventually("another process is there", async || {
        let missed = Signed::new(failure("missed"));
        missed
            .try_post(&http(), &binary.webhook())
            .await
            .is_ok_and(|(status, _)| status == 200)
    })
    .await;
    browser.says("#live-word", "live").await;
    browser.says("#count", "2 events").await;
    browser.close().await;
}

#[tokio::test]
async fn no_page_has_anything_wrong_that_a_browser_or_axe_finds() {
    let (vendor, ehr) = (Vendor::start().await, HttpReceiver::start().await);
    let (receiver, dead) = receiver(&vendor, &ehr).await;
    let browser = Browser::start().await;
    let admin = format!("http://{}", receiver.admin);
    let mut wrong = Vec::new();
    browser.open(&format!("{admin}/sign-in")).await;
    wrong.extend(browser.violations().await);
    sign_in(&browser, &receiver).await;
    let event = format!("/events/{dead}");
    for theme in ["light", "dark"] {
        browser
            .run(&format!("document.cookie = 'theme={theme}; path=/'"))
            .await;
        for width in [320, 1280] {
            browser.set_width(width).await;
            for path in [
                "/",
                "/attention",
                "/events",
                "/events?state=dead,quarantined",
                &event,
                "/expected",
                "/replays",
                "/replays/new?state=dead",
                "/dependencies",
                "/audit",
                "/system",
            ] {
                browser.open(&format!("{admin}{path}")).await;
                let place = format!("{path} {theme} {width}");
                let found = browser.violations().await.into_iter();
                wrong.extend(found.map(|one| format!("{place}: {one}")));
                let script = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
                if browser.run(script).await == true {
                    wrong.push(format!("{place}: wider than the window"));
                }
            }
        }
    }
    wrong.extend(browser.complaints().await);
    assert!(wrong.is_empty(), "{wrong:#?}");
    browser.close().await;
}

#[tokio::test]
async fn a_sink_is_paused_and_resumed_by_the_keyboard_alone() {
    let (vendor, ehr) = (Vendor::start().await, HttpReceiver::start().await);
    let (receiver, _) = receiver(&vendor, &ehr).await;
    let browser = Browser::start().await;
    sign_in(&browser, &receiver).await;
    browser.press("g").await;
    browser.press("d").await;
    browser.says("h1", "Sinks and Suki").await;
    browser.tab_to("Pause…").await;
    browser.press(ENTER).await;
    browser.tab_to("reason").await;
    browser.press("The target is upgraded").await;
    browser.press(ENTER).await;
    browser.says("#sinks", "The target is upgraded").await;
    browser.tab_to("Resume…").await;
    browser.press(ENTER).await;
    browser.tab_to("Resume ehr").await;
    browser.press(ENTER).await;
    browser.says("#sinks", "takes deliveries").await;
    browser.close().await;
}
