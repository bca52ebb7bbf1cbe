//! Tests of the simulated API.

mod faults;
mod providers;

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::lab::simulator::Options;

/// A simulator on its own port, and a client that can log in.
struct Api {
    sdp: Sdp,
    base: String,
    client: reqwest::Client,
    _stop: DropGuard,
}

impl Api {
    async fn start(options: &Options) -> Self {
        let sdp = Sdp::new(options);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let base = format!("http://{}", listener.local_addr().expect("has an address"));
        let stop = CancellationToken::new();
        let served = (sdp.clone(), stop.clone());
        tokio::spawn(async move { served.0.serve(listener, served.1).await });
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("builds");
        Self {
            sdp,
            base,
            client,
            _stop: stop.drop_guard(),
        }
    }

    async fn login(&self, body: Value) -> (u16, Value) {
        let url = format!("{}/api/v1/auth/login", self.base);
        let request = self.client.post(url).body(body.to_string());
        read(request.send().await.expect("answers")).await
    }

    async fn token(&self) -> String {
        let (status, body) = self
            .login(json!({"partner_id": "p", "partner_token": "t", "provider_id": "dr"}))
            .await;
        assert_eq!(status, 200, "{body}");
        body["suki_token"].as_str().expect("a token").to_owned()
    }

    fn request(&self, token: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/api/v1{path}", self.base);
        self.client.get(url).header(TOKEN_HEADER, token)
    }

    async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        read(self.request(token, path).send().await.expect("answers")).await
    }

    fn set_faults(&self, text: &str) {
        self.sdp.set_faults(text.parse().expect(text));
    }
}

