//! The vendor's API as a whole is down: nothing is lost, nothing storms, and failures go through meanwhile.

use crate::support::{
    Receiver, Signed, Vendor, completed, eventually, failure, files_below, until,
};

#[tokio::test]
async fn an_outage_ends_with_everything_delivered() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    vendor.faults("any=503");
    for n in 0..60 {
        let session = format!("s{n}");
        Signed::new(completed(&session, &vendor.completed(&session)))
            .post(&receiver.webhook())
            .await;
    }
    eventually("the breaker opens", || async {
        receiver
            .metrics()
            .await
            .contains("suki_receiver_sdp_breaker_opened_total 1")
    })
    .await;
    eventually("readyz says so", || async {
        receiver
            .get("/readyz")
            .await
            .1
            .to_string()
            .contains("sdp: unreachable")
    })
    .await;
    Signed::new(failure("meanwhile"))
        .post(&receiver.webhook())
        .await;
    let out = receiver.out();
    until("what needs no call is delivered meanwhile", || {
        files_below(&out).len() == 1
    })
    .await;
    vendor.sdp.reset();
    vendor.faults("");
    until("everything is delivered", || files_below(&out).len() == 61).await;
    eventually("readyz is well again", || async {
        receiver.get("/readyz").await.1["status"] == "ready"
    })
    .await;
}

#[tokio::test]
async fn an_api_that_is_gone_and_comes_back_is_found() {
    let vendor = Vendor::start().await;
    let receiver = Receiver::start_with(|config| vendor.follow(config)).await;
    let body = completed("s", &vendor.completed("s"));
    vendor.shut();
    Signed::new(body).post(&receiver.webhook()).await;
    eventually("readyz says so or it waits", || async {
        let (_, list) = receiver.admin_get("/api/v1/events").await;
        list["events"][0]["last_error"].is_string()
    })
    .await;
    let _back = vendor.reopen().await;
    let out = receiver.out();
    until("it is delivered", || files_below(&out).len() == 1).await;
}
