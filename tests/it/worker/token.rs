//! Logging in: once, ahead of time, again when a token is no longer taken, and by each source of the partner token.

use std::time::Duration;

use suki_receiver::config::{AuthMode, Config, PartnerToken, Secret, SigningKey};

use crate::support::{Receiver, Signed, Vendor, completed, eventually};

async fn deliver(vendor: &Vendor, receiver: &Receiver, sessions: &[&str]) {
    for session in sessions {
        let body = completed(session, &vendor.completed(session));
        receiver.post(body).await;
    }
}

#[tokio::test]
async fn many_events_at_once_log_in_once() {
    let vendor = Vendor::start().await;
    vendor.faults("login=slow:100ms");
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    deliver(&vendor, &receiver, &["a", "b", "c", "d", "e"]).await;
    receiver.delivers(5).await;
    assert_eq!(vendor.sdp.logins(), 1);
}

#[tokio::test]
async fn the_metrics_show_when_the_token_ends_and_0_while_there_is_none() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let ends = async || {
        let name = "suki_receiver_sdp_token_expiry_timestamp_seconds{identity=\"default\"} ";
        let metrics = receiver.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(ends().await, 0.0);
    deliver(&vendor, &receiver, &["a"]).await;
    receiver.delivers(1).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    assert!(ends().await > now.unwrap().as_secs_f64());
    // It is refused, and there is no other.
    vendor.faults("login=500");
    vendor.sdp.revoke_tokens();
    deliver(&vendor, &receiver, &["b"]).await;
    eventually("there is none", async || ends().await == 0.0).await;
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_replaced_and_the_call_repeated() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    deliver(&vendor, &receiver, &["a"]).await;
    receiver.delivers(1).await;
    vendor.sdp.revoke_tokens();
    deliver(&vendor, &receiver, &["b"]).await;
    receiver.delivers(2).await;
    assert_eq!(
        vendor.sdp.logins(),
        2,
        "one login for all that were refused"
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let vendor =
        Vendor::start_with(|options| options.token_lifetime = Duration::from_secs(2)).await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let mut sent = 0;
    while vendor.sdp.logins() < 3 {
        let session = format!("s{sent}");
        deliver(&vendor, &receiver, &[&session]).await;
        sent += 1;
        receiver.delivers(sent).await;
        assert!(sent < 2000);
    }
    let refused = vendor
        .sdp
        .calls()
        .iter()
        .filter(|call| call.status == Some(401))
        .count();
    assert_eq!(refused, 0, "no call went out with a token that had ended");
}

#[tokio::test]
async fn a_provider_who_is_not_registered_is_no_login_loop_but_a_dead_event_with_the_reason() {
    let vendor = Vendor::start().await;
    vendor.faults("any=401;message=provider_not_registered");
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let body = completed("s", &vendor.completed("s"));
    let (_, answer) = Signed::new(body).post(&receiver.webhook()).await;
    let id = answer["id"].as_str().unwrap();
    let event = receiver.becomes(id, "dead").await;
    assert!(
        event["last_error"]
            .as_str()
            .unwrap()
            .contains("provider_not_registered"),
        "{event}"
    );
    assert!(vendor.sdp.logins() + vendor.sdp.count("login") <= 8);
}

#[tokio::test]
async fn in_single_auth_token_mode_the_provider_goes_with_the_login_and_with_every_call() {
    let vendor = Vendor::start_with(|options| options.single_auth = true).await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        let auth = config.sdp.auth.as_mut().unwrap();
        auth.mode = AuthMode::SingleAuthToken {
            provider_id: "provider-7".to_owned(),
        };
    })
    .await;
    deliver(&vendor, &receiver, &["s"]).await;
    receiver.delivers(1).await;
    let calls = vendor.sdp.calls();
    let fetches: Vec<_> = calls
        .iter()
        .filter(|call| !call.path.contains("login"))
        .collect();
    assert!(
        !fetches.is_empty()
            && fetches
                .iter()
                .all(|call| call.provider.as_deref() == Some("provider-7"))
    );
}

/// Delivers with a partner token of this source.
async fn with_partner_token(source: PartnerToken) {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config: &mut Config| {
        vendor.follow(config);
        config.sdp.auth.as_mut().unwrap().partner_token = source;
    })
    .await;
    deliver(&vendor, &receiver, &["s"]).await;
    receiver.delivers(1).await;
}

#[tokio::test]
async fn a_partner_token_can_be_signed_here() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)
        .unwrap()
        .serialize_pem();
    with_partner_token(PartnerToken::SelfSigned(SigningKey {
        key: Secret::literal(key),
        issuer: "https://idp.example".to_owned(),
        audience: "suki".to_owned(),
        subject: "clinician@example.com".to_owned(),
        key_id: "k1".to_owned(),
    }))
    .await;
}

#[tokio::test]
async fn a_broken_signing_key_is_said_in_readyz_and_waits_to_be_mended() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.sdp.auth.as_mut().unwrap().partner_token = PartnerToken::SelfSigned(SigningKey {
            key: Secret::literal("PHI no key"),
            issuer: String::new(),
            audience: String::new(),
            subject: String::new(),
            key_id: String::new(),
        });
    })
    .await;
    deliver(&vendor, &receiver, &["s"]).await;
    eventually("readyz says so", || async {
        receiver
            .get("/readyz")
            .await
            .1
            .to_string()
            .contains("signing_key")
    })
    .await;
    let (status, report) = receiver.get("/readyz").await;
    assert_eq!(status, 200, "notifications are still taken");
    assert!(!report.to_string().contains("PHI"));
}

#[tokio::test]
async fn a_link_that_is_refused_with_every_token_holds_up_no_other() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.follow.best_effort_for = Duration::from_millis(500);
    })
    .await;
    vendor.faults("transcript=401;message=invalid_sdp_token");
    let sessions: Vec<String> = (0..30).map(|n| format!("s{n}")).collect();
    let sessions: Vec<&str> = sessions.iter().map(String::as_str).collect();
    deliver(&vendor, &receiver, &sessions).await;
    receiver.delivers(30).await;
    let logins = vendor.sdp.logins();
    assert!(logins < 15, "{logins} logins");
}
