//! Several identities: who is asked about whose session, what is remembered of it, and what one that is broken costs.

use std::time::Duration;

use serde_json::json;
use suki_receiver::config::{
    AuthMode, Config, Identity, PartnerToken, ProviderCommand, ProviderPattern, Sdp, SdpAuth,
    Secret, SigningKey,
};
use suki_receiver::domain::{EncounterId, SessionId, SessionKind};
use suki_receiver::lab::simulator::{Call, Endpoint, Session};
use suki_receiver::metrics::Metrics;
use suki_receiver::sdp::{Client, Failure, Subject};

use crate::support::{Receiver, Vendor, eventually};

/// Logs in with a token that stands for this provider.
fn auth(provider: &str) -> SdpAuth {
    by(PartnerToken::Given(Secret::literal(provider)))
}

fn by(partner_token: PartnerToken) -> SdpAuth {
    SdpAuth {
        mode: AuthMode::Standard,
        partner_id: "partner-1".to_owned(),
        partner_token,
    }
}

/// A partner token that cannot be made.
fn broken() -> SdpAuth {
    by(signed(Secret::literal("PHI no key"), "subject"))
}

fn signed(key: Secret, subject: &str) -> PartnerToken {
    PartnerToken::SelfSigned(SigningKey {
        key,
        issuer: "https://idp.example".to_owned(),
        audience: "suki".to_owned(),
        subject: subject.to_owned(),
        key_id: String::new(),
    })
}

fn identity(name: &str, auth: SdpAuth, matches: &[&str]) -> Identity {
    let matches = matches.iter().map(|text| ProviderPattern::new(text));
    Identity {
        name: name.to_owned(),
        auth,
        matches: matches.collect::<Result<_, _>>().unwrap(),
    }
}

/// The default identity and these, each for the provider of its name.
fn with(config: &mut Config, vendor: &Vendor, names: &[&str]) {
    vendor.follow(config);
    let identities = names.iter().map(|name| identity(name, auth(name), &[name]));
    config.sdp.identities = identities.collect();
}

/// Makes a session of that provider known, and gives back its notification: its note is its only link.
fn session_of(vendor: &Vendor, session: &str, encounter: &str, provider: &str) -> String {
    let known = Session::ambient(session).in_encounter(encounter);
    vendor.sdp.add_session(known.of_provider(provider));
    let href = format!("/api/v1/ambient/session/{session}/content");
    json!({
        "_links": {"contents": [{"href": href, "method": "GET", "name": "content"}]},
        "encounter_id": encounter, "session_id": session, "status": "success",
    })
    .to_string()
}

/// Who asked for content, with what each was answered.
fn asked(vendor: &Vendor) -> Vec<(String, u16)> {
    let calls = vendor.sdp.calls();
    let contents = calls.iter().filter(|call| call.path.contains("/content"));
    let who = |call: &Call| {
        (
            call.user.clone().unwrap_or_default(),
            call.status.unwrap_or(0),
        )
    };
    contents.map(who).collect()
}

/// A client of its own, with these identities and no default.
fn client(vendor: &Vendor, identities: Vec<Identity>) -> Client {
    let sdp = Sdp {
        base_url: format!("http://{}", vendor.address).parse().unwrap(),
        identities,
        ..Sdp::default()
    };
    Client::new(&sdp, Vec::new(), Metrics::new()).unwrap()
}

/// Asks for the status of a session of this provider, who is named.
async fn read(client: &Client, session: &str, provider: &str) -> Result<(), Failure> {
    let session = SessionId::new(session).unwrap();
    let subject = Subject {
        session: &session,
        encounter: None,
        provider: Some(provider),
    };
    client
        .status(&subject, SessionKind::Ambient)
        .await
        .map(|_| ())
}

#[tokio::test]
async fn the_next_identity_is_asked_where_one_is_refused() {
    let vendor = Vendor::start().await;
    let receiver =
        Receiver::start_with(|config| with(config, &vendor, &["dr-a", "dr-b", "dr-c"])).await;
    let body = session_of(&vendor, "s", "e", "dr-b");
    receiver.post(body).await;
    receiver.delivers_one().await;
    let statuses: Vec<u16> = asked(&vendor).iter().map(|(_, status)| *status).collect();
    assert_eq!(statuses, [403, 403, 200], "the default, dr-a and dr-b");
}

#[tokio::test]
async fn a_provider_who_is_not_registered_leads_to_the_next_identity() {
    let vendor = Vendor::start().await;
    vendor.faults("login=401:1;message=provider_not_registered");
    let receiver = Receiver::start_with(|config| with(config, &vendor, &["dr-a"])).await;
    let body = session_of(&vendor, "s", "e", "dr-a");
    receiver.post(body).await;
    receiver.delivers_one().await;
    assert_eq!(asked(&vendor), [("dr-a".to_owned(), 200)]);
}

