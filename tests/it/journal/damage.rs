//! A store that is damaged, checked or copied: nothing is replaced in silence, and what is reported is so.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use suki_receiver::domain::Clock;
use suki_receiver::journal::Journal;

use super::contract::{EVENTS, append, claim_events, events, only, soon, sqlite};
use crate::support::{Binary, EXE, Signed, eventually, failure, files_below, http, until};

/// The command on the store in `dir`.
fn store(dir: &Path, args: &[&str]) -> Output {
    let url = format!("sqlite:{}", dir.join("data/receiver.db").display());
    Command::new(EXE)
        .arg("store")
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("SUKI_RECEIVER__SIGNATURE__SECRET", "x")
        .env("SUKI_RECEIVER__STORE__URL", url)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts, takes `count` notifications, delivers them and stops.
async fn filled(dir: &Path, count: usize) {
    let binary = Binary::start(dir, &[]).await;
    for n in 0..count {
        let (status, _) = Signed::new(failure(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
        assert_eq!(status, 200);
    }
    until("all are delivered", || {
        files_below(&dir.join("out")).len() == count
    })
    .await;
    binary.signal(nix::sys::signal::Signal::SIGTERM);
    binary.ended().await;
}

fn overwrite(file: &Path, at: u64, with: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(with).unwrap();
}

/// Damages the last page of a table that has these bytes.
pub fn damage_page_of(file: &Path, bytes: &[u8]) {
    let content = std::fs::read(file).unwrap();
    let mut all = content.windows(bytes.len());
    let at = all.rposition(|found| found == bytes).unwrap();
    overwrite(file, at as u64 / 4096 * 4096, &[0xa5; 8]);
}

fn aside(dir: &Path) -> Vec<PathBuf> {
    let mut found = files_below(&dir.join("data"));
    found.retain(|path| path.to_string_lossy().contains(".corrupt-"));
    found
}

#[tokio::test]
async fn a_damaged_store_is_moved_aside_with_what_to_do_and_the_next_start_says_so() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3).await;
    let file = dir.path().join("data/receiver.db");
    overwrite(&file, 0, &[0xa5; 4096]);
    let damaged = std::fs::read(&file).unwrap();

    let failed = Binary::spawn(dir.path(), &[]);
    let status = failed.ended().await;
    assert_eq!(status.code(), Some(1));
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    for part in ["is damaged", "was moved to", "store restore", ".recover"] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(!file.exists(), "nothing new was made in its place");
    let moved = aside(dir.path());
    assert_eq!(std::fs::read(&moved[0]).unwrap(), damaged);

    // However often a service manager tries.
    for _ in 0..2 {
        let status = Binary::spawn(dir.path(), &[]).ended().await;
        assert_eq!(status.code(), Some(1));
        assert!(!file.exists(), "nothing new was made in its place");
    }
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("store init --empty"), "{log}");
    let made = store(dir.path(), &["init", "--empty"]);
    assert!(made.status.success(), "{}", text(&made.stderr));

    let binary = Binary::start(dir.path(), &[]).await;
    let ready = http().get(format!("http://{}/readyz", binary.public));
    let ready: Value =
        serde_json::from_str(&ready.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(ready["status"], "degraded");
    assert!(
        ready["notes"].to_string().contains("damaged store"),
        "{ready}"
    );
    assert_eq!(aside(dir.path()), moved, "it is still there");
}

#[tokio::test]
async fn a_damaged_page_holds_up_only_what_stands_on_it_and_an_operator_can_see_it() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let store = Arc::new(sqlite(dir.path(), clock));
    let (journal, _inbox) = Journal::new(store, Duration::from_secs(5), 1, clock);
    for n in 100..200 {
        let filler = "x".repeat(600);
        let body = format!(r#"{{"session_id":"s{n}","status":"failure","body":"{n} {filler}"}}"#);
        append(&journal, body.into_bytes()).await;
    }
    journal.close().await;
    // Only a body has this, so it is on a page of the table. An earlier one is what is left of it on the table's root, from
    // when that was all.
    let file = dir.path().join("data/receiver.db");
    damage_page_of(&file, br#""body":"100 x"#);

    let store = Arc::new(sqlite(dir.path(), clock));
    let (journal, _inbox) = Journal::new(store, Duration::from_secs(5), 1, clock);
    let mut some = soon(clock, &EVENTS);
    some.limit = 10;
    let mut sessions = Vec::new();
    loop {
        let claimed = events(journal.claim(some.clone()).await.unwrap());
        if claimed.is_empty() {
            break;
        }
        let claimed = claimed.into_iter().map(|event| event.receipt.session_id);
        sessions.extend(claimed.map(|session| session.to_string()));
    }
    assert!(journal.is_damaged());
    assert!(
        (90..100).contains(&sessions.len()) && !sessions.contains(&"s100".to_owned()),
        "all but those of one page: {sessions:?}"
    );
    append(&journal, failure("later")).await;
    let later = only(claim_events(&journal, clock).await);
    assert_eq!(later.receipt.session_id.as_str(), "later");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_holds_up_no_other() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::start());
    let store = sqlite(dir.path(), clock);
    let journal = Journal::new(Arc::new(store), Duration::from_secs(5), 1, clock).0;
    for session in ["a", "b"] {
        append(&journal, failure(session)).await;
    }
    let file = rusqlite::Connection::open(dir.path().join("data/receiver.db")).unwrap();
    let newer = "UPDATE receipts SET outcome = 'a word of a later version' WHERE session_id = 'a'";
    file.execute(newer, []).unwrap();

    let mut first = soon(clock, &EVENTS);
    first.limit = 1;
    // The oldest one comes first; it is put aside and does not come first again.
    assert!(events(journal.claim(first.clone()).await.unwrap()).is_empty());
    let other = only(events(journal.claim(first).await.unwrap()));
    assert_eq!(other.receipt.session_id.as_str(), "b");
}

#[tokio::test]
async fn a_result_that_damage_keeps_from_being_stored_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let session = |name: &str| format!("{name}-{}", "x".repeat(200));
    let binary = Binary::start(dir.path(), &[]).await;
    for n in 100..200 {
        let id = binary.post(failure(&session(&n.to_string()))).await;
        binary.becomes(&id, "done").await;
    }
    binary.signal(nix::sys::signal::Signal::SIGTERM);
    binary.ended().await;

    // The index of sessions is written when work on an event ends for the first time, and not at its receipt.
    let file = dir.path().join("data/receiver.db");
    let content = std::fs::read(&file).unwrap();
    let name = session("150").into_bytes();
    let page = content.chunks(4096).position(|page| {
        let is_index_leaf = page[0] == 0x0a;
        is_index_leaf && page.windows(name.len()).any(|bytes| bytes == name)
    });
    overwrite(&file, page.unwrap() as u64 * 4096, &[0xa5; 8]);

    // With credentials the worker gets an event from the intake, without another look into the store.
    let credentials = [
        ("SDP__AUTH__PARTNER_ID", "p".to_owned()),
        ("SDP__AUTH__PARTNER_TOKEN", "t".to_owned()),
    ];
    let binary = Binary::start(dir.path(), &credentials).await;
    binary.post(failure(&session("150a"))).await;
    binary
        .logs("the result of an attempt cannot be stored")
        .await;
    let id = binary.post(failure(&session("later"))).await;
    binary.becomes(&id, "done").await;
}

