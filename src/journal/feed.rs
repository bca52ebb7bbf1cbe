//! Publishes which events have just changed in this process. A subscriber that has missed changes reads the list again.
//!
//! A change holds no content, and publishing never blocks: a subscriber that is too slow misses changes and is told so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::domain::{EventId, EventState};

/// The number of changes that are kept for subscribers that reconnect.
const REMEMBERED: usize = 1000;

/// A change of an event's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The change's number, from 1.
    pub number: u64,
    /// The event.
    pub event: EventId,
    /// The event's new state.
    pub state: EventState,
}

/// The changes in this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// A random number that distinguishes this process's change numbers from those of an earlier process.
    epoch: u32,
    changes: broadcast::Sender<Change>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    last: u64,
    changes: VecDeque<Change>,
}

/// A subscription.
#[derive(Debug)]
pub struct Watch {
    /// The changes since the subscriber's mark; `None` when they are no longer all kept.
    pub missed: Option<Vec<Change>>,
    /// The changes from now on.
    pub changes: broadcast::Receiver<Change>,
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Inner {
            epoch: rand::random(),
            changes: broadcast::Sender::new(REMEMBERED),
            recent: Mutex::default(),
        }))
    }
}

impl Feed {
    /// Publishes that an event is now in this state.
    pub fn publish(&self, event: EventId, state: EventState) {
        let mut recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.last += 1;
        let change = Change {
            number: recent.last,
            event,
            state,
        };
        if recent.changes.len() == REMEMBERED {
            recent.changes.pop_front();
        }
        recent.changes.push_back(change);
        // An error means only that there is no subscriber.
        self.0.changes.send(change).ok();
    }

    /// Subscribes from now on, or from the change after the one with this mark.
    pub fn watch(&self, after: Option<&str>) -> Watch {
        let recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let missed = match after {
            None => Some(Vec::new()),
            Some(mark) => self.number(mark).and_then(|number| {
                let first = recent.last - recent.changes.len() as u64;
                let changes = recent.changes.iter();
                (first..=recent.last).contains(&number).then(|| {
                    let missed = changes.filter(|change| change.number > number);
                    missed.copied().collect()
                })
            }),
        };
        Watch {
            missed,
            changes: self.0.changes.subscribe(),
        }
    }

    /// The mark by which a subscriber resumes after this change.
    pub fn mark(&self, change: &Change) -> String {
        format!("{:08x}-{}", self.0.epoch, change.number)
    }

    fn number(&self, mark: &str) -> Option<u64> {
        let (epoch, number) = mark.split_once('-')?;
        let epoch = u32::from_str_radix(epoch, 16).ok()?;
        number.parse().ok().filter(|_| epoch == self.0.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_away_gets_what_was_missed_or_is_told_that_it_is_too_much() {
        let feed = Feed::default();
        let publish = || feed.publish(EventId::generate(), EventState::Received);
        publish();
        let mut watch = feed.watch(None);
        assert_eq!(watch.missed, Some(Vec::new()));
        publish();
        let second = watch.changes.try_recv().expect("a change");
        let mark = feed.mark(&second);
        publish();
        let missed = feed.watch(Some(&mark)).missed.expect("what was missed");
        let numbers: Vec<u64> = missed.iter().map(|change| change.number).collect();
        assert_eq!(numbers, [3]);
        for _ in 0..REMEMBERED {
            publish();
        }
        assert_eq!(feed.watch(Some(&mark)).missed, None);
        for other in ["", "x", "00000000-1-", "zz-1"] {
            assert_eq!(feed.watch(Some(other)).missed, None, "{other}");
        }
        assert_eq!(Feed::default().watch(Some(&mark)).missed, None);
    }
}
