//! Connections on which nothing has begun: only `idle_timeout` closes them, and room for a new one.

use std::time::Duration;

use suki_receiver::config::{Config, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tls::Ca;
use crate::support::wire;
use crate::support::{PATIENCE, Receiver, Signed, eventually, failure};

/// More than twice what the tests give a head.
const LONG: Duration = Duration::from_millis(700);

fn short_heads(config: &mut Config) {
    config.server.header_timeout = Duration::from_millis(200);
    config.server.idle_timeout = Duration::from_secs(30);
}

fn short_idle(config: &mut Config) {
    config.server.header_timeout = Duration::from_secs(30);
    config.server.idle_timeout = Duration::from_secs(1);
}

async fn opened(receiver: &Receiver, start: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.public).await.unwrap();
    stream.write_all(start).await.unwrap();
    stream
}

/// Reads away what comes for so long; `true` when the connection is open still.
async fn is_open_after(stream: &mut TcpStream, time: Duration) -> bool {
    let mut buffer = [0; 4096];
    let reading = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(time, reading).await.is_err()
}

async fn posts(stream: &mut TcpStream, session: &str) -> bool {
    let request = wire::http1(&Signed::new(failure(session)), "/webhooks/notification");
    if stream.write_all(&request).await.is_err() {
        return false;
    }
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await.unwrap_or(0);
    answer[..read].starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn a_connection_on_which_nothing_has_begun_is_not_timed_as_slow() {
    let receiver = Receiver::start_with(short_heads).await;
    let mut silent = opened(&receiver, b"").await;
    let mut http2 = opened(&receiver, &wire::http2_start()).await;
    let (silent_is_open, http2_is_open) = tokio::join!(
        is_open_after(&mut silent, LONG),
        is_open_after(&mut http2, LONG)
    );
    assert!(silent_is_open && http2_is_open);
    assert!(posts(&mut silent, "after silence").await);
    assert!(is_open_after(&mut silent, LONG).await);
    assert!(posts(&mut silent, "after another silence").await);
    let request = wire::http2(&Signed::new(failure("http2")), 1);
    http2.write_all(&request).await.unwrap();
    assert!(is_open_after(&mut http2, LONG).await);
    eventually("all three are accepted", || async {
        let metrics = receiver.metrics().await;
        metrics.contains("notifications_total{result=\"accepted\"} 3\n")
    })
    .await;
}

#[tokio::test]
async fn the_rest_of_a_body_whose_request_is_answered_is_not_timed_as_the_head_of_another() {
    let receiver = Receiver::start_with(short_heads).await;
    let head = b"POST /elsewhere HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n";
    let mut stream = opened(&receiver, head).await;
    let mut answer = [0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 404"));
    for part in [b"xxxxxxxxxx"; 2] {
        stream.write_all(part).await.unwrap();
        assert!(is_open_after(&mut stream, LONG).await);
    }
    assert!(posts(&mut stream, "after the body").await);
}

#[tokio::test]
async fn a_head_that_has_begun_is_cut_off_on_either_protocol_and_on_a_kept_connection() {
    let receiver = Receiver::start_with(short_heads).await;
    for start in [
        b"P".to_vec(),
        b"POST /webhooks/notification HTTP/1.1\r\nhost:".to_vec(),
        b"PRI * HTTP/2.0\r\n".to_vec(),
        [wire::http2_start(), wire::http2_half_a_head(1)].concat(),
        [wire::http2_start(), vec![0, 0, 4]].concat(),
    ] {
        let mut stream = opened(&receiver, &start).await;
        assert!(
            !is_open_after(&mut stream, PATIENCE).await,
            "{}",
            String::from_utf8_lossy(&start)
        );
    }
    let mut kept = opened(&receiver, b"").await;
    assert!(posts(&mut kept, "first").await);
    kept.write_all(b"P").await.unwrap();
    assert!(!is_open_after(&mut kept, PATIENCE).await);
    let metrics = receiver.metrics().await;
    let cut = "connections_refused_total{reason=\"head_too_slow\"} 6\n";
    assert!(metrics.contains(cut), "{metrics}");
}

#[tokio::test]
async fn what_is_idle_for_too_long_is_closed_on_either_protocol() {
    let receiver = Receiver::start_with(short_idle).await;
    for start in [b"".to_vec(), wire::http2_start()] {
        let mut stream = opened(&receiver, &start).await;
        assert!(!is_open_after(&mut stream, PATIENCE).await);
    }
    let mut kept = opened(&receiver, b"").await;
    assert!(posts(&mut kept, "kept").await);
    assert!(!is_open_after(&mut kept, PATIENCE).await);
}

#[tokio::test]
async fn a_handshake_that_has_not_begun_is_idle_and_one_that_has_is_timed() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), 2100);
    let receiver = Receiver::start_with(|config| {
        short_heads(config);
        config.server.tls = Some(files.clone());
    })
    .await;
    let mut silent = opened(&receiver, b"").await;
    let mut begun = opened(&receiver, &[0x16, 0x03, 0x01]).await;
    assert!(!is_open_after(&mut begun, PATIENCE).await);
    assert!(is_open_after(&mut silent, LONG).await);
    let receiver = Receiver::start_with(|config| {
        short_idle(config);
        config.server.tls = Some(files);
    })
    .await;
    let mut silent = opened(&receiver, b"").await;
    assert!(!is_open_after(&mut silent, PATIENCE).await);
}

/// The HTTP library has a limit of its own, of 30 s, which must not bite.
#[tokio::test]
async fn a_kept_connection_may_be_idle_for_longer_than_half_a_minute() {
    let receiver = Receiver::start().await;
    let mut kept = opened(&receiver, b"").await;
    assert!(posts(&mut kept, "first").await);
    assert!(is_open_after(&mut kept, Duration::from_secs(31)).await);
    assert!(posts(&mut kept, "second").await);
}

#[test]
fn by_default_connections_are_kept_for_longer_than_load_balancers_keep_them() {
    // Google's load balancers keep them for 600 s, AWS's for 60 s.
    assert_eq!(Server::default().idle_timeout, Duration::from_secs(620));
}

#[tokio::test]
async fn when_all_connections_are_taken_the_longest_idle_one_makes_room() {
    let receiver = Receiver::start_with(|config| config.server.max_connections = 3).await;
    let mut kept = Vec::new();
    for n in 0..3 {
        let mut stream = opened(&receiver, b"").await;
        assert!(posts(&mut stream, &format!("s{n}")).await);
        kept.push(stream);
    }
    // The first one has been used again, so the second one is idle for the longest time.
    assert!(posts(&mut kept[0], "again").await);
    let mut new = opened(&receiver, b"").await;
    assert!(posts(&mut new, "new").await);
    assert!(!is_open_after(&mut kept[1], PATIENCE).await);
    assert!(posts(&mut kept[0], "first goes on").await);
    assert!(posts(&mut kept[2], "third goes on").await);
}