#[tokio::test]
async fn a_check_says_that_all_is_well_and_names_a_damaged_page() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 30).await;
    let well = store(dir.path(), &["check"]);
    assert!(well.status.success(), "{}", text(&well.stdout));
    assert!(
        text(&well.stdout).contains("30 events"),
        "{}",
        text(&well.stdout)
    );
    assert!(text(&well.stdout).contains("no fault was found"));

    let file = dir.path().join("data/receiver.db");
    let pages = std::fs::metadata(&file).unwrap().len() / 4096;
    for page in pages / 2..pages {
        overwrite(&file, page * 4096, &[0xa5; 64]);
    }
    let broken = store(dir.path(), &["check", "--json"]);
    assert_eq!(broken.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!(found["ok"], false);
    assert!(!found["problems"].as_array().unwrap().is_empty(), "{found}");
}

#[tokio::test]
async fn a_check_finds_counts_that_are_off_and_work_that_nobody_would_take_up() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2).await;
    let file = rusqlite::Connection::open(dir.path().join("data/receiver.db")).unwrap();
    file.execute_batch(
        "UPDATE counts SET n = 7 WHERE state = 'done';
         DELETE FROM endings WHERE event = 1;",
    )
    .unwrap();
    let found = store(dir.path(), &["check"]);
    assert_eq!(found.status.code(), Some(1));
    let found = text(&found.stdout);
    assert!(found.contains("are counted as done"), "{found}");
    assert!(found.contains("nothing to be done for them"), "{found}");
}

#[tokio::test]
async fn a_backup_of_a_live_store_is_whole_private_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    for n in 0..20 {
        Signed::new(failure(&format!("s{n}")))
            .post(&binary.webhook())
            .await;
    }
    // The command knows no sinks, and would name what still waits for one.
    eventually("all are delivered", || async {
        let url = format!("http://{}/metrics", binary.admin);
        let metrics = http().get(url).send().await.unwrap().text().await.unwrap();
        metrics.contains("suki_receiver_events{state=\"done\"} 20\n")
    })
    .await;
    let copy = dir.path().join("copy.db");
    let name = copy.to_str().unwrap();
    let made = store(dir.path(), &["backup", name]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let set = format!("store.url=sqlite:{name}");
    let check = store(dir.path(), &["check", "--json", "--set", &set]);
    let check: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!((&check["ok"], &check["total"]), (&true.into(), &20.into()));
    let again = store(dir.path(), &["backup", name]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("exists"),
        "{}",
        text(&again.stderr)
    );
}
