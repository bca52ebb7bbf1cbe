//! A disk that is full or read-only: the answer is 503, the process lives, and it goes on by itself once there is room.

use std::path::Path;
use std::process::Command;

use crate::support::{Binary, Signed, eventually, failure, files_below, http, until};

async fn post(binary: &Binary, session: &str) -> reqwest::Response {
    let signed = Signed::new(failure(session));
    http()
        .post(binary.webhook())
        .header("X-API-Key", &signed.signature)
        .header("generated-at", &signed.generated_at)
        .body(signed.body)
        .send()
        .await
        .unwrap()
}

async fn status(binary: &Binary, path: &str) -> u16 {
    let answer = http().get(format!("http://{}{path}", binary.public)).send();
    answer.await.unwrap().status().as_u16()
}

/// Sends until the answer is 503, and checks how the service bears it. How many were answered 200 before.
async fn until_it_is_full(binary: &Binary) -> usize {
    let mut accepted = 0;
    let refused = loop {
        let answer = post(binary, &format!("s{accepted}")).await;
        if answer.status() != 200 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 100_000, "it never gets full");
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(status(binary, "/livez").await, 200);
    eventually("it is not ready", || async {
        status(binary, "/readyz").await == 503
    })
    .await;
    accepted
}

/// After there is room: without a restart, notifications are taken, and all that were answered 200 are delivered.
async fn goes_on(binary: &Binary, accepted: usize) {
    eventually("it is ready again", || async {
        status(binary, "/readyz").await == 200
    })
    .await;
    assert_eq!(post(binary, "after").await.status(), 200);
    until("all that was acknowledged is delivered", || {
        let files = files_below(&binary.dir.join("out"));
        files.len() > accepted
    })
    .await;
    let mut delivered: Vec<String> = files_below(&binary.dir.join("out"))
        .iter()
        .map(|file| {
            let body: serde_json::Value =
                serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            body["subject"].as_str().unwrap().to_owned()
        })
        .collect();
    delivered.sort();
    for n in 0..accepted {
        assert!(delivered.contains(&format!("s{n}")), "s{n} is missing");
    }
}

#[tokio::test]
async fn writes_that_fail_are_503_until_they_succeed_again_and_nothing_acknowledged_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    for n in 0..3 {
        assert_eq!(post(&binary, &format!("early{n}")).await.status(), 200);
    }
    binary.limit_files("16384");
    let accepted = until_it_is_full(&binary).await;
    binary.limit_files("unlimited");
    goes_on(&binary, accepted).await;
}

#[tokio::test]
async fn a_full_disk_is_503_until_there_is_room_and_nothing_acknowledged_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let small_disk = small_disk(dir.path(), "size=3m,mode=0700");
    let binary = Binary::start_under(&small_disk, dir.path(), &[]).await;
    let data = format!(
        "/proc/{}/root{}",
        binary.pid(),
        dir.path().join("data").display()
    );
    let ballast = Path::new(&data).join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let accepted = until_it_is_full(&binary).await;
    std::fs::remove_file(&ballast).unwrap();
    goes_on(&binary, accepted).await;
}

#[tokio::test]
async fn a_start_on_a_read_only_disk_fails_and_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let small_disk = small_disk(dir.path(), "ro");
    let failed = Binary::spawn_under(&small_disk, dir.path(), &[]);
    assert_eq!(failed.ended().await.code(), Some(1));
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("receiver.db"), "{log}");
    assert!(log.contains("Read-only file system"), "{log}");
}

/// A command that runs another one with a small file system of its own as its data folder. Fails where the system does
/// not let us mount one.
fn small_disk(dir: &Path, options: &str) -> Vec<String> {
    let namespace = ["unshare", "--mount", "--map-root-user"];
    let may_mount = Command::new(namespace[0])
        .args(&namespace[1..])
        .args(["mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    assert!(
        may_mount
            .as_ref()
            .is_ok_and(|output| output.status.success()),
        "this test needs a system that lets us mount a file system in a namespace of our own (in a container: \
         --cap-add SYS_ADMIN); {namespace:?} says: {may_mount:?}"
    );
    let script = format!(
        "mount -t tmpfs -o {options} none '{}' && exec \"$@\"",
        dir.join("data").display()
    );
    let command = namespace.iter().map(|part| (*part).to_owned());
    command
        .chain(["sh", "-c", &script, "sh"].map(str::to_owned))
        .collect()
}
