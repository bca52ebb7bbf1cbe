//! Files of the store that are removed or replaced while they are open: nothing is acknowledged that no start would find.

use std::path::{Path, PathBuf};

use suki_receiver::config::{PostgresUrl, StoreUrl};

use crate::support::{Receiver, Signed, eventually, failure};

/// What happens to the files in the folder.
type Accident = fn(&Path);
/// How they are put right while the service runs. `None`: only a restart does.
type Mend = Option<fn(&Path)>;

fn file(folder: &Path, suffix: &str) -> PathBuf {
    folder.join(format!("receiver.db{suffix}"))
}

fn aside(folder: &Path) -> PathBuf {
    folder.with_extension("aside")
}

fn remove_all(folder: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(file(folder, suffix)).unwrap();
    }
}

fn remove_log(folder: &Path) {
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(file(folder, suffix)).unwrap();
    }
}

fn replace_by_a_copy(folder: &Path) {
    let copy = folder.join("copy");
    std::fs::copy(file(folder, ""), &copy).unwrap();
    std::fs::rename(&copy, file(folder, "")).unwrap();
}

fn move_database(folder: &Path) {
    std::fs::rename(file(folder, ""), aside(folder)).unwrap();
}

fn move_database_back(folder: &Path) {
    std::fs::rename(aside(folder), file(folder, "")).unwrap();
}

fn move_folder(folder: &Path) {
    std::fs::rename(folder, aside(folder)).unwrap();
}

fn move_folder_behind_an_empty_one(folder: &Path) {
    move_folder(folder);
    std::fs::create_dir(folder).unwrap();
}

fn move_folder_back(folder: &Path) {
    std::fs::remove_dir(folder).ok();
    std::fs::rename(aside(folder), folder).unwrap();
}

const ACCIDENTS: [(&str, Accident, Mend); 6] = [
    ("all are removed", remove_all, None),
    ("the log is removed", remove_log, None),
    ("a copy takes the database's place", replace_by_a_copy, None),
    (
        "the database is moved",
        move_database,
        Some(move_database_back),
    ),
    ("the folder is moved", move_folder, Some(move_folder_back)),
    (
        "another folder takes its place",
        move_folder_behind_an_empty_one,
        Some(move_folder_back),
    ),
];

async fn post(receiver: &Receiver, session: &str) -> u16 {
    let (status, _) = Signed::new(failure(session))
        .post(&receiver.webhook())
        .await;
    status
}

async fn is_known(receiver: &Receiver, session: &str) -> bool {
    let (_, answer) = Signed::new(failure(session))
        .post(&receiver.webhook())
        .await;
    answer["result"] == "duplicate"
}

#[tokio::test]
async fn no_200_is_given_on_a_file_that_the_next_start_does_not_open() {
    for (name, accident, mend) in ACCIDENTS {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("data");
        let receiver = Receiver::start_in(dir.path(), |_| {}).await;
        assert_eq!(post(&receiver, "before").await, 200);
        accident(&folder);
        for n in 0..5 {
            assert_eq!(post(&receiver, &format!("lost{n}")).await, 503, "{name}");
        }
        eventually("readiness is off", || async {
            receiver.get("/readyz").await.0 == 503
        })
        .await;
        if let Some(mend) = mend {
            mend(&folder);
            eventually("readiness is on", || async {
                receiver.get("/readyz").await.0 == 200
            })
            .await;
            assert_eq!(post(&receiver, "mended").await, 200, "{name}");
        }
        receiver.stop().await;
        let receiver = Receiver::start_in(dir.path(), |_| {}).await;
        assert_eq!(post(&receiver, "after").await, 200, "{name}");
        if mend.is_some() {
            for session in ["before", "mended"] {
                assert!(is_known(&receiver, session).await, "{name}: {session}");
            }
        }
        receiver.stop().await;
    }
}

#[tokio::test]
async fn the_log_of_a_file_that_took_the_stores_place_is_left_alone_at_a_stop() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    let receiver = Receiver::start_in(dir.path(), |_| {}).await;
    assert_eq!(post(&receiver, "before").await, 200);
    move_folder_behind_an_empty_one(&folder);
    for suffix in ["", "-wal"] {
        std::fs::write(file(&folder, suffix), "another's").unwrap();
    }
    receiver.stop().await;
    for suffix in ["", "-wal"] {
        let found = std::fs::read_to_string(file(&folder, suffix));
        assert_eq!(found.unwrap(), "another's");
    }
}

#[tokio::test]
async fn no_200_is_given_on_a_spool_that_the_next_start_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let receiver = Receiver::start_in(dir.path(), |config| {
        // Nobody listens there.
        let url = "postgres://postgres@127.0.0.1:1/nowhere";
        config.store.url = StoreUrl::Postgres(PostgresUrl::parse(url).unwrap());
        config.store.spool_dir = spool.clone();
    })
    .await;
    assert_eq!(post(&receiver, "before").await, 200);
    move_folder(&spool);
    assert_eq!(post(&receiver, "lost").await, 503);
    eventually("readiness is off", || async {
        receiver.get("/readyz").await.0 == 503
    })
    .await;
    move_folder_back(&spool);
    assert_eq!(post(&receiver, "mended").await, 200);
}
