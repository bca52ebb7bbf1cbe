//! What is counted of those who look: the stream, the console, and the last day that it shows.

use jiff::Timestamp;

use super::{Metrics, Minute, counter};

impl Metrics {
    /// How many watch the admin API's stream.
    pub fn set_stream_clients(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.set("stream_clients", &[], count);
    }

    /// Somebody tried to sign in to the console.
    pub fn console_sign_in(&self, result: &'static str) {
        let labels = [("result", result)];
        counter(&self.0.recorder, "console_sign_ins_total", &labels).increment(1);
    }

    /// An operator was shown clinical content by the console.
    pub fn content_revealed(&self) {
        counter(&self.0.recorder, "content_reveals_total", &[]).increment(1);
    }

    /// At most the last `most` minutes with when each began, the oldest first; the last one still goes on.
    pub fn history(&self, most: usize) -> Vec<(Timestamp, Minute)> {
        self.0.history.last(most)
    }
}
