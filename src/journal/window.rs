//! Limits how many stored events one query searches.
//!
//! Most filters have no index, because every notification would pay for its upkeep. So one query searches only a
//! limited number of events, and its page says where the next query continues.

use jiff::{SignedDuration, Timestamp};

use super::{Filter, Order};
use crate::domain::EventState;

/// How many events one query searches when no index serves its filter.
pub const SEARCH_LIMIT: u64 = 100_000;
const PART_SIZE: i64 = SEARCH_LIMIT.cast_signed();
/// By how much an event's receipt may differ from that of the events stored next to it: the spool holds events while
/// the database is down, and clocks differ.
const SLACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The binary search stops at an interval of this size.
const NARROW: i64 = 1_000;

/// The numbers of the first and the last stored event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The event numbers that a query is limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Only numbers greater than this one.
    pub(super) above: Option<i64>,
    /// Only numbers less than this one.
    pub(super) below: Option<i64>,
    /// The cursor of the next query, if there is more to search.
    pub(super) next: Option<i64>,
}

/// All events, however many there are.
pub(super) const EVERYTHING: Window = Window {
    above: None,
    below: None,
    next: None,
};

impl Window {
    /// All events after the cursor, for a filter that an index serves.
    pub(super) fn behind(cursor: Option<i64>, order: Order) -> Self {
        let (above, below) = match order {
            Order::NewestFirst => (None, cursor),
            Order::OldestFirst => (cursor, None),
        };
        Self {
            above,
            below,
            next: None,
        }
    }

    /// The next part of these events after the cursor.
    pub(super) fn part(cursor: Option<i64>, order: Order, events: Extent) -> Self {
        let (before, after) = (
            events.first.saturating_sub(1),
            events.last.saturating_add(1),
        );
        match order {
            Order::NewestFirst => {
                let below = cursor.unwrap_or(after).min(after);
                let last = below.saturating_sub(PART_SIZE).max(events.first);
                Self {
                    above: Some(last.saturating_sub(1)),
                    below: Some(below),
                    next: (last > events.first).then_some(last),
                }
            }
            Order::OldestFirst => {
                let above = cursor.unwrap_or(before).max(before);
                let last = above.saturating_add(PART_SIZE).min(events.last);
                Self {
                    above: Some(above),
                    below: Some(last.saturating_add(1)),
                    next: (last < events.last).then_some(last),
                }
            }
        }
    }
}

impl Filter {
    /// Whether an index serves this filter, or it matches few events at least.
    pub(super) fn is_indexed(&self) -> bool {
        let is_few = |state: &EventState| *state != EventState::Done;
        self.session_id.is_some()
            || self.encounter_id.is_some()
            || self.cause.is_some()
            || (!self.states.is_empty() && self.states.iter().all(is_few))
    }

    /// The range of times, in milliseconds, in which matching events were stored.
    pub(super) fn stored_between(&self) -> (Option<i64>, Option<i64>) {
        let millis = |time: Timestamp| time.as_millisecond();
        let slack = i64::try_from(SLACK.as_millis()).unwrap_or(i64::MAX);
        (
            self.since.map(|since| millis(since).saturating_sub(slack)),
            self.until.map(|until| millis(until).saturating_add(slack)),
        )
    }
}

/// A binary search for the place of a time among stored events.
#[derive(Debug, Clone, Copy)]
pub(super) struct BinarySearch {
    /// The first event, or one from before that time.
    pub(super) low: i64,
    /// The last event, or one from that time or later.
    pub(super) high: i64,
}

impl BinarySearch {
    pub(super) fn of(events: Extent) -> Self {
        Self {
            low: events.first,
            high: events.last,
        }
    }

    /// The event number to look up next; `None` when the place is known closely enough.
    pub(super) fn middle(&self) -> Option<i64> {
        (self.high - self.low > NARROW).then(|| self.low + (self.high - self.low) / 2)
    }

    /// Narrows the interval: the event of that number, or the next one that exists, is from before the time or not.
    pub(super) fn narrow(&mut self, middle: i64, is_before: bool) {
        if is_before {
            self.low = middle;
        } else {
            self.high = middle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranges of all parts, in the order in which they are searched.
    fn parts(order: Order, events: Extent) -> Vec<(i64, i64)> {
        let (mut parts, mut cursor) = (Vec::new(), None);
        loop {
            let window = Window::part(cursor, order, events);
            let (Some(above), Some(below)) = (window.above, window.below) else {
                panic!("a part has two ends")
            };
            parts.push((above + 1, below - 1));
            match window.next {
                Some(next) => cursor = Some(next),
                None => return parts,
            }
        }
    }

    #[test]
    fn the_parts_are_all_of_it_once() {
        for (first, last) in [
            (1, 1),
            (1, PART_SIZE),
            (1, PART_SIZE + 1),
            (7, 3 * PART_SIZE + 9),
        ] {
            let events = Extent { first, last };
            let mut newest = parts(Order::NewestFirst, events);
            newest.reverse();
            for found in [newest, parts(Order::OldestFirst, events)] {
                assert_eq!((found[0].0, found[found.len() - 1].1), (first, last));
                for pair in found.windows(2) {
                    assert_eq!(pair[0].1 + 1, pair[1].0, "{found:?}");
                }
                assert!(found.iter().all(|(low, high)| high - low < PART_SIZE));
            }
        }
    }

    #[test]
    fn a_time_is_found_by_halves() {
        // One event a second, with every second number gone.
        let events = Extent {
            first: 2,
            last: 5_000_000,
        };
        let target = 1_234_567;
        let (mut search, mut reads) = (BinarySearch::of(events), 0);
        while let Some(middle) = search.middle() {
            let found = middle + middle % 2;
            search.narrow(middle, found / 2 < target);
            reads += 1;
        }
        assert!(search.low / 2 < target && target <= search.high / 2 + 1);
        assert!(reads < 15, "{reads}");
    }
}
