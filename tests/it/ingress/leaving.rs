//! Senders that leave right behind their last byte: what they sent is kept, logged and counted all the same.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use suki_receiver::config::{Config, PostgresUrl, StoreUrl};

use super::tls::Ca;
use crate::support::wire::{self, GOAWAY, RST_STREAM};
use crate::support::{Database, PATIENCE, Receiver, Signed, eventually, failure};

/// Notifications of each kind.
const COUNT: usize = 12;

/// How a sender leaves.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// Closes both ways, as a process that ends does.
    Close,
    /// Closes its sending half and reads on.
    HalfClose,
    /// Resets the connection.
    Reset,
    /// HTTP/2: cancels its request, then closes.
    CancelStream,
    /// HTTP/2: says that it goes away, then closes.
    GoAway,
    /// Of a chunked body sends all but the mark of its end.
    WithoutEnd,
}

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

const WAYS: [(Protocol, Leave); 9] = [
    (Protocol::Http1, Leave::Close),
    (Protocol::Http1, Leave::HalfClose),
    (Protocol::Http1, Leave::Reset),
    (Protocol::Http1, Leave::WithoutEnd),
    (Protocol::Http2, Leave::Close),
    (Protocol::Http2, Leave::HalfClose),
    (Protocol::Http2, Leave::Reset),
    (Protocol::Http2, Leave::CancelStream),
    (Protocol::Http2, Leave::GoAway),
];

#[tokio::test]
async fn on_the_embedded_store_all_that_came_is_kept_however_its_sender_leaves() {
    let receiver = Receiver::start().await;
    let address = receiver.public;
    blocking(move || all_ways(|way, session| plain(address, way, session))).await;
    has_kept(&receiver, WAYS.len() * COUNT).await;
}

/// The mark of its end may be missing, and then it is the signature that says that it is whole.
#[tokio::test]
async fn a_body_that_ends_without_its_mark_is_known_as_soon_as_its_sender_has_left() {
    // Far more than the test waits for.
    let receiver =
        Receiver::start_with(|config| config.server.body_timeout = Duration::from_secs(600)).await;
    let address = receiver.public;
    blocking(move || {
        let signed = |session: &str| Signed::new(failure(session));
        let start = wire::http2_start();
        for (protocol, bytes) in [
            (Protocol::Http1, wire::http1_without_end(&signed("chunked"))),
            (Protocol::Http1, wire::http1_cut_short(&signed("length"))),
            (
                Protocol::Http2,
                [&start[..], &wire::http2_without_end(&signed("stream"), 1)].concat(),
            ),
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            if let Protocol::Http1 = protocol {
                is_answered(protocol, &answer);
            }
        }
        // What is not whole either way is rejected as soon.
        let mut stream = TcpStream::connect(address).unwrap();
        let mut bytes = wire::http1_cut_short(&signed("cut"));
        bytes.pop();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    })
    .await;
    has_kept(&receiver, 3).await;
    let metrics = receiver.metrics().await;
    let broken = "notifications_total{result=\"malformed\"} 1\n";
    assert!(metrics.contains(broken), "{metrics}");
}

#[tokio::test]
async fn over_tls_all_that_came_is_kept_with_and_without_a_farewell() {
    let (ca, dir) = (Ca::new(), tempfile::tempdir().unwrap());
    let files = ca.issue(dir.path(), 2100);
    let receiver = Receiver::start_with(|config| config.server.tls = Some(files)).await;
    let (address, config) = (receiver.public, Arc::new(ca.rustls_config()));
    blocking(move || {
        for farewell in [true, false] {
            all_ways(|way, session| {
                let session = format!("{session}-{farewell}");
                encrypted(address, &config, way, &session, farewell);
            });
        }
    })
    .await;
    has_kept(&receiver, 2 * WAYS.len() * COUNT).await;
}

#[tokio::test]
async fn on_the_shared_store_all_that_came_is_kept_while_its_table_is_locked() {
    let (database, dir) = (Database::create().await, tempfile::tempdir().unwrap());
    let receiver = Receiver::start_in(dir.path(), |config| {
        shared(config, &database.url(), dir.path())
    })
    .await;
    let mut client = ready(&database).await;
    let lock = client.transaction().await.unwrap();
    lock.batch_execute(LOCK).await.unwrap();
    let address = receiver.public;
    blocking(move || {
        all_ways(|way, session| {
            if !matches!(way.1, Leave::HalfClose) {
                plain(address, way, session);
            }
        });
    })
    .await;
    lock.commit().await.unwrap();
    has_kept(&receiver, (WAYS.len() - 2) * COUNT).await;
}

#[tokio::test]
async fn in_the_spool_all_that_came_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let url = "postgres://postgres@127.0.0.1:1/nowhere";
    let receiver = Receiver::start_in(dir.path(), |config| shared(config, url, dir.path())).await;
    let address = receiver.public;
    blocking(move || all_ways(|way, session| plain(address, way, session))).await;
    eventually("all are in the spool", || async {
        let metrics = receiver.metrics().await;
        metrics.contains(&format!(
            "suki_receiver_spool_events {}\n",
            WAYS.len() * COUNT
        ))
    })
    .await;
}

