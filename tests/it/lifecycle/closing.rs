//! What comes at the last moment before a stop is answered, and a store that hangs holds up no stop.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use nix::sys::signal::Signal;
use suki_receiver::app::RunEnded;
use suki_receiver::lifecycle::{Readiness, TaskGroup};
use suki_receiver::net::{Limits, Listener, Sockets};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::support::{Binary, PATIENCE, Receiver, Signed, eventually, failure, http, until};

/// A listener in this process that answers `here`.
struct Bare {
    address: SocketAddr,
    listener: Listener,
    accepting: CancellationToken,
    group: TaskGroup,
}

impl Bare {
    fn new() -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let (socket, _) = Sockets::bind(any, any).unwrap().listen().unwrap();
        Self {
            address: socket.local_addr().unwrap(),
            listener: Listener {
                name: "test",
                socket,
                tls: None,
                limits: Limits {
                    max_connections: 100,
                    header_timeout: Duration::from_secs(5),
                    idle_timeout: Duration::from_secs(5),
                    answer_timeout: Duration::from_secs(5),
                    linger: Duration::from_secs(2),
                    half_close: true,
                },
                metrics: None,
            },
            accepting: CancellationToken::new(),
            group: TaskGroup::new("test"),
        }
    }

    async fn serve(self) {
        let router = Router::new().route("/", get(|| async { "here" }));
        self.listener
            .serve(router, Readiness::default(), self.accepting, self.group)
            .await;
    }

    /// A connection that has had an answer and is kept, and what stops the listener.
    async fn kept_alive(self) -> (TcpStream, impl FnOnce()) {
        let (accepting, group, address) =
            (self.accepting.clone(), self.group.clone(), self.address);
        tokio::spawn(self.serve());
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"here") {
            assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
        }
        (client, move || {
            accepting.cancel();
            group.stop();
        })
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// What comes until the end of the connection.
async fn rest(mut client: TcpStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn what_waits_in_the_queue_of_a_socket_that_closes_is_answered() {
    let bare = Bare::new();
    let mut clients = Vec::new();
    // More than are accepted without a pause, and more than there is room for at once.
    for _ in 0..500 {
        let mut client = TcpStream::connect(bare.address).await.unwrap();
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        clients.push(client);
    }
    // All are in the queue, and none is accepted before it is to stop.
    bare.accepting.cancel();
    bare.serve().await;
    for client in clients {
        let answer = rest(client).await;
        assert!(answer.ends_with("here"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_that_has_come_and_is_not_read_yet_is_answered_after_the_stop() {
    let (client, stop) = Bare::new().kept_alive().await;
    // Nothing is awaited in between, so nobody can have read it.
    assert_eq!(client.try_write(REQUEST).unwrap(), REQUEST.len());
    stop();
    assert!(rest(client).await.ends_with("here"));
}

#[tokio::test]
async fn a_request_on_a_kept_connection_whose_head_has_begun_may_go_on_after_the_stop() {
    let bare = Bare::new();
    let address = bare.address;
    let (mut client, stop) = bare.kept_alive().await;
    let (begun, later) = REQUEST.split_at(10);
    client.write_all(begun).await.unwrap();
    stop();
    eventually("nobody else gets in", || async {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    client.write_all(later).await.unwrap();
    assert!(rest(client).await.ends_with("here"));
}

#[tokio::test]
async fn a_kept_connection_may_bring_one_more_request_after_the_stop() {
    let bare = Bare::new();
    let address = bare.address;
    let (mut client, stop) = bare.kept_alive().await;
    stop();
    eventually("nobody else gets in", || async {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    client.write_all(REQUEST).await.unwrap();
    // And no further one: the answer closes it.
    assert!(rest(client).await.ends_with("here"));
}

fn head(signed: &Signed) -> String {
    format!(
        "POST /webhooks/notification HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ngenerated-at: {}\r\ncontent-length: {}\r\n\r\n",
        signed.signature,
        signed.generated_at,
        signed.body.len()
    )
}

/// Sends all of a notification but the end.
async fn begin(binary: &Binary, signed: &Signed) -> TcpStream {
    let mut client = TcpStream::connect(binary.public).await.unwrap();
    let head = head(signed);
    client.write_all(head.as_bytes()).await.unwrap();
    let (begun, _) = signed.body.split_at(5);
    client.write_all(begun).await.unwrap();
    client
}

async fn finish(mut client: TcpStream, signed: &Signed) {
    client.write_all(&signed.body[5..]).await.unwrap();
    let answer = rest(client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn operators_may_look_in_and_the_next_process_waits_while_requests_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let first = Binary::start(dir.path(), &[]).await;
    let signed = Signed::new(failure("slow"));
    let client = begin(&first, &signed).await;
    first.signal(Signal::SIGTERM);
    eventually("nobody else gets in", || async {
        TcpStream::connect(first.public).await.is_err()
    })
    .await;
    let metrics = http()
        .get(format!("http://{}/metrics", first.admin))
        .send()
        .await;
    assert_eq!(metrics.unwrap().status(), 200);

    let next = first.spawn_successor(&[]);
    eventually("the next one waits", || async {
        next.log().contains("waiting for another process to end")
    })
    .await;
    let early = TcpStream::connect(first.public).await;
    assert!(early.is_err(), "what connects now could be reset");
    finish(client, &signed).await;
    assert!(first.ended().await.success());
    eventually("the next one takes notifications", || async {
        let again = signed.try_post(&http(), &next.webhook()).await;
        again.is_ok_and(|(status, answer)| status == 200 && answer["result"] == "duplicate")
    })
    .await;
}

#[tokio::test]
async fn a_start_waits_a_moment_for_its_address_and_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let any = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (public, admin) = (other.local_addr().unwrap(), any.local_addr().unwrap());
    drop(any);
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let lock = std::fs::File::create(dir.path().join("data/receiver.db.lock")).unwrap();
    lock.lock().unwrap();
    let binary = Binary::spawn_on(&[], dir.path(), public, admin, &[]);
    until("it waits for its address", || {
        binary.log().contains(&format!("cannot listen on {public}"))
    })
    .await;
    drop(other);
    until("it waits for its store", || {
        binary.log().contains("in use by another running receiver")
    })
    .await;
    // Through several looks at the store.
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let early = TcpStream::connect(public).await;
        assert!(early.is_err(), "what connects now could be reset");
    }
    drop(lock);
    eventually("it takes notifications", || async {
        let signed = Signed::new(failure("s"));
        let answer = signed.try_post(&http(), &binary.webhook()).await;
        answer.is_ok_and(|(status, _)| status == 200)
    })
    .await;
}

#[tokio::test]
async fn a_start_that_waits_can_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let lock = std::fs::File::create(dir.path().join("data/receiver.db.lock")).unwrap();
    lock.lock().unwrap();
    let binary = Binary::spawn(dir.path(), &[]);
    until("it waits", || {
        binary.log().contains("waiting for another process to end")
    })
    .await;
    binary.signal(Signal::SIGTERM);
    assert!(binary.ended().await.success());
}

#[tokio::test]
async fn a_store_that_hangs_does_not_keep_a_process_that_is_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("SERVER__DRAIN_TIMEOUT", "1s".to_owned()),
        ("SERVER__BODY_TIMEOUT", "500ms".to_owned()),
    ];
    let binary = Binary::start(dir.path(), &settings).await;
    let turn = std::fs::File::open(dir.path().join("data/receiver.db.turn")).unwrap();
    turn.lock().unwrap();
    let stopped = Instant::now();
    binary.signal(Signal::SIGTERM);
    let log = dir.path().join("log");
    assert_eq!(binary.ended().await.code(), Some(1));
    assert!(stopped.elapsed() < PATIENCE / 2);
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("the store does not close in time"), "{log}");
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
    let head = head(&signed);
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&signed.body).await.unwrap();
    let answer = rest(client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(binary.ended().await.success());
}

#[tokio::test]
async fn a_client_that_reads_nothing_of_its_http2_connection_holds_up_no_stop() {
    let receiver = Receiver::start().await;
    let mut client = TcpStream::connect(receiver.public).await.unwrap();
    // The preface, and settings that change nothing. The answer to them is never read, nor is the farewell.
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    client.write_all(begin).await.unwrap();
    client.readable().await.unwrap();
    assert_eq!(receiver.stop().await, RunEnded::Drained);
    drop(client);
}
