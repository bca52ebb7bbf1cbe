//! Checks that each event was delivered as it was sent, with exactly the content that the vendor's API has of its
//! session.

use super::deliveries::{Content, Deliveries, Resource};
use super::ledger::{NO_BODY, Sent, SentSession};
use crate::domain::SessionStatus;
use crate::lab::simulator::Sdp;

/// Delivered events that differ from what was sent or served.
pub(super) fn foreign(sent: &Sent, got: &Deliveries, sdp: &Sdp) -> Vec<String> {
    let mut found = Vec::new();
    for (id, event) in got {
        let Some(known) = sent.sessions.get(&event.content.session) else {
            found.push(format!("{id} is of a session that was not sent"));
            continue;
        };
        if !event.is_always_the_same {
            found.push(format!("{id} came in different forms"));
        }
        let wrong = wrong(known, &event.content, sdp);
        found.extend(wrong.into_iter().map(|wrong| format!("{id} {wrong}")));
    }
    found
}

fn wrong(known: &SentSession, content: &Content, sdp: &Sdp) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_sent = |body: &String| body.trim() == content.notification.trim();
    // A registered session may have been recovered by polling before its notification came.
    let is_recovered = known.is_expected && content.notification == NO_BODY;
    if !is_recovered && !known.bodies.iter().any(is_sent) {
        wrong.push("has another notification than was sent".to_owned());
    }
    let status = &known.session.status;
    let r#type = format!(
        "ai.suki.session.{}",
        SessionStatus::new(status).outcome().as_str()
    );
    if content.r#type != r#type || content.status.as_ref().is_some_and(|told| told != status) {
        wrong.push(format!(
            "is {} and {:?} of a session that is {status}",
            content.r#type, content.status
        ));
    }
    // The receiver waits for links, including best-effort ones, much longer than any fault lasts.
    for missing in &content.missing {
        wrong.push(format!("lacks {missing}"));
    }
    let expected = expected(known, content, sdp);
    for resource in &expected {
        if !content.resources.contains(resource) {
            wrong.push(format!("came without {} as it is served", resource.href));
        }
    }
    // All expected resources are there, so any further one is wrong.
    if content.resources.len() > expected.len() {
        wrong.push(format!("came with {} resources", content.resources.len()));
    }
    wrong
}

/// The resources expected with a notification: those of its links, or of the standard links if it has none. The status
/// is not among them: it is requested only to determine the standard links.
fn expected(known: &SentSession, content: &Content, sdp: &Sdp) -> Vec<Resource> {
    let has_links = serde_json::from_str::<serde_json::Value>(&content.notification)
        .is_ok_and(|notification| notification.get("_links").is_some());
    sdp.served(&known.session)
        .into_iter()
        .filter(|served| has_links || served.group != "status")
        .map(|served| Resource::new(served.group, served.href, 200, &served.body))
        .collect()
}
