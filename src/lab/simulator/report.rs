//! The result of a load: counts by answer, and latencies.
//!
//! It sums up and prints, but measures nothing itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::sender::Answer;

/// The longest latency that is recorded, in microseconds.
const MAX_MICROS: u64 = 120_000_000;

/// The result of a load.
#[derive(Debug, Clone)]
pub struct Report {
    /// The number of messages by result: `200 accepted`, `401`, or `error: …` if there was no answer.
    pub answers: BTreeMap<String, u64>,
    /// The time from the first message to the last answer.
    pub elapsed: Duration,
    latencies: Histogram<u64>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            answers: BTreeMap::new(),
            elapsed: Duration::ZERO,
            latencies: Histogram::new_with_max(MAX_MICROS, 3)
                .expect("the limits suit a histogram of three digits"),
        }
    }
}

impl Report {
    /// The number of messages with a result, including errors.
    pub fn total(&self) -> u64 {
        self.answers.values().sum()
    }

    /// The answers per second.
    pub fn throughput(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The latency that this share of the answers did not exceed: 0.5 is the median, 1.0 the longest.
    pub fn latency(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.latencies.value_at_quantile(quantile))
    }

    /// Counts an answer.
    pub fn answered(&mut self, answer: &Answer) {
        let micros = u64::try_from(answer.latency.as_micros()).unwrap_or(MAX_MICROS);
        self.latencies.saturating_record(micros);
        self.count(answer.label());
    }

    /// Counts a message that got no answer.
    pub fn failed(&mut self, error: &str) {
        self.count(format!("error: {error}"));
    }

    /// Adds the report of another connection, or of a later part of the run.
    pub fn add(&mut self, other: &Self) {
        for (answer, count) in &other.answers {
            *self.answers.entry(answer.clone()).or_default() += count;
        }
        self.latencies += &other.latencies;
    }

    fn count(&mut self, answer: String) {
        *self.answers.entry(answer).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (answer, count) in &self.answers {
            writeln!(f, "{count:>10}  {answer}")?;
        }
        let (total, seconds) = (self.total(), self.elapsed.as_secs_f64());
        let throughput = self.throughput();
        writeln!(
            f,
            "{total:>10}  in {seconds:.2} s, {throughput:.0} answers/s"
        )?;
        let quantiles = [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p99", 0.99),
            ("p99.9", 0.999),
            ("max", 1.0),
        ];
        let latencies = quantiles.map(|(name, quantile)| {
            let millis = self.latency(quantile).as_secs_f64() * 1000.0;
            format!("{name} {millis:.2} ms")
        });
        write!(f, "   latency  {}", latencies.join("  "))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_report_adds_up_answers_and_latencies_of_all_connections() {
        let answer = |millis, body: &'static str| Answer {
            status: 200,
            body: Bytes::from_static(body.as_bytes()),
            latency: Duration::from_millis(millis),
        };
        let (mut one, mut other) = (Report::default(), Report::default());
        one.answered(&answer(1, r#"{"result":"accepted","id":"1"}"#));
        one.failed("connect: refused");
        other.answered(&answer(3, r#"{"result":"accepted","id":"2"}"#));
        other.answered(&answer(5, "<html>"));
        one.add(&other);
        one.elapsed = Duration::from_secs(2);
        let shown = one.to_string();
        assert_eq!(
            shown,
            "         1  200\n         2  200 accepted\n         1  error: connect: refused\n         \
             4  in 2.00 s, 2 answers/s\n   latency  p50 3.00 ms  p90 5.00 ms  p99 5.00 ms  p99.9 5.00 ms  max 5.00 ms"
        );
    }
}
