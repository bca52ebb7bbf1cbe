//! Registers sessions with a receiver, and retries until one accepts, as a partner's software does. For some of the
//! sessions no notification is ever sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use url::Url;

use super::instance::TOKEN;
use super::ledger::Ledger;
use crate::lab::simulator::Session;

/// How long a registration is retried.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The time limit for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Registers a session that ends now, with the first receiver that accepts it.
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