async fn read(answer: reqwest::Response) -> (u16, Value) {
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_session_is_answered_in_the_vendors_shapes() {
    let api = Api::start(&Options::default()).await;
    api.sdp
        .add_session(Session::ambient("a").in_encounter("e é/1"));
    api.sdp
        .add_session(Session::ambient("b").in_encounter("e é/1"));
    let token = api.token().await;
    let get = async |path: &str| {
        let (status, body) = api.get(&token, path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    };
    assert_eq!(
        get("/ambient/session/a/status").await,
        json!({"status": "completed"})
    );
    let note = get("/ambient/session/a/content").await;
    assert_eq!(note["summary"][2]["loinc_code"], "18776-5");
    assert!(note["structured_data"].is_array());
    assert_eq!(note, get("/ambient/session/a/content").await);
    let lines = get("/ambient/session/a/transcript").await;
    assert_eq!(lines["final_transcript"][4]["start_offset"]["seconds"], 48);
    let data = get("/ambient/session/a/structured-data").await;
    assert!(data["structured_data"]["diagnoses"]["values"][0]["codes"].is_array());
    assert!(get("/ambient/session/a/recording").await["recordings"][0]["expires_at"].is_number());
    let encounter = get("/ambient/encounter/e%20%C3%A9%2F1/content").await;
    assert_ne!(encounter, note);
    assert_eq!(
        encounter,
        get("/ambient/session/a/content?cumulative=true").await
    );
    let data = get("/ambient/encounter/e%20%C3%A9%2F1/structured-data").await;
    assert_eq!(
        data["structured_data"]["diagnoses"]["values"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn the_two_kinds_of_session_do_not_know_each_other() {
    let api = Api::start(&Options::default()).await;
    api.sdp.add_session(Session::ambient("a"));
    api.sdp.add_session(Session::form_filling("f"));
    let token = api.token().await;
    for (path, expected) in [
        ("/form-filling/session/f/status", 200),
        ("/form-filling/session/f/structured-data", 200),
        ("/ambient/session/f/recording", 200),
        ("/ambient/session/f/status", 404),
        ("/form-filling/session/a/status", 404),
        ("/ambient/session/x/status", 404),
        ("/ambient/encounter/x/content", 404),
        ("/no/such/endpoint", 404),
    ] {
        let (status, body) = api.get(&token, path).await;
        assert_eq!(status, expected, "{path}");
        assert!(status == 200 || body["code"] == status, "{body}");
    }
}

#[tokio::test]
async fn a_session_that_is_not_completed_has_a_status_and_no_content_yet() {
    let api = Api::start(&Options::default()).await;
    api.sdp
        .add_session(Session::ambient("a").with_status("running"));
    let token = api.token().await;
    assert_eq!(
        api.get(&token, "/ambient/session/a/status").await.1,
        json!({"status": "running"})
    );
    assert_eq!(api.get(&token, "/ambient/session/a/content").await.0, 404);
    api.sdp.add_session(Session::ambient("a"));
    assert_eq!(api.get(&token, "/ambient/session/a/content").await.0, 200);
}

#[tokio::test]
async fn every_session_is_known_where_that_is_asked_for() {
    let api = Api::start(&Options {
        every_session_known: true,
        ..Options::default()
    })
    .await;
    let token = api.token().await;
    for path in [
        "/ambient/session/x/content",
        "/ambient/encounter/y/content",
        "/form-filling/session/z/status",
    ] {
        assert_eq!(api.get(&token, path).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn the_token_is_a_jwt_that_the_published_key_verifies() {
    let api = Api::start(&Options::default()).await;
    let token = api.token().await;
    let url = format!("{}/api/auth/.well-known/jwks-pub.json", api.base);
    let (_, keys) = read(api.client.get(url).send().await.expect("answers")).await;
    assert_eq!(keys["keys"][0]["kid"], "sdp-pub");
    assert_eq!(keys["keys"][0]["alg"], "RS256");
    let keys: JwkSet = serde_json::from_value(keys).expect("a key set");
    let key = DecodingKey::from_jwk(&keys.keys[0]).expect("a key");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&["suki-sdp"]);
    let read = jsonwebtoken::decode::<Value>(&token, &key, &validation).expect("verifies");
    assert_eq!(read.claims["sub"], "t");
}

#[tokio::test]
async fn a_token_is_refused_once_it_is_missing_made_up_expired_or_revoked() {
    let api = Api::start(&Options {
        token_lifetime: Duration::from_millis(200),
        every_session_known: true,
        ..Options::default()
    })
    .await;
    let path = "/ambient/session/a/status";
    let refused = (401, json!({"code": 401, "message": "invalid_sdp_token"}));
    assert_eq!(api.get("made-up", path).await, refused);
    let token = api.token().await;
    assert_eq!(api.get(&token, path).await.0, 200);
    api.sdp.revoke_tokens();
    assert_eq!(api.get(&token, path).await, refused);
    let token = api.token().await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(api.get(&token, path).await, refused);
    let token = api.token().await;
    api.set_faults("status=expire:1");
    assert_eq!(api.get(&token, path).await, refused);
}

#[tokio::test]
async fn calls_are_recorded_with_what_they_were_answered() {
    let api = Api::start(&Options::default()).await;
    api.get("made-up", "/ambient/session/a/status").await;
    api.token().await;
    let calls = api.sdp.calls();
    assert_eq!(calls[0].path, "/api/v1/ambient/session/a/status");
    assert!(calls[0].had_token);
    assert_eq!((calls[0].status, calls[1].status), (Some(401), Some(200)));
    assert_eq!((api.sdp.logins(), api.sdp.count("/status")), (1, 1));
    assert_eq!(api.sdp.max_concurrent(), 1);
    api.sdp.reset();
    assert!(api.sdp.calls().is_empty());
}

#[tokio::test]
async fn a_test_in_another_language_can_drive_it_over_http() {
    let api = Api::start(&Options::default()).await;
    let token = api.token().await;
    let post = async |path: &str, body: &str| {
        let request = api.client.post(format!("{}/simulator/{path}", api.base));
        let request = request.header("content-type", "application/json");
        read(request.body(body.to_owned()).send().await.expect("answers")).await
    };
    assert_eq!(post("faults", "status=503:1").await.0, 204);
    let sessions =
        r#"[{"session_id":"a"},{"session_id":"f","kind":"form_filling","status":"staged"}]"#;
    assert_eq!(post("sessions", sessions).await.0, 204);
    assert_eq!(api.get(&token, "/ambient/session/a/status").await.0, 503);
    assert_eq!(
        api.get(&token, "/form-filling/session/f/status").await.1,
        json!({"status": "staged"})
    );
    let calls = api.client.get(format!("{}/simulator/calls", api.base));
    let (_, calls) = read(calls.send().await.expect("answers")).await;
    assert_eq!(calls[1]["status"], 503);
    assert_eq!(calls.as_array().map(Vec::len), Some(3));
    let (status, body) = post("faults", "status=oops").await;
    assert_eq!(status, 400);
    assert!(
        body["message"]
            .as_str()
            .expect("a message")
            .contains("unknown fault 'oops'")
    );
    assert_eq!(post("sessions", r#"{"kind":"x"}"#).await.0, 400);
}

#[tokio::test]
async fn two_simulators_in_one_process_have_nothing_in_common() {
    let (one, other) = (
        Api::start(&Options::default()).await,
        Api::start(&Options::default()).await,
    );
    one.sdp.add_session(Session::ambient("a"));
    let token = one.token().await;
    assert_eq!(other.get(&token, "/ambient/session/a/status").await.0, 401);
    let token = other.token().await;
    assert_eq!(other.get(&token, "/ambient/session/a/status").await.0, 404);
    assert_eq!((one.sdp.logins(), other.sdp.logins()), (1, 1));
}
