//! Lists over a store that is too large to be gone through in one look.

use nix::sys::signal::Signal;

use crate::support::{Binary, failure};

/// The events that a list with this filter finds, and after how many pages.
async fn paged(binary: &Binary, filter: &str) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = binary.api(&format!("/events?{filter}{cursor}")).await;
        pages += 1;
        let events = page["events"].as_array().unwrap().iter();
        found.extend(events.map(|event| event["session_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (found, pages),
        }
    }
}

#[tokio::test]
async fn what_no_index_finds_is_found_part_by_part_among_many_events() {
    let dir = tempfile::tempdir().unwrap();
    let binary = Binary::start(dir.path(), &[]).await;
    for session in ["old", "new"] {
        let id = binary.post(failure(session)).await;
        binary.becomes(&id, "done").await;
    }
    binary.signal(Signal::SIGTERM);
    assert!(binary.ended().await.success());
    // As many numbers between them as events would have.
    let store = rusqlite::Connection::open(dir.path().join("data/receiver.db")).unwrap();
    for (table, key) in [
        ("receipts", "seq"),
        ("retrievals", "event"),
        ("endings", "event"),
        ("deliveries", "event"),
        ("mentions", "event"),
    ] {
        let sql = format!("UPDATE {table} SET {key} = 1000001 WHERE {key} = 2");
        store.execute(&sql, []).unwrap();
    }
    drop(store);
    let binary = Binary::start(dir.path(), &[]).await;
    for filter in [
        "outcome=failed",
        "error_code=ERROR_CODE_TRANSCRIPTION",
        "sink=archive&delivery=delivered",
        "since=1h",
        "state=done",
    ] {
        let (found, pages) = paged(&binary, filter).await;
        assert_eq!(found, ["new", "old"], "{filter}");
        assert_eq!(pages, 10 + 1, "{filter}");
        let (found, _) = paged(&binary, &format!("{filter}&order=asc")).await;
        assert_eq!(found, ["old", "new"], "{filter}");
    }
    // What an index finds is found at once.
    for filter in ["session_id=old", "encounter_id=e-old"] {
        assert_eq!(paged(&binary, filter).await, (vec!["old".to_owned()], 1));
    }
    // Nothing is that old: where it would be stored is found without a look at what is newer.
    let (found, pages) = paged(&binary, "until=2020-01-01").await;
    assert_eq!((found, pages), (Vec::new(), 1));
}