#[tokio::test]
async fn who_read_an_encounter_is_asked_first_for_its_next_session() {
    let vendor = Vendor::start().await;
    let receiver =
        Receiver::start_with(|config| with(config, &vendor, &["dr-a", "dr-b", "dr-c"])).await;
    receiver.post(session_of(&vendor, "one", "e", "dr-c")).await;
    receiver.delivers(1).await;
    assert_eq!(asked(&vendor).len(), 4);
    vendor.sdp.reset();
    receiver.post(session_of(&vendor, "two", "e", "dr-c")).await;
    receiver.delivers(2).await;
    assert_eq!(asked(&vendor), [("dr-c".to_owned(), 200)]);
    vendor.sdp.reset();
    receiver
        .post(session_of(&vendor, "three", "other", "dr-c"))
        .await;
    receiver.delivers(3).await;
    assert_eq!(asked(&vendor).len(), 4, "another encounter says nothing");
}

#[tokio::test]
async fn a_session_that_all_refuse_is_a_dead_event_that_says_how_many_were_asked() {
    let vendor = Vendor::start().await;
    let names = ["dr-a", "dr-b", "dr-c", "dr-d", "dr-e"];
    let receiver = Receiver::start_with(|config| with(config, &vendor, &names)).await;
    let id = receiver.post(session_of(&vendor, "s", "e", "dr-z")).await;
    let event = receiver.becomes(&id, "dead").await;
    assert_eq!(
        event["last_error"], "contents: HTTP 403 permission_denied (identities asked: 4)",
        "the default and three others"
    );
    assert_eq!(asked(&vendor).len(), 4);
    // A replay goes on with those that had no turn.
    vendor.sdp.reset();
    let path = format!("/api/v1/events/{id}/replay");
    receiver.admin_post(&path, json!({})).await;
    eventually("it is tried again", || async { asked(&vendor).len() == 4 }).await;
    let users: Vec<_> = asked(&vendor).into_iter().map(|(user, _)| user).collect();
    assert_eq!(users[1..], ["dr-d", "dr-e", "dr-a"]);
}

#[tokio::test]
async fn an_identity_that_cannot_log_in_holds_up_no_other_and_opens_no_breaker() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        with(config, &vendor, &["dr-b"]);
        config.sdp.auth = Some(broken());
    })
    .await;
    // Only the broken one could read these.
    let mut stuck = Vec::new();
    for number in 0..3 {
        let body = session_of(&vendor, &format!("x{number}"), "ex", "subject");
        stuck.push(receiver.post(body).await);
    }
    eventually("all were tried again and again", || async {
        let mut tries = Vec::new();
        for id in &stuck {
            tries.push(receiver.event(id).await["attempts"].as_u64());
        }
        tries.iter().all(|tries| *tries >= Some(4))
    })
    .await;
    receiver.post(session_of(&vendor, "s", "e", "dr-b")).await;
    receiver.delivers_one().await;
    for id in &stuck {
        let event = receiver.event(id).await;
        let error = event["last_error"].as_str().unwrap();
        assert!(
            error.contains("identity default: sdp.auth signing_key"),
            "{error}"
        );
        assert_ne!(event["state"], "dead");
    }
    let (_, report) = receiver.get("/readyz").await;
    assert!(!report.to_string().contains("unreachable"), "{report}");
    let metrics = receiver.metrics().await;
    assert!(
        !metrics.contains("suki_receiver_sdp_breaker_opened_total 1"),
        "{metrics}"
    );
    for line in [
        "suki_receiver_sdp_logins_total{identity=\"default\",result=\"failed\"}",
        "suki_receiver_sdp_logins_total{identity=\"dr-b\",result=\"ok\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn where_no_identity_can_log_in_it_is_an_outage_that_is_waited_out() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| with(config, &vendor, &["dr-b"])).await;
    vendor.faults("login=503");
    for number in 0..5 {
        let body = session_of(&vendor, &format!("s{number}"), "e", "dr-b");
        receiver.post(body).await;
    }
    eventually("readyz says so", || async {
        let (_, report) = receiver.get("/readyz").await;
        report.to_string().contains("login failed: HTTP 503")
    })
    .await;
    vendor.faults("");
    receiver.delivers(5).await;
}

#[tokio::test]
async fn an_identity_that_takes_the_providers_name_logs_in_once_for_each() {
    let vendor = Vendor::start().await;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let key = Secret::literal(key.serialize_pem());
    let command = ["echo", "{provider}"].map(str::to_owned).to_vec();
    let command = PartnerToken::Command(ProviderCommand::new(command).unwrap());
    let identities = vec![
        identity("signed", by(signed(key, "{provider}")), &["dr-*"]),
        identity("printed", by(command), &["nurse-*"]),
    ];
    let client = client(&vendor, identities);
    let providers = ["dr-1", "dr-2", "nurse-1", "nurse-2"];
    let sessions: Vec<(String, &str)> = providers
        .into_iter()
        .flat_map(|provider| (0..5).map(move |n| (format!("{provider}-{n}"), provider)))
        .collect();
    for (session, provider) in &sessions {
        vendor
            .sdp
            .add_session(Session::ambient(session).of_provider(*provider));
    }
    let reads = sessions
        .iter()
        .map(|(session, provider)| read(&client, session, provider));
    for result in futures_util::future::join_all(reads).await {
        result.unwrap();
    }
    for provider in providers {
        assert_eq!(vendor.sdp.logins_of(provider), 1, "{provider}");
    }
    assert_eq!(vendor.sdp.logins(), 4);
}

