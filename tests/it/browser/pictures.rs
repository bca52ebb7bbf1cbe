//! The pictures of the console in the documents: taken here, so that they can be taken anew and do not age.
//!
//! `cp target/pictures/*.png docs/images/` takes them over. What is on them differs by its times and ids from run to run, so
//! nothing compares them.

use std::path::Path;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use suki_receiver::lab::simulator::Session;

use super::Browser;
use crate::support::{HttpReceiver, OPERATOR, Receiver, Signed, Vendor, completed, failure};

/// A receiver at which a few things have gone wrong; the id of an event that one sink has and another one rejects.
async fn receiver(
    vendor: &Vendor,
    (ehr, archive): (&HttpReceiver, &HttpReceiver),
) -> (Receiver, String) {
    ehr.answers(|_| StatusCode::UNPROCESSABLE_ENTITY.into_response());
    let sinks = vec![archive.sink("archive"), ehr.sink("ehr")];
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.sinks = sinks;
        config.admin.label = "STAGING".to_owned();
    })
    .await;
    let mut last = String::new();
    for n in 0..4 {
        let session = format!("4f1c27be-90d3-4c1e-b7a2-5d0e63a9f1{n:02}");
        vendor
            .sdp
            .add_session(Session::ambient(&session).in_encounter(format!("visit-{n}")));
        let links = ["content", "structured-data", "transcript"]
            .map(|part| format!("/api/v1/ambient/session/{session}/{part}"));
        let [note, data, words] = links;
        let links = [
            ("contents", note),
            ("structured_data", data),
            ("transcripts", words),
        ];
        last = receiver.post(completed(&session, &links)).await;
        receiver.becomes(&last, "dead").await;
    }
    let unknown = "/api/v1/ambient/session/8c55d7a0/content".to_owned();
    vendor.faults("content=400");
    let refused = receiver
        .post(completed("8c55d7a0", &[("contents", unknown)]))
        .await;
    receiver.becomes(&refused, "dead").await;
    vendor.faults("");
    Signed::new(*b"<html>502 Bad Gateway</html>")
        .post(&receiver.webhook())
        .await;
    let wrong = Signed::new(failure("refused")).with_secret("of last year");
    wrong.post(&receiver.webhook()).await;
    (receiver, last)
}

#[tokio::test]
async fn the_pictures_of_the_documents_are_taken() {
    let vendor = Vendor::start().await;
    let (ehr, archive) = (HttpReceiver::start().await, HttpReceiver::start().await);
    let (receiver, event) = receiver(&vendor, (&ehr, &archive)).await;
    let browser = Browser::start().await;
    let admin = format!("http://{}", receiver.admin);
    browser.open(&format!("{admin}/sign-in#{OPERATOR}")).await;
    browser.says("h1", "Overview").await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    std::fs::create_dir_all(&folder).unwrap();
    for theme in ["light", "dark"] {
        let cookie = format!("document.cookie = 'theme={theme}; path=/'");
        browser.run(&cookie).await;
        browser.set_width(1280).await;
        let event = format!("/events/{event}");
        for (name, path, heading) in [
            ("attention", "/attention", "Needs attention"),
            ("event", event.as_str(), "Event"),
        ] {
            browser.open(&format!("{admin}{path}")).await;
            browser.says("h1", heading).await;
            browser.says("#live-word", "live").await;
            let picture = browser.client.screenshot().await.unwrap();
            std::fs::write(folder.join(format!("{name}-{theme}.png")), picture).unwrap();
        }
    }
    browser.close().await;
}
