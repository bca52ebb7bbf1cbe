//! A note on what needs attention: written, read by everyone, kept through a kill, and removed.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::support::{Binary, HttpReceiver, Receiver, failure, http, send};

async fn put(binary: &Binary, cause: &str, body: Value) -> (u16, Value) {
    let request = http()
        .put(binary.api_url(&format!("/causes/{cause}/note")))
        .bearer_auth(binary.token())
        .header("x-audit-reason", "so that nobody asks twice")
        .body(body.to_string());
    send(request).await.unwrap()
}

#[tokio::test]
async fn a_note_on_a_cause_is_seen_until_it_is_removed_and_its_text_is_in_no_audit_entry() {
    let (temp, ehr) = (tempfile::tempdir().unwrap(), HttpReceiver::start().await);
    ehr.answers(|_| StatusCode::UNPROCESSABLE_ENTITY.into_response());
    let settings = [
        ("SINKS__EHR__TYPE", "http".to_owned()),
        ("SINKS__EHR__URL", ehr.url().to_string()),
    ];
    let binary = Binary::start(temp.path(), &settings).await;
    let id = binary.post(failure("s1")).await;
    binary.becomes(&id, "dead").await;
    let causes = binary.api("/causes").await;
    assert_eq!(causes["causes"][0]["note"], Value::Null);

    let text = "EHR vendor ticket T-4711, fixed on Friday";
    let said = json!({"sink": "ehr", "text": format!("  {text} ")});
    let (status, told) = put(&binary, "deliver.rejected", said).await;
    assert_eq!(
        (status, &told["note"]["text"], &told["note"]["actor"]),
        (200, &json!(text), &json!("local"))
    );
    binary.kill();
    let binary = Binary::start(temp.path(), &settings).await;
    let causes = binary.api("/causes").await;
    assert_eq!(causes["causes"][0]["note"], told["note"]);

    let all = "x".repeat(500);
    let said = json!({"sink": "ehr", "text": all});
    assert_eq!(put(&binary, "deliver.rejected", said).await.0, 200);
    for (cause, said, status) in [
        (
            "deliver.rejected",
            json!({"sink": "ehr", "text": format!("{all}x")}),
            400,
        ),
        ("deliver.rejected", json!({"sink": "ehr"}), 400),
        ("deliver.rejected", json!({"text": text}), 404),
        (
            "deliver.rejected",
            json!({"sink": "gone", "text": text}),
            404,
        ),
        ("fetch.identity", json!({"text": text}), 404),
        ("no.cause", json!({"text": text}), 400),
    ] {
        let (answered, told) = put(&binary, cause, said).await;
        assert_eq!(answered, status, "{cause} {told}");
    }
    let causes = binary.api("/causes").await;
    assert_eq!(causes["causes"][0]["note"]["text"], all);
    let said = json!({"sink": "ehr", "text": " "});
    let (status, told) = put(&binary, "deliver.rejected", said).await;
    assert_eq!((status, &told["note"]), (200, &Value::Null));
    let causes = binary.api("/causes").await;
    assert_eq!(causes["causes"][0]["note"], Value::Null);
    let audit = binary.api("/audit").await;
    let newest = &audit["entries"][0];
    assert_eq!(
        (&newest["action"], &newest["reason"]),
        (
            &json!("remove the note on deliver.rejected at 'ehr'"),
            &json!("so that nobody asks twice")
        )
    );
    for place in [audit.to_string(), binary.log()] {
        assert!(
            !place.contains("T-4711") && !place.contains(&all),
            "{place}"
        );
    }
}

#[tokio::test]
async fn only_operators_write_notes() {
    let receiver = Receiver::start().await;
    let url = format!(
        "http://{}/api/v1/causes/deliver.rejected/note",
        receiver.admin
    );
    for (token, status) in [("viewer-token", 403), ("none", 401)] {
        let request = http().put(&url).bearer_auth(token).body("{}");
        assert_eq!(send(request).await.unwrap().0, status);
    }
}
