//! Answers over HTTP/2 that the peer does not take: the connection is closed, and its place is free again.

use std::time::Duration;

use suki_receiver::app::RunEnded;
use suki_receiver::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::wire::{self, SETTINGS};
use crate::support::{OPERATOR, PATIENCE, Receiver, Signed, eventually, failure};

const CONNECTIONS: usize = 3;

fn few_connections(config: &mut Config) {
    config.server.max_connections = CONNECTIONS;
}

/// Begins HTTP/2 without room for the body of any answer (RFC 9113, section 6.5.2).
fn without_room() -> Vec<u8> {
    let no_window = [0, 4, 0, 0, 0, 0];
    let start = wire::http2_start();
    [&start[..], &wire::frame(SETTINGS, 0, 0, &no_window)].concat()
}

async fn opened(receiver: &Receiver, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.public).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

async fn has_connections(receiver: &Receiver, open: usize) {
    let metric = format!("suki_receiver_connections {open}\n");
    eventually(&format!("{open} connections are open"), || async {
        receiver.metrics().await.contains(&metric)
    })
    .await;
}

async fn takes_notifications(receiver: &Receiver) {
    let (status, _) = Signed::new(failure("after"))
        .post(&receiver.webhook())
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_peer_that_leaves_without_taking_its_answer_takes_no_place() {
    let receiver = Receiver::start_with(few_connections).await;
    for n in 0..CONNECTIONS {
        let signed = Signed::new(failure(&format!("s{n}")));
        let request = [without_room(), wire::http2(&signed, 1)].concat();
        let stream = opened(&receiver, &request).await;
        has_connections(&receiver, n + 1).await;
        drop(stream);
    }
    has_connections(&receiver, 0).await;
    takes_notifications(&receiver).await;
    let metrics = receiver.metrics().await;
    let kept = format!(
        "notifications_total{{result=\"accepted\"}} {}\n",
        CONNECTIONS + 1
    );
    assert!(metrics.contains(&kept), "{metrics}");
}

#[tokio::test]
async fn a_peer_that_stays_and_takes_no_answer_is_cut_off() {
    let receiver = Receiver::start_with(|config| {
        few_connections(config);
        config.server.body_timeout = Duration::from_millis(300);
    })
    .await;
    let request = [without_room(), wire::http2_get("/livez", "", 1)].concat();
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(opened(&receiver, &request).await);
    }
    for mut stream in open {
        let mut all = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
        assert!(closed.is_ok(), "it is open still");
    }
    takes_notifications(&receiver).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_peer_that_takes_no_answer() {
    let receiver = Receiver::start().await;
    let request = [without_room(), wire::http2_get("/livez", "", 1)].concat();
    let _open = opened(&receiver, &request).await;
    has_connections(&receiver, 1).await;
    assert_eq!(receiver.stop().await, RunEnded::Drained);
}

#[tokio::test]
async fn a_client_of_the_stream_of_changes_that_vanishes_takes_no_place() {
    let receiver = Receiver::start().await;
    let request = wire::http2_get("/api/v1/stream", &format!("Bearer {OPERATOR}"), 1);
    let request = [wire::http2_start(), request].concat();
    let clients = async |open: usize| {
        let metric = format!("suki_receiver_stream_clients {open}\n");
        eventually(&format!("{open} clients"), || async {
            receiver.metrics().await.contains(&metric)
        })
        .await;
    };
    let mut stream = TcpStream::connect(receiver.admin).await.unwrap();
    stream.write_all(&request).await.unwrap();
    clients(1).await;
    drop(stream);
    clients(0).await;
}
