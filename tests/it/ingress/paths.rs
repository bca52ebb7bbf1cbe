//! Notifications at other paths and by other methods than the webhook's.

use crate::support::{Binary, Receiver, Signed, failure, http, until};

/// What load balancers make of a path.
const PATHS: [&str; 9] = [
    "/",
    "/notification",
    "/suki/webhooks/notification",
    "/webhooks/notification/",
    "//webhooks//notification",
    "/webhooks/notification/x?y=1",
    "/Webhooks/Notification",
    "/livez",
    "/readyz",
];

#[tokio::test]
async fn a_signed_post_to_any_path_is_taken_like_any_other() {
    let receiver = Receiver::start().await;
    for (n, path) in PATHS.iter().enumerate() {
        let url = format!("http://{}{path}", receiver.public);
        let (status, answer) = Signed::new(failure(&format!("s{n}"))).post(&url).await;
        assert_eq!(
            (status, &answer["result"]),
            (200, &"accepted".into()),
            "{path}"
        );
        let (status, answer) = Signed::new(failure(&format!("s{n}")))
            .post(&receiver.webhook())
            .await;
        assert_eq!(
            (status, &answer["result"]),
            (200, &"duplicate".into()),
            "{path}"
        );
        let (status, _) = Signed::new("[]").post(&url).await;
        assert_eq!(status, 400, "{path}");
    }
    let metrics = receiver.metrics().await;
    let count = format!("suki_receiver_misrouted_total {}\n", 2 * PATHS.len());
    assert!(metrics.contains(&count), "{metrics}");
}

#[tokio::test]
async fn what_does_not_verify_is_answered_as_if_nothing_was_there() {
    let receiver = Receiver::start_with(|config| config.server.max_body_bytes = 1000).await;
    for path in PATHS {
        let url = format!("http://{}{path}", receiver.public);
        let expected = if path == "/livez" || path == "/readyz" {
            405
        } else {
            404
        };
        let wrong = Signed::new(failure("s")).with_secret("other");
        assert_eq!(wrong.post(&url).await.0, expected, "{path}");
        let large = Signed::new(vec![b' '; 1001]);
        assert_eq!(large.post(&url).await.0, expected, "{path}");
        let unsigned = http().post(&url).body(failure("s")).send().await.unwrap();
        assert_eq!(unsigned.status(), expected, "{path}");
    }
    let metrics = receiver.metrics().await;
    assert!(
        metrics.contains("suki_receiver_misrouted_total 0\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("notifications_total{result=\"unauthorized\"} 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn the_log_tells_of_other_paths_other_methods_and_where_a_refused_request_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    let signed = Signed::new(failure("s"));
    let base = format!("http://{}", binary.public);
    assert_eq!(signed.post(&format!("{base}/suki")).await.0, 200);
    let send = |method: &str, forwarded: &str| {
        http()
            .request(method.parse().unwrap(), binary.webhook())
            .header("x-api-key", &signed.signature)
            .header("generated-at", "1765977748432")
            .header("x-forwarded-for", forwarded.to_owned())
            .send()
    };
    assert_eq!(send("GET", "192.0.2.8").await.unwrap().status(), 405);
    let refused = send("POST", "10.9.9.9, 192.0.2.7").await.unwrap();
    assert_eq!(refused.status(), 401);
    let refused = send("POST", "Jane Doe").await.unwrap();
    assert_eq!(refused.status(), 401);
    until("all is in the log", || {
        let log = binary.log();
        log.matches("notification rejected").count() == 2
    })
    .await;
    let log = binary.log();
    let line = |part: &str| {
        log.lines()
            .find(|line| line.contains(part))
            .unwrap_or_else(|| panic!("no {part}: {log}"))
    };
    assert!(line("another path").contains("\"http.path\":\"/suki\""));
    assert!(line("did not come as POST").contains("192.0.2.8"));
    let refused = line("notification rejected");
    assert!(
        refused.contains("192.0.2.7") && refused.contains("\"peer\":\"127.0.0.1:"),
        "{refused}"
    );
    assert!(!log.contains("Jane Doe") && !log.contains("10.9.9.9"));
}

#[tokio::test]
async fn a_status_that_is_no_word_is_kept_and_is_not_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    let mut body: serde_json::Value = serde_json::from_slice(&failure("s")).unwrap();
    body["status"] = "PHI Jane Roe, born 1970".into();
    let signed = Signed::new(body.to_string());
    assert_eq!(signed.post(&binary.webhook()).await.0, 200);
    until("it is logged", || {
        binary.log().contains("notification received")
    })
    .await;
    let log = binary.log();
    assert!(log.contains("\"status\":\"(other)\""), "{log}");
    assert!(!log.contains("PHI"), "{log}");
}
