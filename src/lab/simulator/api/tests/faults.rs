//! Tests of the effects of faults on calls.

use super::*;

async fn knowing_every_session() -> (Api, String) {
    let api = Api::start(&Options {
        every_session_known: true,
        ..Options::default()
    })
    .await;
    let token = api.token().await;
    (api, token)
}

#[tokio::test]
async fn faults_spoil_the_endpoint_they_are_for_as_often_as_they_say() {
    let (api, token) = knowing_every_session().await;
    let path = "/ambient/session/a/content";
    api.set_faults("status=500,content=404:2,content=429:1;retry-after=7");
    for expected in [404, 404] {
        assert_eq!(api.get(&token, path).await.0, expected);
    }
    let limited = api.request(&token, path).send().await.expect("answers");
    assert_eq!(limited.headers()["retry-after"], "7");
    assert_eq!(
        read(limited).await.1,
        json!({"code": 429, "message": "too_many_requests"})
    );
    assert_eq!(api.get(&token, path).await.0, 200);
    assert_eq!(api.get(&token, "/ambient/session/a/status").await.0, 500);

    api.set_faults("content=notjson:1,content=empty:1,content=redirect:1");
    let page = api.request(&token, path).send().await.expect("answers");
    assert!(page.text().await.expect("text").starts_with("<!doctype"));
    assert_eq!(api.get(&token, path).await, (200, Value::Null));
    let away = api.request(&token, path).send().await.expect("answers");
    assert_eq!(away.status(), 302);
    assert_eq!(away.headers()["location"], "https://elsewhere.invalid/");
}

#[tokio::test]
async fn faults_of_the_connection_are_seen_by_the_caller_as_such() {
    let (api, token) = knowing_every_session().await;
    let path = "/ambient/session/a/content";
    api.set_faults("content=cut:1,content=huge:1,content=slow:30s:1");
    let cut = api.request(&token, path).send().await.expect("a head");
    assert_eq!(cut.status(), 200);
    cut.bytes().await.expect_err("half a body");
    let mut huge = api.request(&token, path).send().await.expect("a head");
    for _ in 0..100 {
        assert!(huge.chunk().await.expect("more").is_some());
    }
    drop(huge);
    let hurried = api.request(&token, path).timeout(Duration::from_millis(50));
    assert!(hurried.send().await.expect_err("slow").is_timeout());
    api.set_faults("status=drip:1ms");
    assert_eq!(
        api.get(&token, "/ambient/session/a/status").await,
        (200, json!({"status": "completed"}))
    );
}
