//! Detects that notifications do not arrive at all, from the sessions that have ended lately: some were met by their
//! notification, and for others the first poll found that none had come. This sample shows it long before every session
//! could be polled. Pure.

use std::collections::VecDeque;

/// The alarm for missed notifications.
#[derive(Debug)]
pub(super) struct Alarm {
    /// How many misses in a row raise it. It is also raised when at least half of the last five times as many sessions
    /// were missed.
    most: usize,
    /// Whether each of the last sessions' notifications was missed, the newest last.
    last: VecDeque<bool>,
    is_raised: bool,
    /// The total number of met sessions at the last update.
    met: Option<u64>,
    /// The number of sessions met since the last miss.
    since_missed: u64,
    missed: u64,
}

/// A change of the alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Notifications do not arrive.
    Raised,
    /// Notifications arrive again.
    Cleared,
}

impl Alarm {
    /// An alarm that `most` misses in a row raise.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            last: VecDeque::with_capacity(most * 5),
            is_raised: false,
            met: None,
            since_missed: 0,
            missed: 0,
        }
    }

    /// An alarm that was raised before the start of this process.
    pub(super) fn raised(most: usize) -> Self {
        Self {
            is_raised: true,
            ..Self::new(most)
        }
    }

    pub(super) fn is_raised(&self) -> bool {
        self.is_raised
    }

    /// The number of misses since it was created or last cleared.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// Records the first poll of a session.
    pub(super) fn first_poll(&mut self, is_missed: bool) -> Option<Change> {
        self.push(is_missed);
        if is_missed {
            self.missed += 1;
            self.since_missed = 0;
        }
        let in_a_row = self.last.iter().rev().take_while(|missed| **missed).count();
        let of_all = self.last.iter().filter(|missed| **missed).count();
        let is_half = self.last.len() == self.most * 5 && of_all * 2 >= self.last.len();
        if self.is_raised || !(in_a_row >= self.most || is_half) {
            return None;
        }
        self.is_raised = true;
        Some(Change::Raised)
    }

    /// Records the total number of sessions met by their notification. The alarm is cleared when `most` have been met
    /// since the last miss.
    pub(super) fn met(&mut self, met: u64) -> Option<Change> {
        let new = met.saturating_sub(self.met.replace(met).unwrap_or(met));
        for _ in 0..new.min(self.most as u64 * 5) {
            self.push(false);
        }
        self.since_missed += new;
        if !self.is_raised || self.since_missed < self.most as u64 {
            return None;
        }
        *self = Self {
            met: self.met,
            ..Self::new(self.most)
        };
        Some(Change::Cleared)
    }

    fn push(&mut self, is_missed: bool) {
        if self.last.len() == self.most * 5 {
            self.last.pop_front();
        }
        self.last.push_back(is_missed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_in_a_row_raise_it_and_one_in_between_begins_anew() {
        let mut alarm = Alarm::new(10);
        for _ in 0..9 {
            assert_eq!(alarm.first_poll(true), None);
        }
        assert_eq!(alarm.first_poll(false), None);
        for _ in 0..9 {
            assert_eq!(alarm.first_poll(true), None);
        }
        assert_eq!(alarm.first_poll(true), Some(Change::Raised));
        assert_eq!(alarm.first_poll(true), None);
    }

    #[test]
    fn half_of_the_last_fifty_raise_it_as_well() {
        let mut alarm = Alarm::new(10);
        let raised = (0..50).filter_map(|n| alarm.first_poll(n % 2 == 0)).count();
        assert_eq!(raised, 1);
        let mut alarm = Alarm::new(10);
        assert_eq!(
            (0..500)
                .filter_map(|n| alarm.first_poll(n % 3 == 0))
                .count(),
            0
        );
    }

    #[test]
    fn a_few_that_are_missed_among_many_that_come_are_no_alarm() {
        let mut alarm = Alarm::new(10);
        for n in 0..100 {
            assert_eq!(alarm.met(n * 200), None);
            assert_eq!(alarm.first_poll(true), None);
        }
        // The misses before the alarm was cleared do not keep it from being raised again.
        let raised = (0..10).filter_map(|_| alarm.first_poll(true)).count();
        assert_eq!(raised, 1);
    }

    #[test]
    fn it_is_over_when_ten_notifications_came_and_none_was_missed_meanwhile() {
        let mut alarm = Alarm::new(10);
        for _ in 0..10 {
            alarm.first_poll(true);
        }
        assert_eq!(alarm.met(100), None);
        assert_eq!(alarm.met(109), None);
        alarm.first_poll(true);
        assert_eq!(alarm.met(110), None);
        assert_eq!(alarm.met(118), None);
        assert_eq!(alarm.met(119), Some(Change::Cleared));
        assert!(!alarm.is_raised());
    }
}
