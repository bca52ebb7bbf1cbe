//! What the child holds of each event, as the store has it: so it is known whether a replay starts at once or waits.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;

use suki_receiver::journal::{ClaimedEvent, Inbox, Lease, Permit};

use super::content::Key;

/// Told by those who hold the lock of the event, or who are alone.
pub struct Holding {
    now: Mutex<Now>,
    /// What was handed over and nobody has taken up yet.
    handed: Mutex<Handed>,
}

#[derive(Default)]
struct Now {
    leases: BTreeMap<Key, HashSet<Lease>>,
    /// Those with a replay that waits.
    waiting: BTreeSet<Key>,
    /// Appends that are under way: whether one of them holds the event is not known yet.
    appending: BTreeMap<Key, usize>,
}

struct Handed {
    inbox: Inbox,
    events: Vec<(ClaimedEvent, Permit)>,
}

impl Holding {
    pub fn new(inbox: Inbox) -> Self {
        let events = Vec::new();
        Self {
            now: Mutex::default(),
            handed: Mutex::new(Handed { inbox, events }),
        }
    }

    /// An append begins.
    pub fn begins(&self, key: Key) {
        *self.now.lock().unwrap().appending.entry(key).or_default() += 1;
    }

    /// It has ended; what it handed over is held.
    pub fn ends(&self, key: Key, key_of: fn(&ClaimedEvent) -> Key) {
        let mut handed = self.handed.lock().unwrap();
        while let Ok((event, place)) = handed.inbox.events.try_recv() {
            self.add(key_of(&event), &event.lease);
            handed.events.push((event, place));
        }
        *self.now.lock().unwrap().appending.get_mut(&key).unwrap() -= 1;
    }

    /// One that was handed over, to be worked on.
    pub fn next(&self) -> Option<(ClaimedEvent, Permit)> {
        self.handed.lock().unwrap().events.pop()
    }

    pub fn add(&self, key: Key, lease: &Lease) {
        let mut now = self.now.lock().unwrap();
        now.leases.entry(key).or_default().insert(lease.clone());
    }

    /// Work has ended. Whether a replay that waited for that has begun.
    pub fn remove(&self, key: Key, ended: &[Lease]) -> bool {
        let mut now = self.now.lock().unwrap();
        let leases = now.leases.entry(key).or_default();
        leases.retain(|lease| !ended.contains(lease));
        leases.is_empty() && now.waiting.remove(&key)
    }

    /// Nothing is held of it any more, and no replay waits.
    pub fn forget(&self, key: Key) {
        let mut now = self.now.lock().unwrap();
        now.leases.remove(&key);
        now.waiting.remove(&key);
    }

    /// Nothing is held any more. The events whose replays waited for that, and have begun.
    pub fn clear(&self) -> BTreeSet<Key> {
        let mut now = self.now.lock().unwrap();
        now.leases.clear();
        std::mem::take(&mut now.waiting)
    }

    /// A replay of what is held: it waits.
    pub fn waits(&self, key: Key) {
        self.now.lock().unwrap().waiting.insert(key);
    }

    /// Whether it is held; `None` while that is not known.
    pub fn is_held(&self, key: Key) -> Option<bool> {
        let now = self.now.lock().unwrap();
        let is_appending = now.appending.get(&key).is_some_and(|count| *count > 0);
        let is_held = now.leases.get(&key).is_some_and(|held| !held.is_empty());
        (!is_appending).then_some(is_held)
    }
}
