//! Answers that are given before the whole body of the request is there. Load balancers send all of it before they read
//! the answer; they must then find the answer, and not a connection that was reset.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::wire::{self, DATA, RST_STREAM};
use crate::support::{Receiver, Signed, raw_exchange};

/// More than the buffers of both sockets hold.
const LARGE: usize = 7 << 20;
const SIGNED: &str = "x-api-key: 00\r\ngenerated-at: 1\r\n";

/// Sends a request with a large body, and only then reads the answer; its status.
async fn send_then_read(
    stream: &mut TcpStream,
    line: &str,
    headers: &str,
    is_chunked: bool,
) -> u16 {
    let body = vec![b'x'; LARGE];
    let (framing, body) = if is_chunked {
        let chunks = body
            .chunks(64 << 10)
            .map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
        let mut chunked = chunks.collect::<Vec<_>>().concat();
        chunked.extend_from_slice(b"0\r\n\r\n");
        ("transfer-encoding: chunked".to_owned(), chunked)
    } else {
        (format!("content-length: {LARGE}"), body)
    };
    let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\n{headers}{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    read_status(stream).await
}

/// Reads an answer with a `content-length` to its end; its status.
async fn read_status(stream: &mut TcpStream) -> u16 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).await.unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_sender_that_reads_only_after_its_whole_body_gets_the_answer() {
    let receiver = Receiver::start().await;
    let webhook = "POST /webhooks/notification";
    for is_chunked in [false, true] {
        for (address, line, headers, expected) in [
            (receiver.public, webhook, SIGNED, 413),
            (receiver.public, webhook, "", 413),
            (receiver.public, "PUT /webhooks/notification", "", 405),
            (receiver.public, "POST /elsewhere", "", 404),
            (receiver.public, "POST /elsewhere", SIGNED, 404),
            (receiver.public, "POST /readyz", "", 405),
            (receiver.admin, "POST /api/v1/replay", "", 401),
            (receiver.admin, "POST /elsewhere", "", 404),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let status = send_then_read(&mut stream, line, headers, is_chunked).await;
            assert_eq!(status, expected, "{line}, chunked: {is_chunked}");
        }
    }
}

#[tokio::test]
async fn the_answer_does_not_wait_for_the_rest_of_a_body() {
    let receiver = Receiver::start().await;
    let mut stream = TcpStream::connect(receiver.public).await.unwrap();
    let head = format!(
        "POST /webhooks/notification HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_status(&mut stream).await, 413);
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_a_body_is_not_told_to_send_one_that_is_refused() {
    let receiver = Receiver::start().await;
    let head = format!(
        "POST /webhooks/notification HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {LARGE}\r\n\r\n"
    );
    let answer = raw_exchange(receiver.public, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(!answer.contains("100 Continue"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_go_on_with_its_body_is_closed() {
    let receiver =
        Receiver::start_with(|config| config.server.body_timeout = Duration::from_millis(300))
            .await;
    let head =
        format!("POST /elsewhere HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\nbeginning");
    let answer = raw_exchange(receiver.public, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn over_http2_a_request_is_not_reset_whose_answer_came_before_its_end() {
    const END_STREAM: u8 = 1;
    let receiver = Receiver::start_with(|config| config.server.max_body_bytes = 1000).await;
    let mut stream = TcpStream::connect(receiver.public).await.unwrap();
    let large = Signed::new(vec![b' '; 2000]);
    stream.write_all(&wire::http2_start()).await.unwrap();
    stream
        .write_all(&wire::http2_without_end(&large, 1))
        .await
        .unwrap();
    let mut came = Vec::new();
    let mut read_until_the_end_of = async |stream: &mut TcpStream, id: u32| loop {
        let (kind, flags, of) = read_frame(stream).await;
        came.push((kind, of));
        if of == id && flags & END_STREAM != 0 && kind <= 1 {
            return;
        }
    };
    read_until_the_end_of(&mut stream, 1).await;
    stream
        .write_all(&wire::frame(DATA, END_STREAM, 1, &[b' '; 1000]))
        .await
        .unwrap();
    let next = wire::http2_get("/livez", "", 3);
    stream.write_all(&next).await.unwrap();
    read_until_the_end_of(&mut stream, 3).await;
    assert!(!came.contains(&(RST_STREAM, 1)), "{came:?}");
}

/// The kind, the flags and the stream of the next frame.
async fn read_frame(stream: &mut TcpStream) -> (u8, u8, u32) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    stream
        .read_exact(&mut vec![0; length as usize])
        .await
        .unwrap();
    (
        head[3],
        head[4],
        u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
    )
}
