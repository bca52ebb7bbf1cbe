//! Every row of the table in docs/WEBHOOK.md, "Answers".

use jiff::Timestamp;
use serde_json::Value;
use suki_receiver::config::{NamedSecret, OnStale, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Receiver, Signed, completed, eventually, failure, files_below, http, send, until,
};

#[tokio::test]
async fn a_new_notification_is_accepted_and_the_same_again_is_a_duplicate_with_the_same_id() {
    let receiver = Receiver::start().await;
    let (status, first) = Signed::new(failure("s-1")).post(&receiver.webhook()).await;
    assert_eq!((status, first["result"].as_str()), (200, Some("accepted")));
    let reordered = r#"{ "status":"failure", "session_id":"s-1","error_detail":"PHI-detail",
        "error_code":"ERROR_CODE_TRANSCRIPTION", "encounter_id":"e-s-1" }
"#;
    for again in [failure("s-1"), reordered.as_bytes().to_vec()] {
        let (status, answer) = Signed::at(again, Timestamp::now().as_millisecond() + 7)
            .post(&receiver.webhook())
            .await;
        assert_eq!(
            (status, answer["result"].as_str()),
            (200, Some("duplicate"))
        );
        assert_eq!(answer["id"], first["id"]);
    }
    let (_, other) = Signed::new(failure("s-2")).post(&receiver.webhook()).await;
    assert_ne!(other["id"], first["id"]);
}

#[tokio::test]
async fn many_at_once_of_the_same_are_one_event() {
    let receiver = Receiver::start().await;
    let url = receiver.webhook();
    let posts = (0..40).map(|n| {
        let (url, signed) = (
            url.clone(),
            Signed::at(failure("same"), Timestamp::now().as_millisecond() + n),
        );
        tokio::spawn(async move { signed.post(&url).await.1 })
    });
    let mut answers = Vec::new();
    for post in posts {
        answers.push(post.await.unwrap());
    }
    let accepted = answers
        .iter()
        .filter(|answer| answer["result"] == "accepted")
        .count();
    assert_eq!(accepted, 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| answer["id"] == answers[0]["id"])
    );
}

#[tokio::test]
async fn a_time_of_more_digits_than_any_has_is_401_even_when_it_is_signed_and_is_not_kept() {
    let receiver = Receiver::start().await;
    let mut signed = Signed::new(failure("s"));
    for (zeros, expected) in [(20 - signed.generated_at.len(), 200), (10_000, 401)] {
        let time = signed.generated_at.trim_start_matches('0');
        signed.generated_at = format!("{}{time}", "0".repeat(zeros));
        let signed = signed.clone().with_secret(crate::support::SECRET);
        assert_eq!(signed.post(&receiver.webhook()).await.0, expected);
    }
    let forged = signed.with_secret("a guess");
    assert_eq!(forged.post(&receiver.webhook()).await.0, 401);
    // What is kept is kept in order: were that one kept, it would be there before this one.
    let known = Signed::new(failure("s")).with_secret("a guess");
    assert_eq!(known.post(&receiver.webhook()).await.0, 401);
    let kept = || async {
        let (_, stats) = receiver.admin_get("/api/v1/stats").await;
        stats["refused_kept"].as_u64().unwrap()
    };
    eventually("one is kept", || async { kept().await > 0 }).await;
    assert_eq!(kept().await, 1);
}

#[tokio::test]
async fn what_is_unknown_is_kept() {
    let receiver = Receiver::start().await;
    for (n, body) in [
        r#"{"session_id":"u0","status":"paused"}"#,
        r#"{"session_id":"u1"}"#,
        r#"{"session_id":"u2","status":"failure","brand_new":{"deep":[1,2,{"x":null}]}}"#,
        r#"{"session_id":"u3","status":"success","_links":{"videos":[{"href":"/v/1"}]}}"#,
        r#"{"session_id":"u4","status":"success","_links":null,"additional_info":null,"sessions":null}"#,
        r#"{"session_id":"not a uuid / at all","status":7}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let (status, answer) = Signed::new(body).post(&receiver.webhook()).await;
        assert_eq!((status, answer["result"].as_str()), (200, Some("accepted")), "body {n}");
    }
}

