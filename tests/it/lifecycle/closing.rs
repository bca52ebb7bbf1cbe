//! A connection that comes at the last moment before a stop is answered.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use nix::sys::signal::Signal;
use suki_receiver::lifecycle::{Readiness, Shutdown};
use suki_receiver::net::{Limits, Listener, Sockets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::support::{Binary, Signed, eventually, failure, http};

#[tokio::test]
async fn what_waits_in_the_queue_of_a_socket_that_closes_is_answered() {
    let any = "127.0.0.1:0".parse().unwrap();
    let (socket, _) = Sockets::bind(any, any).unwrap().listen().unwrap();
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut client = TcpStream::connect(socket.local_addr().unwrap())
            .await
            .unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        clients.push(client);
    }
    let listener = Listener {
        name: "test",
        socket,
        tls: None,
        limits: Limits {
            max_connections: 100,
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
        },
        metrics: None,
    };
    // All are in the queue, and none is accepted before it is to stop.
    let accepting = CancellationToken::new();
    accepting.cancel();
    let router = Router::new().route("/", get(|| async { "here" }));
    listener
        .serve(
            router,
            Readiness::default(),
            accepting,
            Shutdown::new("test"),
        )
        .await;
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
    }
}

#[tokio::test]
async fn a_connection_that_was_only_just_accepted_may_bring_its_request_after_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    let signed = Signed::new(failure("last"));
    let mut client = TcpStream::connect(binary.public).await.unwrap();
    eventually("it is accepted", || async {
        let url = format!("http://{}/metrics", binary.admin);
        let text = http().get(url).send().await.unwrap().text().await.unwrap();
        text.lines()
            .any(|line| line == "suki_receiver_connections 1")
    })
    .await;
    binary.signal(Signal::SIGTERM);
    eventually("nobody else gets in", || async {
        TcpStream::connect(binary.public).await.is_err()
    })
    .await;
    let head = format!(
        "POST /webhooks/notification HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ngenerated-at: {}\r\ncontent-length: {}\r\n\r\n",
        signed.signature,
        signed.generated_at,
        signed.body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&signed.body).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(binary.ended().await.success());
}
