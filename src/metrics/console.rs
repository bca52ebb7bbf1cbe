//! Metrics of the admin API's stream and of the console, and the history of the last day that the console shows.

use jiff::Timestamp;

use super::{Metrics, Minute, counter};

impl Metrics {
    /// Sets the number of clients of the admin API's stream.
    pub fn set_stream_clients(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.set("stream_clients", &[], count);
    }

    /// Counts an attempt to sign in to the console.
    pub fn console_sign_in(&self, result: &'static str) {
        let labels = [("result", result)];
        counter(&self.0.recorder, "console_sign_ins_total", &labels).increment(1);
    }

    /// Counts clinical content that the console has shown to an operator.
    pub fn content_revealed(&self) {
        counter(&self.0.recorder, "content_reveals_total", &[]).increment(1);
    }

    /// The last minutes, at most `most`, each with the time at which it began, the oldest first. The last one is the
    /// current minute.
    pub fn history(&self, most: usize) -> Vec<(Timestamp, Minute)> {
        self.0.history.last(most)
    }
}
