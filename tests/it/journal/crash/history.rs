//! What a child said that it began and what it was told is kept; and what must therefore be there after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::content::Key;
use super::standing::{Act, Standing};
use super::trace::Op;

/// The file below the root that the child tells the outside world in. It stands for the outside world: it is never lost.
pub const TOLD: &str = "told";

/// How a write ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Fate {
    /// An event is kept under this id.
    Appended { id: String },
    /// It is kept.
    Kept,
    /// It came too late or did not apply; nothing was written.
    Refused,
}

/// One line of what the child tells.
#[derive(Serialize, Deserialize)]
enum Line {
    Begin(u64, Act),
    End(u64, Fate),
    /// The store handed out this event, so it is there.
    Seen(Key, String),
    /// Nobody works on this event any more: a replay that waited for that has begun.
    Freed(Key),
}

/// The child's end.
pub struct Teller {
    file: File,
    next: AtomicU64,
}

impl Teller {
    pub fn new(root: &Path) -> Self {
        let file = File::options()
            .create(true)
            .append(true)
            .open(root.join(TOLD));
        Self {
            file: file.unwrap(),
            next: AtomicU64::new(1),
        }
    }

    /// Says that a write begins; gives back its number.
    pub fn begin(&self, act: Act) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.tell(&Line::Begin(number, act));
        number
    }

    /// Says how it ended.
    pub fn end(&self, number: u64, fate: Fate) {
        self.tell(&Line::End(number, fate));
    }

    /// Says that the store handed out an event.
    pub fn seen(&self, key: Key, id: String) {
        self.tell(&Line::Seen(key, id));
    }

    /// Says that nobody works on an event any more.
    pub fn freed(&self, key: Key) {
        self.tell(&Line::Freed(key));
    }

    fn tell(&self, line: &Line) {
        // One write for one line, so that lines of several threads do not mix.
        let mut text = serde_json::to_vec(line).unwrap();
        text.push(b'\n');
        let written = (&self.file).write(&text).unwrap();
        assert_eq!(written, text.len());
    }
}

/// One event as far as the outside world knows.
#[derive(Debug, Clone)]
pub struct Known {
    /// The ids that it was acknowledged under: one, but where a spool is in front of the store.
    pub ids: BTreeSet<String>,
    /// Whether one of these was told twice: the id that the second one had for itself is not known.
    pub is_repeated: bool,
    /// Where it stands; `None` while it is not known to be there.
    pub standing: Option<Standing>,
    /// What was begun and has not ended.
    pub begun: Vec<Act>,
}

impl Known {
    fn absent() -> Self {
        Self {
            ids: BTreeSet::new(),
            is_repeated: false,
            standing: None,
            begun: Vec::new(),
        }
    }

    fn is_there(&mut self, key: Key, id: &str) {
        self.is_repeated |= !self.ids.insert(id.to_owned());
        self.standing.get_or_insert_with(|| Standing::new(key));
    }

    fn apply(&mut self, act: &Act) {
        self.standing = self
            .standing
            .as_ref()
            .and_then(|standing| standing.after(act));
        if self.standing.is_none() {
            self.ids.clear();
        }
    }

    /// Whether an append of it was begun and has not ended.
    pub fn is_appending(&self) -> bool {
        self.begun.iter().any(|act| matches!(act, Act::Append(_)))
    }

    /// Every way in which it may stand after a crash; what had not ended may have happened or not. Nobody works on it then,
    /// and no replay waits.
    pub fn may_stand(&self, key: Key) -> Vec<Option<Standing>> {
        let mut ways = vec![self.standing.clone()];
        if self.standing.is_none() && self.is_appending() {
            ways.push(Some(Standing::new(key)));
        }
        for act in &self.begun {
            let after: Vec<_> = ways.iter().flatten().map(|way| way.after(act)).collect();
            ways.extend(after);
        }
        let freed = ways.into_iter().map(|way| way.map(Standing::freed));
        freed.collect()
    }
}

/// All that the outside world knows.
#[derive(Debug, Clone, Default)]
pub struct Knowledge {
    pub events: BTreeMap<Key, Known>,
    pub audited: BTreeSet<String>,
    begun: BTreeMap<u64, Act>,
}

/// Follows what is told in a trace.
#[derive(Default)]
pub struct Listener {
    told: Option<u32>,
    pub knowledge: Knowledge,
}

impl Listener {
    /// One that knows already what was found after an earlier crash.
    pub fn knowing(knowledge: Knowledge) -> Self {
        Self {
            told: None,
            knowledge,
        }
    }

    /// Hears one more operation; says whether it was a promise.
    pub fn hear(&mut self, op: &Op) -> bool {
        match op {
            Op::Create(node, path) | Op::Open(node, path) if path == TOLD => {
                self.told = Some(*node);
                false
            }
            Op::Write(node, _, line) if self.told == Some(*node) => {
                let line = serde_json::from_slice(line).unwrap();
                self.knowledge.learn(line)
            }
            _ => false,
        }
    }
}

impl Knowledge {
    fn learn(&mut self, line: Line) -> bool {
        match line {
            Line::Begin(number, act) => {
                if let Some(key) = act.key() {
                    let known = self.events.entry(key).or_insert_with(Known::absent);
                    known.begun.push(act.clone());
                } else if let Act::Retain { .. } = act {
                    for known in self.events.values_mut() {
                        known.begun.push(act.clone());
                    }
                }
                self.begun.insert(number, act);
                false
            }
            Line::Seen(key, id) => {
                let known = self.events.entry(key).or_insert_with(Known::absent);
                known.is_there(key, &id);
                true
            }
            Line::Freed(key) => {
                let known = self.events.get_mut(&key).unwrap();
                known.standing = known.standing.take().map(Standing::freed);
                true
            }
            Line::End(number, fate) => {
                let act = self.begun.remove(&number).unwrap();
                self.ended(&act, &fate);
                true
            }
        }
    }

    fn ended(&mut self, act: &Act, fate: &Fate) {
        if let Act::Audit(note) = act {
            self.audited.insert(note.clone());
            return;
        }
        let about: Vec<Key> = match act.key() {
            Some(key) => vec![key],
            None => self.events.keys().copied().collect(),
        };
        for key in about {
            let known = self.events.get_mut(&key).unwrap();
            let same = |begun: &Act| std::mem::discriminant(begun) == std::mem::discriminant(act);
            if let Some(at) = known.begun.iter().position(same) {
                known.begun.remove(at);
            }
            match fate {
                Fate::Appended { id } => known.is_there(key, id),
                Fate::Kept => known.apply(act),
                Fate::Refused => {}
            }
        }
    }
}
