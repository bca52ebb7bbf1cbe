//! `torture`, a short run on each kind of store.

use std::process::Command;

use crate::support::{Database, EXE};

fn torture(seed: &str, more: &[&str]) {
    let output = Command::new(EXE)
        .args(["torture", "--seconds", "6", "--rate", "60", "--seed", seed])
        .args(more)
        .env_clear()
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{error}");
    assert!(
        text.contains("holds   every notification answered 200 was delivered"),
        "{text}"
    );
    assert!(text.contains("200 accepted"), "{text}");
    assert!(text.contains("Faults\n"), "{text}");
    assert!(!text.contains("BROKEN"), "{text}");
}

#[test]
fn torture_of_the_embedded_store_loses_nothing() {
    torture("1", &[]);
}

#[tokio::test]
async fn torture_of_two_instances_on_one_database_loses_nothing() {
    let database = Database::create().await;
    let url = database.url();
    tokio::task::spawn_blocking(move || torture("2", &["--store", &url]))
        .await
        .unwrap();
}

#[tokio::test]
async fn torture_refuses_a_database_that_is_in_use() {
    let database = Database::create().await;
    let store = database.store(suki_receiver::domain::Clock::start()).await;
    drop(store);
    let client = database.client().await;
    client
        .batch_execute("INSERT INTO counts (state, n) VALUES ('done', 5)")
        .await
        .unwrap();
    let url = database.url();
    let output = tokio::task::spawn_blocking(move || {
        Command::new(EXE)
            .args(["torture", "--seconds", "1", "--store", &url])
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("torture needs an empty one of its own"),
        "{error}"
    );
}
