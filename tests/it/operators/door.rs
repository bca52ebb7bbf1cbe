//! By which name the console lets a browser in, and over which connections it lets clinical content out.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use suki_receiver::config::Config;

use crate::support::{OPERATOR, Receiver, failure, http};

const OWN: &str = "suki.example.org";

fn named(config: &mut Config) {
    config.admin.console.hosts = vec![OWN.to_owned()];
}

/// What is answered to a call under this name: the status and the text.
async fn asked(receiver: &Receiver, host: &str, path: &str, token: &str) -> (u16, String) {
    let mut request = http()
        .get(format!("http://{}{path}", receiver.admin))
        .header("host", host);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_console_is_not_there_under_a_name_that_is_not_its_own() {
    let receiver = Receiver::start_with(named).await;
    for path in ["/", "/sign-in", "/events", "/stream", "/assets/none"] {
        let (status, text) = asked(&receiver, "evil.example:9464", path, "").await;
        assert_eq!(status, 421, "{path}");
        assert!(text.contains("admin.console.hosts"), "{path}: {text}");
    }
    let sign_in = http()
        .post(format!("http://{}/sign-in", receiver.admin))
        .header("host", "evil.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "same-origin")
        .body(format!("token={OPERATOR}"));
    let answer = sign_in.send().await.unwrap();
    assert_eq!(answer.status(), 421);
    assert!(!answer.headers().contains_key("set-cookie"));
    let port = receiver.admin.port();
    for host in [OWN, &format!("{OWN}:{port}"), "localhost", "127.0.0.1"] {
        assert_eq!(
            asked(&receiver, host, "/sign-in", "").await.0,
            200,
            "{host}"
        );
    }
}

#[tokio::test]
async fn by_http2_as_well_the_name_must_be_the_consoles_own() {
    let receiver = Receiver::start_with(named).await;
    let status = async |name: &str| {
        let client = reqwest::Client::builder()
            .http2_prior_knowledge()
            .no_proxy()
            .resolve(name, receiver.admin)
            .build()
            .unwrap();
        let url = format!("http://{name}:{}/sign-in", receiver.admin.port());
        client.get(url).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("evil.example").await, 421);
    assert_eq!(status(OWN).await, 200);
}

#[tokio::test]
async fn probes_prometheus_and_callers_with_a_token_come_by_any_name() {
    let receiver = Receiver::start().await;
    let other = "suki-receiver.clinic.svc:9464";
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(asked(&receiver, other, path, "").await.0, 200, "{path}");
    }
    assert_eq!(asked(&receiver, other, "/api/v1/me", OPERATOR).await.0, 200);
    assert_eq!(asked(&receiver, other, "/api/v1/me", "").await.0, 401);
}

/// This machine's address beside loopback, where it has one. Nothing is sent.
fn other_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
}

#[tokio::test]
async fn clinical_content_is_not_shown_on_plain_http_off_loopback_unless_that_is_meant() {
    let Some(address) = other_address() else {
        return; // A machine without a network. The unit test of the rule runs there as well.
    };
    for is_meant in [false, true] {
        let receiver = Receiver::start_with(|config| {
            config.admin.listen = "0.0.0.0:0".parse().unwrap();
            config.admin.console.insecure_reveal = is_meant;
        })
        .await;
        let id = receiver.post(failure("s1")).await;
        receiver.becomes(&id, "done").await;
        let port = receiver.admin.port();
        let here = reveal(([127, 0, 0, 1], port).into(), &id).await;
        assert!(
            here.0 == 200 && here.1.contains("Clinical content"),
            "{here:?}"
        );
        let (status, text) = reveal(SocketAddr::new(address, port), &id).await;
        if is_meant {
            assert_eq!(status, 200, "{text}");
            continue;
        }
        assert_eq!(status, 403);
        assert!(text.contains("admin.console.insecure_reveal"), "{text}");
        let audit = receiver.admin_get("/api/v1/audit").await.1;
        let reads = audit.to_string().matches("read payload").count();
        assert_eq!(reads, 1, "only what was shown: {audit}");
    }
}

/// Signs in there and reads what was sent.
async fn reveal(admin: SocketAddr, id: &str) -> (u16, String) {
    let post = |path: String, form: &str| {
        http()
            .post(format!("http://{admin}{path}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(form.to_owned())
    };
    let signed_in = post("/sign-in".to_owned(), &format!("token={OPERATOR}"));
    let signed_in = signed_in.send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let form = "part=payload&reason=A+call+of+the+clinic";
    let answer = post(format!("/events/{id}/reveal"), form).header("cookie", cookie);
    let answer = answer.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
