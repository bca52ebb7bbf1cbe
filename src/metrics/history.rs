//! The figures of this process's last day, by minute, in memory, for an operator who has no Prometheus at hand. They
//! begin anew with each start, and each instance has its own.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use jiff::{SignedDuration, Timestamp};

use super::Answer;
use crate::domain::Outcome;

/// The number of minutes that are remembered.
const MINUTES: usize = 24 * 60;
const MINUTE: Duration = Duration::from_secs(60);
/// The longest duration that is recorded: a day, in microseconds.
const LONGEST: u64 = 24 * 3600 * 1_000_000;

/// The figures of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Minute {
    /// Notifications by their answer, in the order of [`Answer::ALL`].
    pub answers: [u32; Answer::ALL.len()],
    /// Sessions by how they ended, in the order of [`Outcome::ALL`].
    pub outcomes: [u32; Outcome::ALL.len()],
    /// Events that are done: every sink has them.
    pub done: u32,
    /// Events that were given up.
    pub dead: u32,
    /// The time from a notification to its answer.
    pub ack: Option<Times>,
    /// The time from receipt to the last delivery.
    pub end_to_end: Option<Times>,
}

/// Percentiles of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

/// The figures of the last day by minute.
pub(super) struct History {
    began: Timestamp,
    start: Instant,
    ring: Mutex<Ring>,
}

struct Ring {
    /// The number of the current minute, from 0.
    now: u64,
    current: Minute,
    ack: Histogram<u32>,
    end_to_end: Histogram<u32>,
    past: VecDeque<Minute>,
}

impl Default for History {
    fn default() -> Self {
        // Two significant digits are enough for a chart.
        let times = || Histogram::new_with_max(LONGEST, 2).expect("the bounds are right");
        Self {
            began: Timestamp::now(),
            start: Instant::now(),
            ring: Mutex::new(Ring {
                now: 0,
                current: Minute::default(),
                ack: times(),
                end_to_end: times(),
                past: VecDeque::new(),
            }),
        }
    }
}

impl History {
    pub(super) fn answered(&self, answer: Answer, took: Duration) {
        self.note(|ring| {
            add(&mut ring.current.answers, Answer::ALL, answer);
            ring.ack.saturating_record(micros(took));
        });
    }

    pub(super) fn session(&self, outcome: Outcome) {
        self.note(|ring| add(&mut ring.current.outcomes, Outcome::ALL, outcome));
    }

    pub(super) fn done(&self, took: Duration) {
        self.note(|ring| {
            ring.current.done += 1;
            ring.end_to_end.saturating_record(micros(took));
        });
    }

    pub(super) fn dead(&self) {
        self.note(|ring| ring.current.dead += 1);
    }

    /// The last minutes, at most `most`, each with the time at which it began, the oldest first. The last one is the
    /// current minute.
    pub(super) fn last(&self, most: usize) -> Vec<(Timestamp, Minute)> {
        let mut minutes = Vec::new();
        self.note(|ring| {
            let current = ring.closed();
            let past = ring.past.iter().copied();
            let all: Vec<Minute> = past.chain([current]).collect();
            let first = ring.now + 1 - all.len() as u64;
            let skipped = all.len().saturating_sub(most);
            minutes = (first..).zip(all).skip(skipped).collect();
        });
        let at = |number: u64| {
            let seconds = i64::try_from(number * MINUTE.as_secs()).unwrap_or(i64::MAX);
            self.began + SignedDuration::from_secs(seconds)
        };
        minutes
            .into_iter()
            .map(|(number, minute)| (at(number), minute))
            .collect()
    }

    fn note(&self, what: impl FnOnce(&mut Ring)) {
        let now = self.start.elapsed().as_secs() / MINUTE.as_secs();
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.go_to(now);
        what(&mut ring);
    }
}

impl Ring {
    /// Moves on to the minute `now`, and closes those before it.
    fn go_to(&mut self, now: u64) {
        while self.now < now {
            let closed = self.closed();
            self.past.push_back(closed);
            if self.past.len() == MINUTES {
                self.past.pop_front();
            }
            self.current = Minute::default();
            self.ack.reset();
            self.end_to_end.reset();
            self.now += 1;
        }
    }

    /// The figures of the current minute so far.
    fn closed(&self) -> Minute {
        Minute {
            ack: times(&self.ack),
            end_to_end: times(&self.end_to_end),
            ..self.current
        }
    }
}

fn add<T: PartialEq + Copy>(counts: &mut [u32], all: &[T], one: T) {
    if let Some(at) = all.iter().position(|known| *known == one) {
        counts[at] += 1;
    }
}

fn times(histogram: &Histogram<u32>) -> Option<Times> {
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    (!histogram.is_empty()).then(|| Times {
        p50: at(0.5),
        p99: at(0.99),
    })
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_holds_what_happened_in_it_and_empty_ones_are_there() {
        let history = History::default();
        history.answered(Answer::Accepted, Duration::from_millis(2));
        history.answered(Answer::Unavailable, Duration::from_millis(8));
        history.session(Outcome::Failed);
        history.dead();
        let mut ring = history.ring.lock().expect("a ring");
        ring.go_to(3);
        let first = ring.past[0];
        assert_eq!(first.answers, [1, 0, 0, 0, 0, 0, 1]);
        assert_eq!((first.outcomes[1], first.done, first.dead), (1, 0, 1));
        let ack = first.ack.expect("times");
        assert!(ack.p50 < Duration::from_millis(3) && ack.p99 > Duration::from_millis(7));
        assert_eq!(first.end_to_end, None);
        assert_eq!((ring.past.len(), ring.past[1]), (3, Minute::default()));
        ring.go_to(5_000);
        assert!(ring.past.len() < MINUTES);
    }
}
