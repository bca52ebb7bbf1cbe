//! Networks as hospitals have them: proxies, and the many ways in which a host cannot be reached.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use suki_receiver::config::{HttpConfig, Proxy, Secret, SinkConfig, SinkTarget, Via};
use suki_receiver::lab::simulator::Canned;

use crate::support::{
    ConnectProxy, HttpReceiver, ProxyRules, Receiver, Signed, TlsFront, Vendor, completed,
    eventually, failure, files_below, sink, until,
};

fn via(proxy: &ConnectProxy, credentials: Option<&str>) -> Proxy {
    Proxy::Via(Box::new(Via {
        url: proxy.url(),
        credentials: credentials.map(Secret::literal),
        no_proxy: String::new(),
    }))
}

fn hosts(hosts: &[(&str, SocketAddr)]) -> ProxyRules {
    let hosts = hosts.iter();
    ProxyRules {
        hosts: hosts
            .map(|(host, address)| ((*host).to_owned(), *address))
            .collect(),
        ..ProxyRules::default()
    }
}

fn http_sink(url: &str) -> HttpConfig {
    HttpConfig {
        template: None,
        url: url.parse().unwrap(),
        secrets: vec![],
        headers: vec![],
        timeout: Duration::from_secs(2),
        ca_file: None,
        proxy: Proxy::None,
    }
}

fn ehr(http: HttpConfig) -> SinkConfig {
    sink("ehr", SinkTarget::Http(http))
}