#[tokio::test]
async fn one_shared_token_serves_every_provider_by_the_providers_id() {
    let vendor = Vendor::start_with(|options| options.single_auth = true).await;
    let mode = AuthMode::SingleAuthToken {
        provider_id: "id-{provider}".to_owned(),
    };
    let shared = SdpAuth {
        mode,
        ..auth("shared")
    };
    let client = client(&vendor, vec![identity("shared", shared, &["*"])]);
    for provider in ["a", "b"] {
        let session = Session::ambient(provider).of_provider(format!("id-{provider}"));
        vendor.sdp.add_session(session);
        read(&client, provider, provider).await.unwrap();
    }
    vendor.sdp.add_session(Session::ambient("c"));
    let failure = read(&client, "c", "line\nbreak").await.unwrap_err();
    assert_eq!(
        failure.reason,
        "the provider's name cannot be sent in a header (identities asked: 1)"
    );
}

#[tokio::test]
async fn without_a_provider_an_identity_that_takes_one_is_not_asked_unless_it_read_the_encounter() {
    let vendor = Vendor::start().await;
    let command = ["echo", "{provider}"].map(str::to_owned).to_vec();
    let command = PartnerToken::Command(ProviderCommand::new(command).unwrap());
    let client = client(&vendor, vec![identity("all", by(command), &["*"])]);
    let encounter = EncounterId::new("e").unwrap();
    let status = async |session: &str, provider| {
        let session = SessionId::new(session).unwrap();
        let subject = Subject {
            session: &session,
            encounter: Some(&encounter),
            provider,
        };
        client.status(&subject, SessionKind::Ambient).await
    };
    for session in ["one", "two"] {
        let session = Session::ambient(session).in_encounter("e");
        vendor.sdp.add_session(session.of_provider("dr-1"));
    }
    let failure = status("one", None).await.unwrap_err();
    assert!(
        failure.reason.contains("no identity was tried"),
        "{failure}"
    );
    assert_eq!(vendor.sdp.logins(), 0);
    status("one", Some("dr-1")).await.unwrap();
    status("two", None).await.unwrap();
    assert_eq!(vendor.sdp.logins(), 1);
}

#[tokio::test]
async fn an_identitys_token_file_is_read_again_at_its_next_login() {
    let vendor = Vendor::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    let token = PartnerToken::Given(Secret::read_file(file.clone()).unwrap());
    let client = client(&vendor, vec![identity("a", by(token), &["*"])]);
    vendor
        .sdp
        .add_session(Session::ambient("s").of_provider("new"));
    read(&client, "s", "new").await.unwrap_err();
    std::fs::write(&file, "new").unwrap();
    vendor.sdp.revoke_tokens();
    read(&client, "s", "new").await.unwrap();
}

#[tokio::test]
async fn many_providers_at_once_log_in_a_few_at_a_time_and_each_once() {
    const PROVIDERS: usize = 50;
    let vendor = Vendor::start_with(|options| options.every_session_known = true).await;
    let command = ["echo", "{provider}"].map(str::to_owned).to_vec();
    let command = PartnerToken::Command(ProviderCommand::new(command).unwrap());
    let client = client(&vendor, vec![identity("all", by(command), &["*"])]);
    let names: Vec<String> = (0..PROVIDERS).map(|n| format!("dr-{n}")).collect();
    let sessions: Vec<(String, &String)> = names
        .iter()
        .flat_map(|name| ["x", "y"].map(|session| (format!("{name}-{session}"), name)))
        .collect();
    let reads = sessions
        .iter()
        .map(|(session, name)| read(&client, session, name));
    for result in futures_util::future::join_all(reads).await {
        result.unwrap();
    }
    assert!(names.iter().all(|name| vendor.sdp.logins_of(name) == 1));
    let calls = vendor.sdp.calls();
    let logins = calls
        .iter()
        .filter(|call| call.path == Endpoint::Login.path());
    let times: Vec<_> = logins.map(|call| call.at).collect();
    assert_eq!(times.len(), PROVIDERS);
    for (before, at) in times.iter().enumerate() {
        let since = at.duration_since(times[0]).unsigned_abs() + Duration::from_millis(500);
        let most = 10.0 + 5.0 * since.as_secs_f64();
        assert!(before as f64 <= most, "login {before} came after {since:?}");
    }
}
