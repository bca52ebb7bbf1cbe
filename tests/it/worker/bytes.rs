//! What was fetched is passed on, whatever its bytes are.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::Value;
use suki_receiver::lab::simulator::Canned;

use crate::support::{Receiver, Signed, Vendor, completed, eventually, files_below, http, until};

/// Delivers a session whose note is answered so, and gives back the event's id and the delivered text.
async fn delivered(note: Canned) -> (Receiver, Vendor, String, String) {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let body = completed("s", &vendor.completed("s"));
    vendor.sdp.answer_with("/session/s/content", note);
    let (status, answer) = Signed::new(body).post(&receiver.webhook()).await;
    assert_eq!(status, 200);
    let out = receiver.out();
    until("it is delivered", || files_below(&out).len() == 1).await;
    let text = std::fs::read_to_string(&files_below(&out)[0]).expect("text");
    let id = answer["id"].as_str().unwrap().to_owned();
    (receiver, vendor, id, text)
}

fn note_in(text: &str) -> Value {
    let envelope: Value = serde_json::from_str(text).unwrap();
    envelope["data"]["resources"]["contents"][0].clone()
}

#[tokio::test]
async fn a_note_that_is_not_utf8_is_delivered_repaired_and_marked_and_its_bytes_stay() {
    for (bad, repaired) in [
        (&b"caf\xE9"[..], "caf\u{FFFD}"),
        (b"\x93quoted\x94", "\u{FFFD}quoted\u{FFFD}"),
        (b"cut \xE2\x82", "cut \u{FFFD}"),
    ] {
        let stored = [b"{\"summary\":[{\"content\":\"", bad, b"\"}]}"].concat();
        let (receiver, _vendor, id, text) = delivered(Canned::json(stored.clone())).await;
        let note = note_in(&text);
        assert_eq!(note["body"]["summary"][0]["content"], repaired);
        assert_eq!(note["repaired"], true);
        let url = format!("http://{}/api/v1/events/{id}/resources/0", receiver.admin);
        let read = http().get(url).bearer_auth("operator-token").send().await;
        assert_eq!(read.unwrap().bytes().await.unwrap(), stored);
    }
}

#[tokio::test]
async fn json_that_a_strict_parser_refuses_is_passed_on_byte_for_byte() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for stored in [
        r#"{"a":"\ud800 and \udc00"}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1e99999,"b":123456789012345678901234567890.10}"#,
        r#"{"$serde_json::private::RawValue":"x"}"#,
        &deep,
    ] {
        let bom = format!("\u{FEFF}{stored}\r\n");
        for sent in [stored.to_owned(), bom] {
            let (_receiver, _vendor, _, text) = delivered(Canned::json(sent)).await;
            assert!(text.contains(&format!("\"body\":{stored}")), "{stored}");
            assert!(!text.contains("\"repaired\""));
        }
    }
}

#[tokio::test]
async fn a_compressed_note_is_decoded_whether_or_not_it_says_so() {
    let note = br#"{"summary":[{"content":"compressed"}]}"#;
    let level = Compression::default();
    let mut gzip = GzEncoder::new(Vec::new(), level);
    let mut zlib = ZlibEncoder::new(Vec::new(), level);
    let mut raw = DeflateEncoder::new(Vec::new(), level);
    gzip.write_all(note).unwrap();
    zlib.write_all(note).unwrap();
    raw.write_all(note).unwrap();
    let (gzip, mut br) = (gzip.finish().unwrap(), Vec::new());
    let zlib = zlib.finish().unwrap();
    let unsaid_zlib = zlib.clone();
    let params = brotli::enc::BrotliEncoderParams::default();
    brotli::BrotliCompress(&mut &note[..], &mut br, &params).unwrap();
    for answer in [
        Canned::json(gzip.clone()).with_header("content-encoding", "gzip"),
        Canned::json(gzip.clone()).with_header("content-encoding", "X-Gzip"),
        Canned::json(gzip),
        Canned::json(zlib).with_header("content-encoding", "deflate"),
        Canned::json(raw.finish().unwrap()).with_header("content-encoding", "deflate"),
        Canned::json(br).with_header("content-encoding", "br"),
        Canned::json(&note[..]).with_header("content-encoding", "identity"),
        // Decoded on the way, with the coding's name left, or a charset in its place.
        Canned::json(&note[..]).with_header("content-encoding", "gzip"),
        Canned::json(&note[..]).with_header("content-encoding", "br"),
        Canned::json(&note[..]).with_header("content-encoding", "UTF-8"),
        Canned::json(unsaid_zlib),
    ] {
        let (_receiver, _vendor, _, text) = delivered(answer).await;
        assert_eq!(
            note_in(&text)["body"]["summary"][0]["content"],
            "compressed"
        );
    }
}

#[tokio::test]
async fn a_note_that_grows_beyond_the_limit_when_decoded_is_not_taken() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| {
        vendor.follow(config);
        config.sdp.max_body_bytes = 100_000;
    })
    .await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 1_000_000]).unwrap();
    let bomb = Canned::json(bomb.finish().unwrap()).with_header("content-encoding", "gzip");
    let body = completed("s", &vendor.completed("s"));
    vendor.sdp.answer_with("/session/s/content", bomb);
    let (_, answer) = Signed::new(body).post(&receiver.webhook()).await;
    let id = answer["id"].as_str().unwrap();
    let event = receiver.becomes(id, "dead").await;
    let why = event["last_error"].as_str().unwrap();
    assert_eq!(
        why,
        "contents: the decoded body is larger than 100000 bytes"
    );
}

#[tokio::test]
async fn an_id_of_dots_makes_no_call_to_another_path() {
    for session in [".", ".."] {
        let vendor = Vendor::start().await;
        let receiver = Receiver::start_with(|config| {
            vendor.follow(config);
            config.follow.not_found_grace = Duration::from_millis(100);
        })
        .await;
        for status in [r#""success""#, "null"] {
            let body = format!(r#"{{"session_id":"{session}","status":{status}}}"#);
            let (_, answer) = Signed::new(body).post(&receiver.webhook()).await;
            let id = answer["id"].as_str().unwrap();
            eventually("it ends", || async {
                ["done", "dead"].contains(&&*receiver.state_of(id).await)
            })
            .await;
            let (_, event) = receiver.admin_get(&format!("/api/v1/events/{id}")).await;
            assert!(
                event.to_string().contains("would lead to another path"),
                "{event}"
            );
        }
        let calls = vendor.sdp.calls();
        assert!(
            calls.iter().all(|call| call.path.ends_with("/auth/login")),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn a_login_answered_with_a_byte_order_mark_is_read() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let body = completed("s", &vendor.completed("s"));
    let token = vendor.sdp.token();
    let login = format!("\u{FEFF}{{\"suki_token\":\"{token}\"}}");
    vendor.sdp.answer_with("/auth/login", Canned::json(login));
    Signed::new(body).post(&receiver.webhook()).await;
    let out = receiver.out();
    until("it is delivered", || files_below(&out).len() == 1).await;
}
