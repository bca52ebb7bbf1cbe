//! The signature's header as gateways change it, and bodies with a content coding.

use std::io::Write;

use crate::support::{Binary, Receiver, Signed, eventually, failure, http, reverify};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

const OTHER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Sends a notification with these values in its signature header, each in a header of its own; the answer's status.
async fn post(url: &str, signed: &Signed, signatures: &[String], coding: Option<&str>) -> u16 {
    let mut request = http()
        .post(url)
        .header("generated-at", &signed.generated_at)
        .body(signed.body.clone());
    for signature in signatures {
        request = request.header("x-api-key", signature);
    }
    if let Some(coding) = coding {
        request = request.header("content-encoding", coding);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn one_of_several_signatures_is_enough_in_any_place_and_at_most_eight_are_tried() {
    let receiver = Receiver::start().await;
    let mut sessions = 0;
    for (before, after, status) in [
        (0, 0, 200),
        (1, 0, 200),
        (0, 3, 200),
        (7, 0, 200),
        (8, 0, 401),
    ] {
        for is_joined in [false, true] {
            sessions += 1;
            let signed = Signed::new(failure(&format!("s{sessions}")));
            let others = |count| std::iter::repeat_n(OTHER.to_owned(), count);
            let values: Vec<String> = others(before)
                .chain([signed.signature.clone()])
                .chain(others(after))
                .collect();
            let values = if is_joined {
                vec![values.join(", ")]
            } else {
                values
            };
            let answer = post(&receiver.webhook(), &signed, &values, None).await;
            assert_eq!(
                answer, status,
                "{before} before, {after} after, joined: {is_joined}"
            );
        }
    }
    // A gateway's own key need not look like a signature.
    let signed = Signed::new(failure("gateway"));
    let values = [format!("gateway-key,,{}", signed.signature), "x".to_owned()];
    assert_eq!(post(&receiver.webhook(), &signed, &values, None).await, 200);
    assert_eq!(
        post(&receiver.webhook(), &signed, &["x,y".to_owned()], None).await,
        401
    );
    let metrics = receiver.metrics().await;
    assert!(
        metrics.contains("signatures_total{secret=\"test\"} 9\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_repeated_time_of_sending_is_no_reason_to_refuse() {
    let receiver = Receiver::start().await;
    let signed = Signed::new(failure("repeated"));
    for (values, status) in [
        (vec!["SENT", "SENT"], 200),
        (vec!["SENT, SENT"], 200),
        (vec!["x", "SENT"], 200),
        (vec!["1765977748432", "SENT"], 200),
        (vec!["1765977748432", "1765977748433", "SENT"], 401),
        (vec!["x", ""], 401),
    ] {
        let mut request = http()
            .post(receiver.webhook())
            .header("x-api-key", &signed.signature)
            .body(signed.body.clone());
        for value in &values {
            request = request.header("generated-at", value.replace("SENT", &signed.generated_at));
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{values:?}");
    }
}

#[tokio::test]
async fn what_no_value_verifies_is_kept_as_it_came_and_taken_up_when_the_secret_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = [("SIGNATURE__SECRET", "the old secret".to_owned())];
    let binary = Binary::start(dir.path(), &wrong).await;
    let plain = Signed::new(failure("plain"));
    let values = [OTHER.to_owned(), format!("{OTHER}, {}", plain.signature)];
    assert_eq!(post(&binary.webhook(), &plain, &values, None).await, 401);
    let mut sent = 1;
    for coding in ["gzip", "deflate", "br"] {
        for is_signed_before in [true, false] {
            let signed = coded(
                &format!("{coding} {is_signed_before}"),
                coding,
                is_signed_before,
            );
            let values = [signed.signature.clone()];
            let status = post(&binary.webhook(), &signed, &values, Some(coding)).await;
            assert_eq!(status, 401);
            sent += 1;
        }
    }
    let unknown = Signed::new(failure("zstd"));
    let values = [unknown.signature.clone()];
    let status = post(&binary.webhook(), &unknown, &values, Some("zstd")).await;
    assert_eq!(status, 415);
    sent += 1;
    eventually("all are kept", || async {
        let url = format!("http://{}/metrics", binary.admin);
        let metrics = http().get(url).send().await.unwrap().text().await.unwrap();
        metrics.contains(&format!("refused_kept {sent}\n"))
    })
    .await;
    let done = reverify(dir.path());
    assert_eq!(
        (&done["checked"], &done["accepted"]),
        (&sent.into(), &sent.into()),
        "{done}"
    );
}

#[tokio::test]
async fn a_coded_body_is_taken_whether_it_was_signed_before_or_after_and_kept_decoded() {
    let receiver = Receiver::start().await;
    for coding in [
        "gzip",
        "x-gzip",
        "GZIP",
        "deflate",
        "raw deflate",
        "br",
        "gzip, br",
        "identity",
    ] {
        for is_signed_before in [true, false] {
            let session = format!("{coding} {is_signed_before}");
            let signed = coded(&session, coding, is_signed_before);
            let header = coding.trim_start_matches("raw ");
            let values = [signed.signature.clone()];
            assert_eq!(
                post(&receiver.webhook(), &signed, &values, Some(header)).await,
                200,
                "{session}"
            );
            let query = session.replace(' ', "%20");
            let (_, found) = receiver
                .admin_get(&format!("/api/v1/events?session_id={query}"))
                .await;
            let id = found["events"][0]["id"]
                .as_str()
                .expect("it is kept")
                .to_owned();
            let (_, payload) = receiver
                .admin_get(&format!("/api/v1/events/{id}/payload"))
                .await;
            assert_eq!(payload["session_id"], session);
        }
    }
    // A gateway decodes the body and leaves the header.
    let signed = Signed::new(failure("decoded on the way"));
    let values = [signed.signature.clone()];
    assert_eq!(
        post(&receiver.webhook(), &signed, &values, Some("gzip")).await,
        200
    );
    assert_eq!(
        post(
            &receiver.webhook(),
            &Signed::new(failure("zstd")),
            &values,
            Some("zstd")
        )
        .await,
        415
    );
    let known = Signed::new(failure("unknown coding, signed as sent"));
    let values = [known.signature.clone()];
    assert_eq!(
        post(&receiver.webhook(), &known, &values, Some("zstd")).await,
        200
    );
}

#[tokio::test]
async fn a_coded_body_is_decoded_within_the_limit_of_a_body() {
    let receiver = Receiver::start_with(|config| config.server.max_body_bytes = 100_000).await;
    for is_signed_before in [true, false] {
        let mut body = failure("bomb");
        body.resize(10_000_000, b' ');
        let signed = signed_coded(&body, "gzip", is_signed_before);
        assert!(signed.body.len() < 100_000);
        let values = [signed.signature.clone()];
        assert_eq!(
            post(&receiver.webhook(), &signed, &values, Some("gzip")).await,
            413
        );
    }
}

/// A notification with a coding, signed before or after that was put on.
fn coded(session: &str, coding: &str, is_signed_before: bool) -> Signed {
    signed_coded(&failure(session), coding, is_signed_before)
}

fn signed_coded(body: &[u8], coding: &str, is_signed_before: bool) -> Signed {
    let encoded = coding
        .split(", ")
        .fold(body.to_vec(), |body, coding| encode(coding, &body));
    if is_signed_before {
        Signed {
            body: encoded,
            ..Signed::new(body)
        }
    } else {
        Signed::new(encoded)
    }
}

fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    let level = Compression::default();
    match coding {
        "identity" => body.to_vec(),
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "raw deflate" => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoded = Vec::new();
            let parameters = brotli::enc::BrotliEncoderParams::default();
            brotli::BrotliCompress(&mut &*body, &mut encoded, &parameters).unwrap();
            encoded
        }
        _ => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
    }
}
