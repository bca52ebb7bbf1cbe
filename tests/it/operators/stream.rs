//! The stream of what changes: it rings, goes on where it was, is bounded, and holds up no stop.

use nix::sys::signal::Signal;
use reqwest::Response;

use crate::support::{Binary, PATIENCE, eventually, failure, http};

/// A stream, and what has come of it.
struct Stream {
    answer: Response,
    text: String,
}

impl Stream {
    async fn open(binary: &Binary, after: Option<&str>) -> Response {
        let mut request = http().get(binary.api_url("/stream"));
        if let Some(after) = after {
            request = request.header("Last-Event-ID", after);
        }
        request.bearer_auth(binary.token()).send().await.unwrap()
    }

    async fn start(binary: &Binary, after: Option<&str>) -> Self {
        let answer = Self::open(binary, after).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        Self {
            answer,
            text: String::new(),
        }
    }

    /// Reads until this has come.
    async fn reads(&mut self, part: &str) {
        while !self.text.contains(part) {
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("{part} never came: {}", self.text));
            let chunk = chunk
                .unwrap()
                .unwrap_or_else(|| panic!("the stream ended: {}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }

    /// The mark of the last change that came.
    fn mark(&self) -> String {
        let last = self
            .text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("id: "));
        last.unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_watcher_is_told_what_changes_and_goes_on_where_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let binary = Binary::start(temp.path(), &[]).await;
    let mut stream = Stream::start(&binary, None).await;
    stream.reads("event: ready").await;
    let first = binary.post(failure("s1")).await;
    stream
        .reads(&format!(r#"{{"id":"{first}","state":"received"}}"#))
        .await;
    stream
        .reads(&format!(r#"{{"id":"{first}","state":"done"}}"#))
        .await;
    stream.reads(r#""done":1"#).await;
    assert!(
        !stream.text.contains("s1"),
        "no session is named: {}",
        stream.text
    );
    let mark = stream.mark();
    drop(stream);
    let second = binary.post(failure("s2")).await;
    binary.becomes(&second, "done").await;
    let mut again = Stream::start(&binary, Some(&mark)).await;
    again.reads(&second).await;
    assert!(!again.text.contains(&first), "{}", again.text);
    let mut lost = Stream::start(&binary, Some("00000000-1")).await;
    lost.reads("event: resync").await;
    assert!(
        binary
            .metrics()
            .await
            .contains("suki_receiver_stream_clients 2")
    );
}

#[tokio::test]
async fn no_more_than_fifty_watch_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let binary = Binary::start(temp.path(), &[]).await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(Stream::start(&binary, None).await);
    }
    let refused = Stream::open(&binary, None).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    drop(streams.pop());
    eventually("the room of one that has gone is free", async || {
        Stream::open(&binary, None).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn five_open_streams_hold_up_no_stop() {
    let temp = tempfile::tempdir().unwrap();
    let settings = [("SERVER__DRAIN_TIMEOUT", "20s".to_owned())];
    let binary = Binary::start(temp.path(), &settings).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = Stream::start(&binary, None).await;
        stream.reads("event: stats").await;
        streams.push(stream);
    }
    binary.signal(Signal::SIGTERM);
    for mut stream in streams {
        let rest = tokio::time::timeout(PATIENCE, async {
            while let Ok(Some(_)) = stream.answer.chunk().await {}
        });
        rest.await.expect("the stream ends");
    }
    let ended = binary.ended().await;
    assert_eq!(ended.code(), Some(0), "nothing was late");
}
