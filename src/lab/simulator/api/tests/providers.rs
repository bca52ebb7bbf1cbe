//! Tests of which token may read which session.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;

#[tokio::test]
async fn single_auth_partners_must_name_their_provider_everywhere() {
    let api = Api::start(&Options {
        single_auth: true,
        every_session_known: true,
        ..Options::default()
    })
    .await;
    let (status, body) = api
        .login(json!({"partner_id": "p", "partner_token": "t"}))
        .await;
    assert_eq!(
        (status, &body["message"]),
        (400, &json!("invalid_request: provider_id is required"))
    );
    let token = api.token().await;
    let path = "/ambient/session/a/status";
    let (status, body) = api.get(&token, path).await;
    assert_eq!(
        (status, &body["message"]),
        (400, &json!("missing_sdp_provider_id_header"))
    );
    let named = api.request(&token, path).header(PROVIDER_HEADER, "dr");
    assert_eq!(named.send().await.expect("answers").status(), 200);
    let last = api.sdp.calls().pop().expect("a call");
    assert_eq!(last.provider.as_deref(), Some("dr"));
}

#[tokio::test]
async fn a_session_of_a_provider_is_read_with_that_ones_token_alone() {
    let api = Api::start(&Options::default()).await;
    api.sdp
        .add_session(Session::ambient("a").in_encounter("e").of_provider("dr-a"));
    api.sdp.add_session(Session::ambient("b"));
    let jwt = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(r#"{"sub":"dr-a"}"#));
    for (partner_token, expected) in [("dr-a", 200), (&jwt, 200), ("dr-b", 403), ("e30", 403)] {
        let body = json!({"partner_id": "p", "partner_token": partner_token});
        let (_, body) = api.login(body).await;
        let token = body["suki_token"].as_str().expect("a token");
        for path in [
            "session/a/status",
            "session/a/content",
            "encounter/e/content",
        ] {
            let (status, body) = api.get(token, &format!("/ambient/{path}")).await;
            assert_eq!(status, expected, "{path} by {partner_token}: {body}");
        }
        assert_eq!(api.get(token, "/ambient/session/b/status").await.0, 200);
    }
    assert_eq!(api.sdp.logins_of("dr-a"), 2);
}

#[tokio::test]
async fn for_single_token_partners_login_and_header_both_name_the_provider() {
    let api = Api::start(&Options {
        single_auth: true,
        ..Options::default()
    })
    .await;
    api.sdp.add_session(Session::ambient("a").of_provider("dr"));
    let token = api.token().await;
    for (header, expected) in [("dr", 200), ("dr-b", 403)] {
        let request = api.request(&token, "/ambient/session/a/status");
        let request = request.header(PROVIDER_HEADER, header);
        let (status, body) = read(request.send().await.expect("answers")).await;
        assert_eq!(status, expected, "{body}");
    }
}

#[tokio::test]
async fn a_fault_makes_one_providers_token_the_only_one_that_is_taken() {
    let api = Api::start(&Options::default()).await;
    api.sdp.add_session(Session::ambient("a"));
    api.set_faults("content=only-for;provider=dr-b");
    let token = api.token().await;
    let (status, body) = api.get(&token, "/ambient/session/a/content").await;
    assert_eq!(
        (status, &body["message"]),
        (403, &json!("permission_denied"))
    );
    assert_eq!(api.get(&token, "/ambient/session/a/status").await.0, 200);
    api.set_faults("content=only-for;provider=t");
    assert_eq!(api.get(&token, "/ambient/session/a/content").await.0, 200);
}