#[tokio::test]
async fn a_request_that_is_not_authentic_is_401_whatever_is_wrong_with_it() {
    let receiver = Receiver::start().await;
    let good = Signed::new(failure("s"));
    let change = |change: fn(&mut Signed)| {
        let mut signed = good.clone();
        change(&mut signed);
        signed
    };
    for bad in [
        change(|s| {
            s.signature.replace_range(
                0..1,
                if s.signature.starts_with('0') {
                    "1"
                } else {
                    "0"
                },
            )
        }),
        change(|s| s.signature = "zz".repeat(32)),
        change(|s| s.signature = String::new()),
        change(|s| s.signature.truncate(62)),
        change(|s| s.generated_at = "yesterday".to_owned()),
        change(|s| s.generated_at = "-1".to_owned()),
        change(|s| s.body.push(b' ')),
        good.clone().with_secret("another"),
    ] {
        let (status, answer) = bad.post(&receiver.webhook()).await;
        assert_eq!(
            (status, answer["code"].as_u64()),
            (401, Some(401)),
            "{answer}"
        );
        assert!(answer["message"].is_string());
    }
    for missing in ["X-API-Key", "generated-at"] {
        let mut request = http().post(receiver.webhook()).body(good.body.clone());
        for (name, value) in [
            ("X-API-Key", &good.signature),
            ("generated-at", &good.generated_at),
        ] {
            if name != missing {
                request = request.header(name, value);
            }
        }
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
    let upper = Signed {
        signature: good.signature.to_uppercase(),
        ..good
    };
    assert_eq!(
        upper.post(&receiver.webhook()).await.0,
        200,
        "hex in upper case is accepted"
    );
}

#[tokio::test]
async fn during_a_rotation_either_secret_is_accepted() {
    let receiver = Receiver::start_with(|config| {
        config.signature.secrets.push(NamedSecret {
            id: "old".to_owned(),
            secret: Secret::literal("old-secret"),
        });
    })
    .await;
    assert_eq!(
        Signed::new(failure("a")).post(&receiver.webhook()).await.0,
        200
    );
    assert_eq!(
        Signed::new(failure("b"))
            .with_secret("old-secret")
            .post(&receiver.webhook())
            .await
            .0,
        200
    );
    assert_eq!(
        Signed::new(failure("c"))
            .with_secret("older")
            .post(&receiver.webhook())
            .await
            .0,
        401
    );
}

#[tokio::test]
async fn a_stale_notification_is_kept_and_marked_or_refused_when_set_so() {
    let old = Timestamp::now().as_millisecond() - 3_600_000;
    let keeping = Receiver::start().await;
    let (status, answer) = Signed::at(failure("stale"), old)
        .post(&keeping.webhook())
        .await;
    assert_eq!((status, answer["result"].as_str()), (200, Some("accepted")));
    until("it is delivered", || files_below(&keeping.out()).len() == 1).await;
    let delivered: Value =
        serde_json::from_slice(&std::fs::read(&files_below(&keeping.out())[0]).unwrap()).unwrap();
    assert_eq!(delivered["data"]["stale"], true);
    let metrics = keeping.metrics().await;
    assert!(
        metrics.contains("suki_receiver_notifications_stale_total 1\n"),
        "{metrics}"
    );

    let strict = Receiver::start_with(|config| config.signature.on_stale = OnStale::Reject).await;
    assert_eq!(
        Signed::at(failure("stale"), old)
            .post(&strict.webhook())
            .await
            .0,
        401
    );
    assert_eq!(
        Signed::at(failure("future"), old + 7_200_000)
            .post(&strict.webhook())
            .await
            .0,
        401
    );
    assert_eq!(
        Signed::new(failure("fresh"))
            .post(&strict.webhook())
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn authentic_junk_is_400_and_waits_in_the_quarantine() {
    let receiver = Receiver::start().await;
    for junk in [
        "",
        "{",
        "[1,2]",
        "\"text\"",
        "{}",
        r#"{"session_id":""}"#,
        "\u{fffd}\0",
    ] {
        let (status, answer) = Signed::new(junk).post(&receiver.webhook()).await;
        assert_eq!(
            (status, answer["code"].as_u64()),
            (400, Some(400)),
            "{junk:?} {answer}"
        );
    }
    let (_, list) = receiver.admin_get("/api/v1/events?state=quarantined").await;
    assert_eq!(list["events"].as_array().unwrap().len(), 7, "{list}");
    let id = list["events"][0]["id"].as_str().unwrap().to_owned();
    let (status, payload) = receiver
        .admin_get(&format!("/api/v1/events/{id}/payload"))
        .await;
    assert_eq!((status, payload.as_str()), (200, Some("\u{fffd}\0")));
}

#[tokio::test]
async fn other_methods_and_paths_are_405_and_404() {
    let receiver = Receiver::start().await;
    for method in [
        reqwest::Method::GET,
        reqwest::Method::PUT,
        reqwest::Method::DELETE,
        reqwest::Method::OPTIONS,
    ] {
        let answer = http()
            .request(method, receiver.webhook())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], "POST");
    }
    let answer = http()
        .post(format!("http://{}/elsewhere", receiver.public))
        .body(failure("s"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["code"], 404);
}

#[tokio::test]
async fn the_path_can_be_set() {
    let receiver = Receiver::start_with(|config| config.server.path = "/in/suki".to_owned()).await;
    let url = format!("http://{}/in/suki", receiver.public);
    assert_eq!(Signed::new(failure("s")).post(&url).await.0, 200);
    let unsigned = http().post(receiver.webhook()).body(failure("s"));
    assert_eq!(unsigned.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn http_2_is_spoken_in_plain_as_well() {
    let receiver = Receiver::start().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let request = Signed::new(failure("h2")).request(&client, &receiver.webhook());
    let (status, _) = send(request).await.unwrap();
    assert_eq!(status, 200);
}

#[tokio::test]
async fn nothing_private_is_in_an_answer() {
    let receiver = Receiver::start().await;
    let url = receiver.webhook();
    for body in [completed("s", &[]), b"PHI-junk".to_vec(), failure("t")] {
        for signed in [
            Signed::new(body.clone()),
            Signed::new(body).with_secret("wrong"),
        ] {
            let (_, answer) = signed.post(&url).await;
            assert!(!answer.to_string().contains("PHI"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_body_that_comes_in_many_pieces_is_taken_as_it_is() {
    let receiver = Receiver::start().await;
    for pieces in [2, 3, 4, 7, 50] {
        let signed = Signed::new(failure(&format!("in-{pieces}-pieces")));
        let mut stream = tokio::net::TcpStream::connect(receiver.public)
            .await
            .unwrap();
        let head = format!(
            "POST /webhooks/notification HTTP/1.1\r\nhost: x\r\nx-api-key: {}\r\ngenerated-at: {}\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n",
            signed.signature, signed.generated_at
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        for piece in signed.body.chunks(signed.body.len().div_ceil(pieces)) {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            stream.write_all(&chunk).await.unwrap();
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "{pieces} pieces: {answer}"
        );
    }
}
