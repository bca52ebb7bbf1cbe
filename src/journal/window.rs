//! Which part of a store one look for events goes through.
//!
//! No index finds what most filters name, since each one would be paid for by every notification. So that a look does not
//! go through millions of events it goes through so many, and the page says where the next look goes on.

use jiff::{SignedDuration, Timestamp};

use super::{Filter, Order};
use crate::domain::EventState;

/// Events that one look goes through where no index helps.
pub const LOOKED_THROUGH: u64 = 100_000;
const REACH: i64 = LOOKED_THROUGH.cast_signed();
/// By how much an event may have been received before, or after, those that are stored beside it: the spool keeps them for
/// as long as the database is down, and clocks differ.
const SLACK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A search by halves ends when what is left is as small as this.
const NARROW: i64 = 1_000;

/// Stored events by their numbers, both of which there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// Numbers that a look is confined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// Greater than this one.
    pub(super) above: Option<i64>,
    /// Less than this one.
    pub(super) below: Option<i64>,
    /// The cursor of the next look, where there is more to go through.
    pub(super) next: Option<i64>,
}

/// All events, whatever that takes.
pub(super) const EVERYTHING: Window = Window {
    above: None,
    below: None,
    next: None,
};

impl Window {
    /// All that comes behind the cursor, for a filter that an index serves.
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

    /// The next part of these events behind the cursor.
    pub(super) fn part(cursor: Option<i64>, order: Order, events: Extent) -> Self {
        let (before, after) = (
            events.first.saturating_sub(1),
            events.last.saturating_add(1),
        );
        match order {
            Order::NewestFirst => {
                let below = cursor.unwrap_or(after).min(after);
                let last = below.saturating_sub(REACH).max(events.first);
                Self {
                    above: Some(last.saturating_sub(1)),
                    below: Some(below),
                    next: (last > events.first).then_some(last),
                }
            }
            Order::OldestFirst => {
                let above = cursor.unwrap_or(before).max(before);
                let last = above.saturating_add(REACH).min(events.last);
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
    /// Whether an index finds what it names, or few events at least.
    pub(super) fn is_indexed(&self) -> bool {
        let is_few = |state: &EventState| *state != EventState::Done;
        self.session_id.is_some()
            || self.encounter_id.is_some()
            || self.cause.is_some()
            || (!self.states.is_empty() && self.states.iter().all(is_few))
    }

    /// The times between which the events are stored that it lets through, in milliseconds.
    pub(super) fn stored_between(&self) -> (Option<i64>, Option<i64>) {
        let millis = |time: Timestamp| time.as_millisecond();
        let slack = i64::try_from(SLACK.as_millis()).unwrap_or(i64::MAX);
        (
            self.since.map(|since| millis(since).saturating_sub(slack)),
            self.until.map(|until| millis(until).saturating_add(slack)),
        )
    }
}

/// A search by halves for where a time is among stored events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Halving {
    /// An event from before that time, or the first.
    pub(super) low: i64,
    /// An event from that time or later, or the last.
    pub(super) high: i64,
}

impl Halving {
    pub(super) fn of(events: Extent) -> Self {
        Self {
            low: events.first,
            high: events.last,
        }
    }

    /// The number whose time is to be looked up; `None` when it is found near enough.
    pub(super) fn middle(&self) -> Option<i64> {
        (self.high - self.low > NARROW).then(|| self.low + (self.high - self.low) / 2)
    }

    /// The event of that number, or the one behind it, is from before the time, or is not.
    pub(super) fn tell(&mut self, middle: i64, is_before: bool) {
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

    /// The numbers of all parts, in the order in which they are looked through.
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
        for (first, last) in [(1, 1), (1, REACH), (1, REACH + 1), (7, 3 * REACH + 9)] {
            let events = Extent { first, last };
            let mut newest = parts(Order::NewestFirst, events);
            newest.reverse();
            for found in [newest, parts(Order::OldestFirst, events)] {
                assert_eq!((found[0].0, found[found.len() - 1].1), (first, last));
                for pair in found.windows(2) {
                    assert_eq!(pair[0].1 + 1, pair[1].0, "{found:?}");
                }
                assert!(found.iter().all(|(low, high)| high - low < REACH));
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
        let (mut search, mut looks) = (Halving::of(events), 0);
        while let Some(middle) = search.middle() {
            let found = middle + middle % 2;
            search.tell(middle, found / 2 < target);
            looks += 1;
        }
        assert!(search.low / 2 < target && target <= search.high / 2 + 1);
        assert!(looks < 15, "{looks}");
    }
}