#[tokio::test]
async fn what_came_before_a_stop_is_kept_though_its_sender_has_left() {
    let (database, dir) = (Database::create().await, tempfile::tempdir().unwrap());
    let receiver = Receiver::start_in(dir.path(), |config| {
        shared(config, &database.url(), dir.path());
        // The spool is to have no part in it.
        config.store.deadline = PATIENCE;
        config.server.drain_timeout = PATIENCE;
    })
    .await;
    let mut locking = ready(&database).await;
    eventually("the store takes what comes", || async {
        let signed = Signed::new(failure("first"));
        signed.post(&receiver.webhook()).await;
        let count = locking.query_one("SELECT count(*) FROM receipts", &[]);
        count.await.unwrap().get::<_, i64>(0) == 1
    })
    .await;
    let lock = locking.transaction().await.unwrap();
    lock.batch_execute(LOCK).await.unwrap();
    let address = receiver.public;
    blocking(move || plain(address, (Protocol::Http1, Leave::Reset), "stopped")).await;
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT%'";
    let watching = database.client().await;
    eventually("the store is asked to keep it", || async {
        watching
            .query_one(waiting, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
    })
    .await;
    let stopping = tokio::spawn(receiver.stop());
    lock.commit().await.unwrap();
    stopping.await.unwrap();
    let count = "SELECT count(*) FROM receipts WHERE session_id = 'stopped'";
    let count: i64 = watching.query_one(count, &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
}

const LOCK: &str = "LOCK TABLE receipts IN ACCESS EXCLUSIVE MODE";

/// A connection to a database that has its tables.
async fn ready(database: &Database) -> tokio_postgres::Client {
    let client = database.client().await;
    eventually("the tables are there", || async {
        let found = client.query_one("SELECT to_regclass('receipts') IS NOT NULL", &[]);
        found.await.unwrap().get(0)
    })
    .await;
    client
}

/// Sends by every way, each notification of a session of its own.
fn all_ways(mut send: impl FnMut((Protocol, Leave), &str)) {
    for way in WAYS {
        for n in 0..COUNT {
            send(way, &format!("{way:?}-{n}"));
        }
    }
}

async fn blocking(send: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(send).await.unwrap();
}

/// Every one is an event, and is counted as accepted.
async fn has_kept(receiver: &Receiver, count: usize) {
    eventually("all are accepted", || async {
        let accepted = format!("notifications_total{{result=\"accepted\"}} {count}\n");
        receiver.metrics().await.contains(&accepted)
    })
    .await;
    let (_, stats) = receiver.admin_get("/api/v1/stats").await;
    assert_eq!(stats["total"], count, "{stats}");
}

fn shared(config: &mut Config, url: &str, dir: &Path) {
    config.store.url = StoreUrl::Postgres(PostgresUrl::parse(url).unwrap());
    config.store.spool_dir = dir.join("spool");
}

fn message((protocol, leave): (Protocol, Leave), session: &str) -> Vec<u8> {
    let signed = Signed::new(failure(session));
    match (protocol, leave) {
        (Protocol::Http1, Leave::WithoutEnd) => wire::http1_without_end(&signed),
        (Protocol::Http1, _) => wire::http1(&signed, "/webhooks/notification"),
        (Protocol::Http2, _) => {
            const CANCEL: &[u8] = &[0, 0, 0, 8];
            let mut bytes = [wire::http2_start(), wire::http2(&signed, 1)].concat();
            match leave {
                Leave::CancelStream => bytes.extend(wire::frame(RST_STREAM, 0, 1, CANCEL)),
                Leave::GoAway => bytes.extend(wire::frame(GOAWAY, 0, 0, &[0; 8])),
                _ => {}
            }
            bytes
        }
    }
}

fn plain(address: SocketAddr, way: (Protocol, Leave), session: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&message(way, session)).unwrap();
    match way.1 {
        Leave::HalfClose => {
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            is_answered(way.0, &answer);
        }
        Leave::Reset => reset(&stream),
        _ => {}
    }
}

fn is_answered(protocol: Protocol, answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    if let Protocol::Http1 = protocol {
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    }
    assert!(text.contains("accepted"), "{text}");
}

/// Closing it then sends a reset.
fn reset(stream: &TcpStream) {
    let linger = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(stream, linger).unwrap();
}

fn encrypted(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    way: (Protocol, Leave),
    session: &str,
    farewell: bool,
) {
    let mut config = (**config).clone();
    config.alpn_protocols = vec![match way.0 {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }];
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    // What the system holds back for a moment would be lost by a reset.
    socket.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(&message(way, session)).unwrap();
    stream.flush().unwrap();
    if farewell {
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    }
    match way.1 {
        Leave::HalfClose => {
            stream.sock.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // Whether the receiver says farewell in its turn is its matter.
            let _ = stream.read_to_end(&mut answer);
            is_answered(way.0, &answer);
        }
        Leave::Reset => reset(&stream.sock),
        _ => {}
    }
}
