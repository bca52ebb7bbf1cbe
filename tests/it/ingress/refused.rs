//! Connections that end before any handler has seen a request leave a trace: a count by kind and a line in the log.

use crate::support::wire;
use crate::support::{Binary, Receiver, http, raw_exchange, send, until};

use super::tls::Ca;

/// What comes to a port without TLS, and why it is refused.
fn plain_port() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let large = format!("POST / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(70_000));
    let large_http2 = {
        let fields = vec![b'x'; 20_000];
        [
            wire::http2_start(),
            wire::frame(wire::HEADERS, 0x5, 1, &fields),
        ]
        .concat()
    };
    vec![
        ("head_too_large", text(&large)),
        ("malformed", text("GARBAGE\r\n\r\n")),
        (
            "malformed",
            text("POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n"),
        ),
        (
            "malformed",
            text("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"),
        ),
        ("malformed", text("POST / HTTP/9.9\r\n\r\n")),
        ("malformed", large_http2),
        (
            "tls_to_plain_port",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00\x00\x00\r\n\r\n"
                .to_vec(),
        ),
        (
            "proxy_protocol",
            text("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nPOST / HTTP/1.1\r\n\r\n"),
        ),
        (
            "proxy_protocol",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
                .to_vec(),
        ),
    ]
}

/// What comes to a port with TLS, and why it is refused.
fn tls_port() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "plain_to_tls_port",
            b"POST /webhooks/notification HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        ),
        (
            "proxy_protocol",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\x16\x03\x01".to_vec(),
        ),
        ("tls_handshake", b"\x16\x03\x01\x00\x05hello".to_vec()),
    ]
}

/// Sends each and looks that just its own kind is counted once more.
async fn are_counted(receiver: &Receiver, cases: Vec<(&'static str, Vec<u8>)>) {
    let mut expected = std::collections::HashMap::<&str, usize>::new();
    for (reason, bytes) in cases {
        raw_exchange(receiver.public, &bytes).await;
        *expected.entry(reason).or_default() += 1;
        crate::support::eventually(reason, || async {
            let metrics = receiver.metrics().await;
            expected.iter().all(|(reason, count)| {
                metrics.contains(&format!(
                    "connections_refused_total{{reason=\"{reason}\"}} {count}\n"
                ))
            })
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_refused_before_the_handler_is_counted_by_its_kind() {
    let receiver = Receiver::start().await;
    are_counted(&receiver, plain_port()).await;
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), 2100);
    let receiver = Receiver::start_with(|config| config.server.tls = Some(files)).await;
    are_counted(&receiver, tls_port()).await;
}

#[tokio::test]
async fn headers_of_http_2_that_are_too_large_are_431_and_counted() {
    let receiver = Receiver::start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let ask = |bytes: usize| {
        let url = format!("http://{}/livez", receiver.public);
        send(client.get(url).header("x-long", "a".repeat(bytes)))
    };
    assert_eq!(ask(10_000).await.unwrap().0, 200);
    assert_eq!(ask(20_000).await.unwrap().0, 431);
    let metrics = receiver.metrics().await;
    let counted = "connections_refused_total{reason=\"head_too_large\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn who_only_looks_whether_the_port_is_open_is_not_refused() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), 2100);
    for tls in [None, Some(files)] {
        let receiver = Receiver::start_with(|config| config.server.tls = tls).await;
        for _ in 0..3 {
            drop(std::net::TcpStream::connect(receiver.public).unwrap());
        }
        crate::support::eventually("all have left", || async {
            receiver
                .metrics()
                .await
                .contains("suki_receiver_connections 0\n")
        })
        .await;
        let metrics = receiver.metrics().await;
        let refused: Vec<&str> = metrics
            .lines()
            .filter(|line| line.contains("connections_refused_total{"))
            .collect();
        assert_eq!(refused.len(), 8, "{refused:?}");
        assert!(
            refused.iter().all(|line| line.ends_with(" 0")),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn each_kind_is_logged_once_with_the_peers_address_and_nothing_of_what_came() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    for n in 0..5 {
        raw_exchange(
            binary.public,
            format!("GARBAGE Jane-Doe-{n}\r\n\r\n").as_bytes(),
        )
        .await;
    }
    raw_exchange(binary.public, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\r\n").await;
    until("both kinds are in the log", || {
        binary.log().matches("connection refused").count() == 2
    })
    .await;
    let answer = http()
        .get(format!("http://{}/livez", binary.public))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let log = binary.log();
    assert_eq!(log.matches("connection refused").count(), 2, "{log}");
    assert!(
        log.contains("\"peer\":\"127.0.0.1:") && !log.contains("Jane"),
        "{log}"
    );
    assert!(log.contains("PROXY protocol"), "{log}");
}