#[tokio::test]
async fn suki_and_a_sink_are_reached_through_a_proxy_that_asks_for_credentials() {
    let (vendor, endpoint) = (Vendor::start().await, HttpReceiver::start().await);
    let dir = tempfile::tempdir().unwrap();
    let sdp = TlsFront::start(vendor.address, &["sdp.hospital.test"]).await;
    let sinks = TlsFront::start(endpoint.address, &["ehr.hospital.test"]).await;
    let rules = hosts(&[
        ("sdp.hospital.test:443", sdp.address),
        ("ehr.hospital.test:8443", sinks.address),
    ]);
    let proxy = ConnectProxy::start(ProxyRules {
        authorization: Some(format!("Basic {}", STANDARD.encode("me:p@ss:word"))),
        ..rules
    })
    .await;
    let other = tempfile::tempdir().unwrap();
    let receiver = Receiver::start_in(dir.path(), |config| {
        vendor.follow(config);
        config.sdp.base_url = "https://sdp.hospital.test".parse().unwrap();
        config.sdp.ca_file = Some(sdp.ca_file(dir.path()));
        config.sdp.proxy = via(&proxy, Some("me:p@ss:word"));
        let mut http = http_sink("https://ehr.hospital.test:8443/suki");
        http.ca_file = Some(sinks.ca_file(other.path()));
        http.proxy = via(&proxy, Some("me:p@ss:word"));
        config.sinks = vec![ehr(http)];
    })
    .await;
    let body = completed("s", &vendor.completed("s"));
    Signed::new(body).post(&receiver.webhook()).await;
    until("it comes", || endpoint.received().len() == 1).await;
    let asked = proxy.asked();
    assert!(asked.contains(&"CONNECT sdp.hospital.test:443 HTTP/1.1".to_owned()));
    assert!(asked.contains(&"CONNECT ehr.hospital.test:8443 HTTP/1.1".to_owned()));
    assert!(
        asked.iter().all(|line| line.starts_with("CONNECT ")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_no_proxy_names_and_what_is_plain_http_is_reached_directly() {
    let (vendor, endpoint) = (Vendor::start().await, HttpReceiver::start().await);
    let front = TlsFront::start(vendor.address, &["localhost"]).await;
    let dir = tempfile::tempdir().unwrap();
    let proxy = ConnectProxy::start(ProxyRules::default()).await;
    let receiver = Receiver::start_in(dir.path(), |config| {
        vendor.follow(config);
        let url = format!("https://localhost:{}", front.address.port());
        config.sdp.base_url = url.parse().unwrap();
        config.sdp.ca_file = Some(front.ca_file(dir.path()));
        config.sdp.proxy = Proxy::Via(Box::new(Via {
            url: proxy.url(),
            credentials: None,
            no_proxy: "example.com, localhost".to_owned(),
        }));
        let mut http = http_sink(endpoint.url().as_str());
        http.proxy = via(&proxy, None);
        config.sinks = vec![ehr(http)];
    })
    .await;
    let body = completed("s", &vendor.completed("s"));
    Signed::new(body).post(&receiver.webhook()).await;
    until("it comes", || endpoint.received().len() == 1).await;
    assert_eq!(proxy.asked(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_link_beyond_the_api_never_goes_through_a_proxy() {
    let vendor = Vendor::start().await;
    let dir = tempfile::tempdir().unwrap();
    let front = TlsFront::start(vendor.address, &["sdp.hospital.test"]).await;
    let rules = hosts(&[
        ("sdp.hospital.test:443", front.address),
        ("files.hospital.test:443", front.address),
    ]);
    let proxy = ConnectProxy::start(rules).await;
    let receiver = Receiver::start_in(dir.path(), |config| {
        vendor.follow(config);
        config.sdp.base_url = "https://sdp.hospital.test".parse().unwrap();
        config.sdp.ca_file = Some(front.ca_file(dir.path()));
        config.sdp.proxy = via(&proxy, None);
        config.follow.allowed_hosts = vec!["files.hospital.test".to_owned()];
        config.follow.best_effort_for = Duration::from_millis(100);
    })
    .await;
    let mut links = vendor.completed("s");
    links.retain(|(group, _)| *group == "contents");
    links.push(("transcripts", "https://files.hospital.test/t".to_owned()));
    Signed::new(completed("s", &links))
        .post(&receiver.webhook())
        .await;
    let out = receiver.out();
    until("it is delivered", || files_below(&out).len() == 1).await;
    let text = std::fs::read_to_string(&files_below(&out)[0]).unwrap();
    assert!(
        text.contains("no such host (DNS) (files.hospital.test)"),
        "{text}"
    );
    assert!(!proxy.asked().iter().any(|line| line.contains("files")));
}

/// Why a delivery to this sink does not succeed.
async fn trouble(http: HttpConfig) -> String {
    let receiver = Receiver::start_with(|config| config.sinks = vec![ehr(http)]).await;
    let (_, answer) = Signed::new(failure("s")).post(&receiver.webhook()).await;
    let path = format!("/api/v1/events/{}", answer["id"].as_str().unwrap());
    let mut why = String::new();
    eventually("it fails", || async {
        let (_, event) = receiver.admin_get(&path).await;
        event["deliveries"][0]["last_error"].is_string()
    })
    .await;
    let (_, event) = receiver.admin_get(&path).await;
    why.push_str(event["deliveries"][0]["last_error"].as_str().unwrap());
    why
}

#[tokio::test]
async fn what_is_wrong_with_a_connection_is_told_apart_with_the_host_and_without_the_path() {
    let endpoint = HttpReceiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let front = TlsFront::start(endpoint.address, &["ehr.hospital.test"]).await;
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = refused.local_addr().unwrap();
    drop(refused);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap();
    let of = |url: String| http_sink(&url);
    let to_front = format!("https://127.0.0.1:{}/PHI-path?t=PHI", front.address.port());
    let wrong_name = HttpConfig {
        ca_file: Some(front.ca_file(dir.path())),
        ..of(to_front.clone())
    };
    let silent = HttpConfig {
        timeout: Duration::from_millis(200),
        ..of(format!("http://{silent_address}/PHI-path"))
    };
    for (http, expected) in [
        (of(to_front), "the certificate is of an unknown authority"),
        (wrong_name, "the certificate is for another name"),
        (
            of("https://nowhere.invalid/PHI-path".to_owned()),
            "no such host (DNS) (nowhere.invalid)",
        ),
        (
            of(format!("http://{closed}/PHI-path")),
            "connection refused (127.0.0.1:",
        ),
        (
            of(format!("https://{}/PHI-path", endpoint.address)),
            "the port does not speak TLS",
        ),
        (
            of(format!("http://{}/PHI-path", front.address)),
            "the answer is not HTTP",
        ),
        (silent, "timeout (127.0.0.1:"),
    ] {
        let why = trouble(http).await;
        assert!(why.contains(expected), "{why}, not {expected}");
        assert!(!why.contains("PHI"), "{why}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_proxy_is_told_apart_from_the_host_behind_it() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = Proxy::Via(Box::new(Via {
        url: format!("http://{}", closed.local_addr().unwrap())
            .parse()
            .unwrap(),
        credentials: None,
        no_proxy: String::new(),
    }));
    drop(closed);
    let asking = ConnectProxy::start(ProxyRules {
        authorization: Some("Basic x".to_owned()),
        ..ProxyRules::default()
    })
    .await;
    let refusing = ConnectProxy::start(ProxyRules {
        refuses: true,
        ..ProxyRules::default()
    })
    .await;
    for (proxy, expected) in [
        (gone, "the proxy cannot be reached (ehr.hospital.test)"),
        (
            via(&asking, Some("a:PHI-b")),
            "the proxy asks for credentials",
        ),
        (
            via(&refusing, None),
            "the proxy refused the connection (ehr.hospital.test)",
        ),
    ] {
        let mut http = http_sink("https://ehr.hospital.test/PHI-path");
        http.proxy = proxy;
        let why = trouble(http).await;
        assert!(why.contains(expected), "{why}, not {expected}");
        assert!(!why.contains("PHI"), "{why}");
    }
}

#[tokio::test]
async fn a_proxys_own_page_in_place_of_suki_is_waited_out() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    vendor.sdp.answer_with("/", Canned::page(407));
    let body = completed("s", &vendor.completed("s"));
    let (_, answer) = Signed::new(body).post(&receiver.webhook()).await;
    let path = format!("/api/v1/events/{}", answer["id"].as_str().unwrap());
    eventually("it says so", || async {
        let (_, event) = receiver.admin_get(&path).await;
        let why = event["last_error"].as_str().unwrap_or_default();
        why.contains("407 (not an answer of the API itself")
    })
    .await;
    vendor.sdp.answer_with("/", None);
    let out = receiver.out();
    until("it is delivered", || files_below(&out).len() == 1).await;
}
