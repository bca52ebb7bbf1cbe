//! Backups, and that no start ever begins with an empty store by itself.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use nix::sys::signal::Signal;

use super::run;
use crate::support::{Binary, Signed, all_files_below, failure, files_below, until};

/// Starts, takes these, delivers them and stops.
async fn filled(dir: &Path, sessions: &[&str]) {
    let binary = Binary::start(dir, &[]).await;
    let before = files_below(&dir.join("out")).len();
    for session in sessions {
        let (status, _) = Signed::new(failure(session)).post(&binary.webhook()).await;
        assert_eq!(status, 200);
    }
    until("all are delivered", || {
        files_below(&dir.join("out")).len() == before + sessions.len()
    })
    .await;
    binary.signal(Signal::SIGTERM);
    binary.ended().await;
}

fn listed(dir: &Path) -> String {
    let ran = run(dir, &["events", "list"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.out
}

#[tokio::test]
async fn a_backup_takes_the_place_of_the_store_and_what_was_there_is_moved_aside() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    filled(dir, &["first"]).await;
    let copy = dir.join("copy.db");
    let copy = copy.to_str().unwrap();
    let made = run(dir, &["store", "backup", copy]);
    assert_eq!(made.code, 0, "{}", made.err);

    let binary = Binary::start(dir, &[]).await;
    Signed::new(failure("second")).post(&binary.webhook()).await;
    let refused = run(dir, &["store", "restore", copy]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("in use"), "{}", refused.err);
    // As after a crash, with a log that does not go with the backup.
    binary.kill();

    let restored = run(dir, &["store", "restore", copy]);
    assert_eq!(restored.code, 0, "{}", restored.err);
    assert!(restored.out.contains(".replaced-"), "{}", restored.out);
    let check = run(dir, &["store", "check"]);
    assert_eq!(check.code, 0, "{}{}", check.out, check.err);
    let found = listed(dir);
    assert!(
        found.contains("first") && !found.contains("second"),
        "{found}"
    );
    filled(dir, &["third"]).await;
    assert!(listed(dir).contains("third"));
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_the_store_is_as_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    filled(dir, &["kept"]).await;
    let copy = dir.join("copy.db");
    assert_eq!(
        run(dir, &["store", "backup", copy.to_str().unwrap()]).code,
        0
    );
    let whole = std::fs::read(&copy).unwrap();
    let mut torn = whole.clone();
    // All but the first page: which of them is in use is SQLite's matter.
    for page in torn.chunks_mut(4096).skip(1) {
        page[..64].fill(0xa5);
    }
    for (name, content) in [
        ("text", b"not a database at all".to_vec()),
        ("empty", Vec::new()),
        ("torn", torn),
        ("cut", whole[..whole.len() / 2].to_vec()),
    ] {
        let file = dir.join(name);
        std::fs::write(&file, content).unwrap();
        let ran = run(dir, &["store", "restore", file.to_str().unwrap()]);
        assert_eq!(ran.code, 1, "{name}");
        assert!(ran.err.contains(name), "{name}: {}", ran.err);
        assert!(listed(dir).contains("kept"), "{name}");
    }
    let ran = run(dir, &["store", "restore", "/no/such/file"]);
    assert_eq!(ran.code, 1);
    filled(dir, &["later"]).await;
}

#[tokio::test]
async fn a_log_or_a_copy_without_its_store_is_no_reason_to_begin_with_an_empty_one() {
    for left in ["receiver.db-wal", "receiver.db.restoring"] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        std::fs::create_dir(dir.join("data")).unwrap();
        std::fs::write(dir.join("data").join(left), "what is left").unwrap();
        for _ in 0..2 {
            let status = Binary::spawn(dir, &[]).ended().await;
            assert_eq!(status.code(), Some(1));
        }
        assert!(!dir.join("data/receiver.db").exists());
        let log = std::fs::read_to_string(dir.join("log")).unwrap();
        assert!(log.contains(left) && log.contains("store restore"), "{log}");
        let made = run(dir, &["store", "init", "--empty"]);
        assert_eq!(made.code, 0, "{}", made.err);
        filled(dir, &["new"]).await;
        let again = run(dir, &["store", "init", "--empty"]);
        assert_eq!(again.code, 1, "there is one now");
    }
}

#[tokio::test]
async fn a_store_that_is_gone_after_a_clean_stop_is_warned_of_and_a_first_one_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let warning = "its file is gone";
    filled(dir, &["kept"]).await;
    let log = || std::fs::read_to_string(dir.join("log")).unwrap();
    assert!(log().contains("created a new store") && !log().contains(warning));
    std::fs::remove_file(dir.join("data/receiver.db")).unwrap();
    filled(dir, &["later"]).await;
    assert!(log().contains(warning), "{}", log());
}

#[tokio::test]
async fn a_check_changes_nothing_and_what_commands_of_root_leave_is_the_services_own() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let data = dir.join("data");
    let look = || -> Vec<_> {
        all_files_below(&data)
            .into_iter()
            .filter(|file| file.is_file())
            .map(|file| {
                let meta = std::fs::metadata(&file).unwrap();
                let content = std::fs::read(&file).unwrap();
                (file, content, meta.mtime_nsec(), meta.uid(), meta.mode())
            })
            .collect()
    };
    filled(dir, &["a"]).await;
    for is_killed in [false, true] {
        if is_killed {
            let binary = Binary::start(dir, &[]).await;
            Signed::new(failure("b")).post(&binary.webhook()).await;
            binary.kill();
        }
        let before = look();
        let check = run(dir, &["store", "check"]);
        assert_eq!(check.code, 0, "{}{}", check.out, check.err);
        assert!(before == look(), "killed before: {is_killed}");
    }

    if !rustix::process::geteuid().is_root() {
        return;
    }
    const SERVICE: u32 = 54_321;
    chown(&data, Some(SERVICE), Some(SERVICE)).unwrap();
    for file in all_files_below(&data) {
        chown(file, Some(SERVICE), Some(SERVICE)).unwrap();
    }
    for lost in ["receiver.db-shm", "receiver.db.turn", "receiver.db.lock"] {
        std::fs::remove_file(data.join(lost)).ok();
    }
    for args in [
        &["events", "list"][..],
        &["events", "purge", "--state", "done"],
        &["store", "backup", "data/copy.db"],
    ] {
        assert_eq!(run(dir, args).code, 0);
    }
    let copy = dir.join("copy.db");
    assert_eq!(
        run(dir, &["store", "backup", copy.to_str().unwrap()]).code,
        0
    );
    assert_eq!(
        run(dir, &["store", "restore", copy.to_str().unwrap()]).code,
        0
    );
    for file in all_files_below(&data) {
        let owner = std::fs::metadata(&file).unwrap().uid();
        assert_eq!(owner, SERVICE, "{}", file.display());
    }
}
