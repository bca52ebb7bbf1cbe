//! Sessions that a receiver is told to expect: as a partner's software does, it says so again until it was heard. Of some
//! of them no notification ever comes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use url::Url;

use super::instance::TOKEN;
use super::ledger::Ledger;
use crate::lab::simulator::Session;

/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Registers one session that ends now with whichever receiver takes it.
pub(super) async fn register(registrations: &[Url], session: &Session, ledger: Arc<Ledger>) {
    let Ok(client) = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()
    else {
        return;
    };
    let said = json!({
        "session_id": session.id,
        "encounter_id": session.encounter_id,
        "ended_at": jiff::Timestamp::now().to_string(),
    });
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        for url in registrations {
            let request = client.post(url.clone()).bearer_auth(TOKEN);
            let answer = request.body(said.to_string()).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return ledger.expected(&session.id);
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}
