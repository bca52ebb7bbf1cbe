//! Several processes on one PostgreSQL database.

use super::process::all_are_files;
use crate::support::{Binary, Database, files_below, post_until_refused, until};

#[tokio::test]
async fn a_kill_of_one_of_three_instances_loses_nothing_that_was_answered_200() {
    let database = Database::create().await;
    let shared = tempfile::tempdir().unwrap();
    let out = shared.path().join("out");
    let mut instances = Vec::new();
    for name in ["a", "b", "c"] {
        let dir = shared.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        let settings = [
            ("STORE__URL", database.url()),
            ("STORE__POOL_SIZE", "3".to_owned()),
            ("SINKS__ARCHIVE__DIR", out.display().to_string()),
        ];
        instances.push(Binary::start(&dir, &settings).await);
    }
    let senders: Vec<_> = instances
        .iter()
        .enumerate()
        .map(|(number, instance)| post_until_refused(&instance.webhook(), number))
        .collect();
    until("some are delivered", || files_below(&out).len() > 20).await;
    instances.remove(1).kill();
    until("the others go on", || files_below(&out).len() > 60).await;
    // The senders end with the instance that they send to.
    let last = instances.pop();
    instances.remove(0).kill();
    drop(last);
    let mut acknowledged = Vec::new();
    for sender in senders {
        acknowledged.extend(sender.await.unwrap());
    }
    let dir = shared.path().join("d");
    std::fs::create_dir(&dir).unwrap();
    let settings = [
        ("STORE__URL", database.url()),
        ("STORE__POOL_SIZE", "3".to_owned()),
        ("SINKS__ARCHIVE__DIR", out.display().to_string()),
    ];
    let _newcomer = Binary::start(&dir, &settings).await;
    all_are_files(&out, &acknowledged).await;
}
