//! Notifications that are JSON by its grammar are taken and passed on, whatever stands in them.

use serde::Deserialize;
use serde_json::Value;
use suki_receiver::config::{PostgresUrl, StoreUrl};

use crate::support::{Database, Receiver, Signed, eventually, files_below, until};

/// What may stand beside the fields that are needed, and in them.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let beside = |value: &[u8]| {
        [
            &br#"{"beside":"#[..],
            value,
            br#","session_id":"SESSION","status":"failure"}"#,
        ]
        .concat()
    };
    vec![
        ("half a surrogate pair", beside(br#""\ud83d""#)),
        ("half a pair as a key", beside(br#"{"\udc00":1}"#)),
        ("a key of a library's own", beside(br#"{"$serde_json::private::Number":"x"}"#)),
        ("another one", beside(br#"{"$serde_json::private::RawValue":"x"}"#)),
        ("a repeated key", beside(br#"{"a":1,"a":2}"#)),
        ("a number beyond any", beside(b"1e999999999")),
        ("many digits", beside("9".repeat(5_000).as_bytes())),
        ("deep nesting", beside(deep.as_bytes())),
        ("no character at all", beside(br#""\u0000""#)),
        ("Latin-1", beside(b"\"caf\xE9\"")),
        ("text that is cut", beside(b"\"caf\xC3\"")),
        (
            "a byte order mark",
            [&b"\xEF\xBB\xBF"[..], &beside(b"1")].concat(),
        ),
        (
            "odd characters in what is read",
            br#"{"session_id":"SESSION","status":"\u0000\ud800","encounter_id":"\u0000","error_code":"\u0000","_links":{"\u0000":"\u0000"}}"#.to_vec(),
        ),
    ]
}

async fn are_taken(receiver: &Receiver) {
    let bodies = bodies();
    let count = bodies.len();
    for (n, (name, body)) in bodies.into_iter().enumerate() {
        let session = format!("s-{n}");
        let body = replace(&body, b"SESSION", session.as_bytes());
        let (status, answer) = Signed::new(body.clone()).post(&receiver.webhook()).await;
        assert_eq!(
            (status, &answer["result"]),
            (200, &"accepted".into()),
            "{name}"
        );
        let (_, again) = Signed::new(body).post(&receiver.webhook()).await;
        assert_eq!(again["result"], "duplicate", "{name}");
    }
    // The last one's status is unknown, so its end would have to be asked for.
    until("the others are delivered", || {
        files_below(&receiver.out()).len() == count - 1
    })
    .await;
    for file in files_below(&receiver.out()) {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("\"notification\":null"), "{text}");
        assert!(text.contains("\"session_id\":\"s-"), "{text}");
        let mut lenient = serde_json::Deserializer::from_str(&text);
        serde::de::IgnoredAny::deserialize(&mut lenient).unwrap();
        lenient.end().unwrap();
    }
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[tokio::test]
async fn on_the_embedded_store_whatever_is_json_is_taken_and_delivered() {
    are_taken(&Receiver::start().await).await;
}

#[tokio::test]
async fn on_the_shared_store_whatever_is_json_is_taken_and_delivered() {
    let (database, dir) = (Database::create().await, tempfile::tempdir().unwrap());
    let receiver = Receiver::start_in(dir.path(), |config| {
        config.store.url = StoreUrl::Postgres(PostgresUrl::parse(&database.url()).unwrap());
        config.store.spool_dir = dir.path().join("spool");
    })
    .await;
    are_taken(&receiver).await;
    eventually("nothing is left in the spool", || async {
        receiver
            .metrics()
            .await
            .contains("suki_receiver_spool_events 0\n")
    })
    .await;
    let (_, stats) = receiver.admin_get("/api/v1/stats").await;
    assert_eq!(stats["total"], Value::from(bodies().len()), "{stats}");
}
