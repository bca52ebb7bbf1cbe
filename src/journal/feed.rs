//! Tells whoever watches which events have just changed in this process. A doorbell: who has missed some looks anew.
//!
//! Holds no content, and holds nobody up: a watcher that is too slow misses changes and is told so.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::domain::{EventId, EventState};

/// Changes that are remembered for who was away for a moment.
const REMEMBERED: usize = 1000;

/// An event that stands elsewhere now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Its number, from 1.
    pub number: u64,
    /// The event.
    pub event: EventId,
    /// Where it stands.
    pub state: EventState,
}

/// The changes of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Tells this process's numbers from those of one before.
    epoch: u32,
    told: broadcast::Sender<Change>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    last: u64,
    changes: VecDeque<Change>,
}

/// What a watcher gets.
#[derive(Debug)]
pub struct Watch {
    /// What it has missed; `None` where it has missed more than is remembered.
    pub missed: Option<Vec<Change>>,
    /// What comes.
    pub changes: broadcast::Receiver<Change>,
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Inner {
            epoch: rand::random(),
            told: broadcast::Sender::new(REMEMBERED),
            recent: Mutex::default(),
        }))
    }
}

impl Feed {
    /// An event stands there now.
    pub fn tell(&self, event: EventId, state: EventState) {
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
        // Nobody may be watching.
        self.0.told.send(change).ok();
    }

    /// Watches from now on, or from behind the change with this mark.
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
            changes: self.0.told.subscribe(),
        }
    }

    /// What a watcher names a change by.
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
        let tell = || feed.tell(EventId::generate(), EventState::Received);
        tell();
        let mut watch = feed.watch(None);
        assert_eq!(watch.missed, Some(Vec::new()));
        tell();
        let second = watch.changes.try_recv().expect("a change");
        let mark = feed.mark(&second);
        tell();
        let missed = feed.watch(Some(&mark)).missed.expect("what was missed");
        let numbers: Vec<u64> = missed.iter().map(|change| change.number).collect();
        assert_eq!(numbers, [3]);
        for _ in 0..REMEMBERED {
            tell();
        }
        assert_eq!(feed.watch(Some(&mark)).missed, None);
        for other in ["", "x", "00000000-1-", "zz-1"] {
            assert_eq!(feed.watch(Some(other)).missed, None, "{other}");
        }
        assert_eq!(Feed::default().watch(Some(&mark)).missed, None);
    }
}
