//! Bodies that are too large, clients that are too slow, more connections than there is room for.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{PATIENCE, Receiver, Signed, eventually, failure, http, raw_exchange};

const HEAD: &str =
    "POST /webhooks/notification HTTP/1.1\r\nhost: x\r\nx-api-key: 00\r\ngenerated-at: 1\r\n";

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let receiver = Receiver::start_with(|config| config.server.max_body_bytes = 1000).await;
    let (status, answer) = Signed::new(vec![b' '; 1001])
        .post(&receiver.webhook())
        .await;
    assert_eq!((status, answer["code"].as_u64()), (413, Some(413)));
    let mut fitting = failure("fits");
    fitting.resize(1000, b' ');
    assert_eq!(Signed::new(fitting).post(&receiver.webhook()).await.0, 200);
}

#[tokio::test]
async fn an_announced_length_over_the_limit_is_refused_unread() {
    let receiver = Receiver::start().await;
    let answer = raw_exchange(
        receiver.public,
        format!("{HEAD}content-length: 99999999999\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn an_endless_chunked_body_is_413_without_reading_it_all() {
    let receiver = Receiver::start_with(|config| config.server.max_body_bytes = 64 * 1024).await;
    let mut stream = TcpStream::connect(receiver.public).await.unwrap();
    stream
        .write_all(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sender = tokio::spawn(async move {
        let chunk = format!("400\r\n{}\r\n", "a".repeat(1024));
        let mut sent = 0_usize;
        // Ends when the receiver closes: it does not read on.
        while writing.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 1024;
            assert!(sent < 100 << 20, "the receiver reads an endless body");
        }
    });
    let mut answer = vec![0; 12];
    reading.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    sender.await.unwrap();
}

#[tokio::test]
async fn a_head_is_read_up_to_64_kib_and_beyond_that_it_is_431() {
    let receiver = Receiver::start().await;
    let start = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: ";
    let endless = format!("{start}{}", "a".repeat(64 * 1024 - start.len()));
    let answer = raw_exchange(receiver.public, endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let long = format!("{start}{}\r\n\r\n", "a".repeat(60 * 1024));
    let answer = raw_exchange(receiver.public, long.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_sends_its_headers_a_byte_at_a_time_is_cut_off_and_holds_up_nobody() {
    // The others have no more time for their headers, and a busy machine may be slow to bring them.
    let receiver =
        Receiver::start_with(|config| config.server.header_timeout = Duration::from_secs(2)).await;
    let mut slow = TcpStream::connect(receiver.public).await.unwrap();
    let trickle = async {
        for byte in HEAD.as_bytes().iter().cycle() {
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let others = async {
        for n in 0..20 {
            assert_eq!(
                Signed::new(failure(&format!("s{n}")))
                    .post(&receiver.webhook())
                    .await
                    .0,
                200
            );
        }
    };
    let both = async { tokio::join!(trickle, others) };
    tokio::time::timeout(Duration::from_secs(15), both)
        .await
        .expect("the slow client is never cut off");
}

#[tokio::test]
async fn a_client_that_sends_its_body_a_byte_at_a_time_is_answered_408_and_closed() {
    let receiver =
        Receiver::start_with(|config| config.server.body_timeout = Duration::from_millis(300))
            .await;
    let stream = TcpStream::connect(receiver.public).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    writing
        .write_all(format!("{HEAD}content-length: 5000\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let trickle = tokio::spawn(async move {
        while writing.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(15), reading.read_to_end(&mut answer))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 408"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    trickle.await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_are_served_when_there_is_room() {
    let receiver = Receiver::start_with(|config| config.server.max_connections = 2).await;
    // One that is idle would make room.
    let hold = || async {
        let mut stream = TcpStream::connect(receiver.public).await.unwrap();
        stream.write_all(b"POST ").await.unwrap();
        stream
    };
    let (first, second) = (hold().await, hold().await);
    let url = receiver.webhook();
    let third = tokio::spawn(async move { Signed::new(failure("third")).post(&url).await.0 });
    crate::support::eventually("the bound bites", || async {
        receiver
            .metrics()
            .await
            .contains("suki_receiver_connections_full_total 1")
    })
    .await;
    assert!(!third.is_finished());
    drop((first, second));
    assert_eq!(third.await.unwrap(), 200);
    // Both places are free again: this request is served beside a connection that is held.
    let _held = hold().await;
    assert_eq!(receiver.get("/livez").await.0, 200);
}

/// A notification of about this size.
fn large(session: &str, bytes: usize) -> Signed {
    let rest = "x".repeat(bytes);
    Signed::new(format!(
        r#"{{"session_id":"{session}","status":"failure","x":"{rest}"}}"#
    ))
}

/// A connection that has sent so many bytes of a larger body, and no more.
async fn half_sent(receiver: &Receiver, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(receiver.public).await.unwrap();
    let head = format!("{HEAD}content-length: {}\r\n\r\n", bytes + 1);
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; bytes]).await.unwrap();
    stream
}

#[tokio::test]
async fn more_bodies_at_once_than_memory_is_allowed_are_503_early_and_taken_once_there_is_room() {
    let receiver = Receiver::start_with(|config| {
        config.server.max_body_bytes = 50_000;
        config.server.max_buffered_bytes = 60_000;
        config.store.deadline = PATIENCE;
    })
    .await;
    // What waits for the disk holds its memory and cannot be cut off.
    let file = receiver.dir.join("data/receiver.db");
    let locking = rusqlite::Connection::open(file).unwrap();
    locking.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut both = JoinSet::new();
    for session in ["one", "two"] {
        let (client, signed, url) = (http(), large(session, 40_000), receiver.webhook());
        both.spawn(async move {
            let (status, _) = signed.try_post(&client, &url).await.unwrap();
            (session, status)
        });
    }
    let (shed, status) = both.join_next().await.unwrap().unwrap();
    assert_eq!(status, 503, "there is room for one of them");
    locking.execute_batch("COMMIT").unwrap();
    assert_eq!(both.join_next().await.unwrap().unwrap().1, 200);
    let again = large(shed, 40_000);
    eventually("what was shed is taken", || async {
        again.post(&receiver.webhook()).await.0 == 200
    })
    .await;
    let metrics = receiver.metrics().await;
    assert!(
        !metrics.contains(r#"unavailable_total{reason="memory"} 0"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn bodies_that_are_held_back_crowd_out_neither_small_nor_large_ones() {
    const LIMIT: usize = 1 << 20;
    let receiver = Receiver::start_with(|config| {
        config.server.max_body_bytes = LIMIT;
        config.server.max_buffered_bytes = 8 * LIMIT;
        config.server.body_timeout = Duration::from_secs(600);
    })
    .await;
    for size in [LIMIT - 1, 60_000] {
        let mut held = Vec::new();
        // Far more than there is memory for.
        for _ in 0..10 * LIMIT / size {
            held.push(half_sent(&receiver, size).await);
        }
        for n in 0..20 {
            let session = format!("{size} {n}");
            let small = Signed::new(failure(&session))
                .post(&receiver.webhook())
                .await;
            assert_eq!(small.0, 200, "{small:?}");
            let large = large(&session, 300_000).post(&receiver.webhook()).await;
            assert_eq!(large.0, 200, "{large:?}");
        }
    }
}
