//! Where an event stands according to the store's contract, and what each act makes of it. Knows no SQL: it says in its
//! own words what `journal/store.rs` promises.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::{Key, Kind};

/// Where an event stands. Received and retrieving are one here: a claim promises nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Pending,
    Delivering,
    Done,
    Dead,
    Quarantined,
    Purged,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    Pending,
    Delivered,
    Dead,
}

/// How an attempt at retrieving ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Retrieved {
    Deliver(Vec<String>),
    Retry,
    Dead,
}

/// What a replay does once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    pub fetch_anew: bool,
    /// The only sink that it is for.
    pub sink: Option<String>,
}

/// One write to the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Act {
    Append(Key),
    Retrieval(Key, Vec<(u32, u64)>, Retrieved),
    /// All of them are written, or none.
    Deliveries(Key, Vec<(String, End)>),
    /// Of an event that is held it waits until it is not.
    Replay {
        key: Key,
        again: Again,
        waits: bool,
    },
    Purge(Key),
    /// Content of all that is done goes; with `receipts` the rest of it as well.
    Retain {
        receipts: bool,
    },
    Audit(String),
}

impl Act {
    /// The one event that it is about.
    pub fn key(&self) -> Option<Key> {
        match self {
            Self::Append(key)
            | Self::Retrieval(key, ..)
            | Self::Deliveries(key, ..)
            | Self::Replay { key, .. }
            | Self::Purge(key) => Some(*key),
            Self::Retain { .. } | Self::Audit(_) => None,
        }
    }
}

/// Everything about one event that must not be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub stage: Stage,
    /// Whether the notification's body is there.
    pub content: bool,
    /// Whether it can be delivered again as it was fetched.
    pub retrieved: bool,
    /// By number, the version of the fetched body; none where it was removed.
    pub links: BTreeMap<u32, Option<u64>>,
    pub sinks: BTreeMap<String, End>,
    /// A replay that waits until nobody works on it.
    pub waiting: Option<Again>,
}

impl Standing {
    /// After its receipt.
    pub fn new(key: Key) -> Self {
        let stage = match key.kind {
            Kind::Success | Kind::Failure => Stage::Pending,
            Kind::Malformed => Stage::Quarantined,
        };
        Self {
            stage,
            content: true,
            retrieved: false,
            links: BTreeMap::new(),
            sinks: BTreeMap::new(),
            waiting: None,
        }
    }

    /// After an act that was not refused; `None` when nothing is left.
    pub fn after(&self, act: &Act) -> Option<Self> {
        let mut next = self.clone();
        match act {
            Act::Append(_) | Act::Audit(_) => {}
            Act::Retrieval(_, links, end) => {
                next.link(links);
                next.end_retrieval(end);
            }
            Act::Deliveries(_, ends) => {
                next.sinks.extend(ends.iter().cloned());
                next.end();
            }
            Act::Replay { again, waits, .. } if self.is_replayed(again) => {
                next.waiting = Some(again.clone());
                return Some(if *waits { next } else { next.freed() });
            }
            Act::Replay { .. } => {}
            Act::Purge(_) => next.purge(),
            Act::Retain { receipts } if self.stage == Stage::Done => {
                next.remove_content();
                return (!receipts).then_some(next);
            }
            // What has lost its content is decided.
            Act::Retain { receipts: true }
                if matches!(self.stage, Stage::Dead | Stage::Quarantined | Stage::Purged)
                    && !self.content =>
            {
                return None;
            }
            Act::Retain { .. } => {}
        }
        Some(next)
    }

    fn link(&mut self, links: &[(u32, u64)]) {
        self.links
            .extend(links.iter().map(|&(n, version)| (n, Some(version))));
    }

    fn end_retrieval(&mut self, end: &Retrieved) {
        match end {
            Retrieved::Deliver(sinks) => {
                (self.stage, self.retrieved) = (Stage::Delivering, true);
                for sink in sinks {
                    self.sinks.entry(sink.clone()).or_insert(End::Pending);
                }
                self.end();
            }
            Retrieved::Retry => (self.stage, self.retrieved) = (Stage::Pending, false),
            Retrieved::Dead => self.stage = Stage::Dead,
        }
    }

    /// The last delivery to end ends the event.
    fn end(&mut self) {
        let any = |end| self.sinks.values().any(|&found| found == end);
        if self.stage == Stage::Delivering && !any(End::Pending) {
            self.stage = if any(End::Dead) {
                Stage::Dead
            } else {
                Stage::Done
            };
        }
    }

    fn is_replayed(&self, again: &Again) -> bool {
        let is_there = again.fetch_anew || self.retrieved;
        self.content && self.stage != Stage::Quarantined && is_there
    }

    /// Nobody works on it any more, or it was opened again: a replay that waited for that begins.
    pub fn freed(mut self) -> Self {
        let Some(Again { fetch_anew, sink }) = self.waiting.take() else {
            return self;
        };
        for (known, end) in &mut self.sinks {
            if sink.as_ref().is_none_or(|only| only == known) {
                *end = End::Pending;
            }
        }
        if fetch_anew {
            self.links.clear();
            (self.stage, self.retrieved) = (Stage::Pending, false);
        } else {
            self.sinks
                .extend(sink.into_iter().map(|only| (only, End::Pending)));
            self.stage = Stage::Delivering;
            self.end();
        }
        self
    }

    fn purge(&mut self) {
        self.remove_content();
        self.waiting = None;
        if self.stage != Stage::Done {
            self.stage = Stage::Purged;
        }
        for end in self.sinks.values_mut() {
            if *end == End::Pending {
                *end = End::Dead;
            }
        }
    }

    fn remove_content(&mut self) {
        self.content = false;
        self.links.values_mut().for_each(|version| *version = None);
    }
}
