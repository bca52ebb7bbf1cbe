//! Requests that no secret matched: kept within bounds, and taken up once the secret is right.

use serde_json::Value;

use crate::support::{
    Binary, Receiver, Signed, eventually, failure, files_below, http, raw_exchange, reverify, until,
};

async fn kept(receiver: &Receiver) -> usize {
    let (_, stats) = receiver.admin_get("/api/v1/stats").await;
    usize::try_from(stats["refused_kept"].as_u64().unwrap()).unwrap()
}

#[tokio::test]
async fn what_was_refused_for_a_wrong_secret_is_delivered_after_a_reverify() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = [("SIGNATURE__SECRET", "the old secret".to_owned())];
    let binary = Binary::start(dir.path(), &wrong).await;
    for n in 0..5 {
        let (status, _) = Signed::new(failure(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
        assert_eq!(status, 401);
    }
    let forged = Signed::new(failure("forged")).with_secret("a guess");
    assert_eq!(forged.post(&binary.webhook()).await.0, 401);
    // Authentic bytes that are no notification go to the quarantine, as they would have.
    assert_eq!(Signed::new("[]").post(&binary.webhook()).await.0, 401);
    until_metric(&binary, "suki_receiver_refused_kept 7").await;
    eventually("a remark in the details, and still ready", || async {
        let answer = http()
            .get(format!("http://{}/readyz", binary.public))
            .send()
            .await
            .unwrap();
        let is_ok = answer.status() == 200;
        let report: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        is_ok && report["notes"].to_string().contains("events reverify")
    })
    .await;

    let done = reverify(dir.path());
    let expected = serde_json::json!({
        "checked": 7, "accepted": 5, "duplicates": 0, "quarantined": 1, "refused": 1, "failed": 0,
    });
    assert_eq!(done, expected);
    until("all five are delivered", || {
        files_below(&dir.path().join("out")).len() == 5
    })
    .await;
    let again = reverify(dir.path());
    assert_eq!(
        (&again["checked"], &again["refused"]),
        (&1.into(), &1.into())
    );
    until_metric(&binary, "suki_receiver_refused_kept 1").await;
    until_metric(&binary, r#"suki_receiver_events{state="quarantined"} 1"#).await;
}

/// The command with the right secret, beside the running service.
async fn until_metric(binary: &Binary, line: &str) {
    eventually(line, || async {
        let url = format!("http://{}/metrics", binary.admin);
        let text = http().get(url).send().await.unwrap().text().await.unwrap();
        text.lines().any(|found| found == line)
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_forged_requests_keeps_no_more_than_the_bounds() {
    let receiver = Receiver::start_with(|config| {
        config.signature.keep_unauthentic = 3;
    })
    .await;
    for n in 0..20 {
        let forged = Signed::new(failure(&format!("s{n}"))).with_secret("a guess");
        assert_eq!(forged.post(&receiver.webhook()).await.0, 401);
    }
    eventually("three are kept", || async { kept(&receiver).await == 3 }).await;
    let authentic = Signed::new(failure("real")).post(&receiver.webhook()).await;
    assert_eq!(authentic.0, 200);
}

#[tokio::test]
async fn what_can_never_verify_is_not_kept_and_nothing_is_where_none_is_wanted() {
    let receiver = Receiver::start().await;
    let mut signed = Signed::new(failure("s"));
    signed.signature = "not hex".to_owned();
    assert_eq!(signed.post(&receiver.webhook()).await.0, 401);
    let bare = format!(
        "POST /webhooks/notification HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}",
        receiver.public
    );
    assert!(
        raw_exchange(receiver.public, bare.as_bytes())
            .await
            .starts_with("HTTP/1.1 401")
    );
    let forged = Signed::new(failure("s")).with_secret("a guess");
    forged.post(&receiver.webhook()).await;
    eventually("the forged one is kept", || async {
        kept(&receiver).await == 1
    })
    .await;

    let keeps_none = Receiver::start_with(|config| config.signature.keep_unauthentic = 0).await;
    assert_eq!(forged.post(&keeps_none.webhook()).await.0, 401);
    assert_eq!(kept(&keeps_none).await, 0);
}
