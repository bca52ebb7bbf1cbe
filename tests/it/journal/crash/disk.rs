//! What is on a disk after the power goes: everything that was synced, and of the rest whatever chance leaves.
//!
//! The model is harsher than common file systems. Writes that are not synced survive, are lost or are torn at sectors
//! independently of each other, so they are also reordered. The length of a file may survive without its data. A file that
//! was made, or deleted, is so for certain only when its folder is synced, whatever else was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::trace::{Node, Op};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The folder below the root that stands for another machine: what is written there survives, whatever becomes of this
/// one.
pub const ELSEWHERE: &str = "elsewhere";

/// A broken promise, to see that it is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Every sync is kept.
    None,
    /// A sync of this file or folder does nothing.
    SyncOf(&'static str),
}

/// How much of what is not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Luck {
    /// All: the process died, the power did not go.
    All,
    /// Nothing.
    Nothing,
    /// Each operation whole or not at all.
    Some,
    /// Each operation whole, torn or not at all.
    Torn,
    /// All up to some operation of each file; that one is torn.
    Prefix,
}

impl Luck {
    /// Any of them.
    pub fn any(chance: &mut impl Rng) -> Self {
        [
            Self::All,
            Self::Nothing,
            Self::Some,
            Self::Torn,
            Self::Prefix,
        ][chance.random_range(0..5)]
    }

    /// What it is for the file or folder at `path`.
    fn at(self, path: &str) -> Self {
        let is_elsewhere = path.split('/').next() == Some(ELSEWHERE);
        if is_elsewhere { Self::All } else { self }
    }
}

/// The files below a root, by relative path; a folder has no content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image(BTreeMap<String, Option<Vec<u8>>>);

impl Image {
    /// What stands below `root` now, without what is mapped into memory.
    pub fn of(root: &Path) -> Self {
        let mut image = Self::default();
        image.read(root, "");
        image
    }

    fn read(&mut self, root: &Path, below: &str) {
        for entry in std::fs::read_dir(root.join(below)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{below}{name}");
            if root.join(&path).is_dir() {
                self.0.insert(path.clone(), None);
                self.read(root, &format!("{path}/"));
            } else if !name.ends_with("-shm") {
                let content = std::fs::read(root.join(&path)).unwrap();
                self.0.insert(path, Some(content));
            }
        }
    }

    /// Makes these files below `root`.
    pub fn write(&self, root: &Path) {
        for (path, content) in &self.0 {
            match content {
                Some(content) => std::fs::write(root.join(path), content).unwrap(),
                None => std::fs::create_dir(root.join(path)).unwrap(),
            }
        }
    }

    /// Without one of the files.
    pub fn without(mut self, path: &str) -> Self {
        self.0.remove(path);
        self
    }
}

/// A change of one file, or of a name, that is not known to be on disk.
struct Pending<T> {
    at: usize,
    change: T,
}

enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// A disk that is followed through a trace.
pub struct Disk {
    lie: Lie,
    /// How many operations it has seen.
    at: usize,
    content: BTreeMap<Node, Vec<u8>>,
    pending: BTreeMap<Node, Vec<Pending<Change>>>,
    names: BTreeMap<String, Node>,
    pending_names: Vec<Pending<(String, Option<Node>)>>,
    folders: BTreeSet<Node>,
    /// By node, the name that it was first seen under.
    first_name: BTreeMap<Node, String>,
    /// By the number of a sync that has not ended, when it began.
    syncs: BTreeMap<u64, usize>,
}

impl Disk {
    /// A disk with these files on it.
    pub fn new(image: &Image, lie: Lie) -> Self {
        let mut disk = Self {
            lie,
            at: 0,
            content: BTreeMap::new(),
            pending: BTreeMap::new(),
            names: BTreeMap::new(),
            pending_names: Vec::new(),
            folders: BTreeSet::new(),
            first_name: BTreeMap::new(),
            syncs: BTreeMap::new(),
        };
        // Until it is used, a file that is there already has a number from the far end.
        for (node, (path, content)) in (0..u32::MAX).rev().zip(&image.0) {
            disk.names.insert(path.clone(), node);
            match content {
                Some(content) => drop(disk.content.insert(node, content.clone())),
                None => drop(disk.folders.insert(node)),
            }
        }
        disk
    }

    /// Sees one more operation.
    pub fn see(&mut self, op: &Op) {
        self.at += 1;
        let at = self.at;
        match op {
            Op::Open(node, path) => {
                self.first_name.insert(*node, path.clone());
                if let Some(old) = self.names.insert(path.clone(), *node)
                    && let Some(content) = self.content.remove(&old)
                {
                    self.content.insert(*node, content);
                } else {
                    self.folders.insert(*node);
                }
                if path.is_empty() {
                    self.names.remove(path);
                }
            }
            Op::Create(node, path) | Op::MakeFolder(node, path) => {
                self.first_name.insert(*node, path.clone());
                if matches!(op, Op::MakeFolder(..)) {
                    self.folders.insert(*node);
                }
                let change = (path.clone(), Some(*node));
                self.pending_names.push(Pending { at, change });
            }
            Op::Unlink(path) => {
                let change = (path.clone(), None);
                self.pending_names.push(Pending { at, change });
            }
            Op::Write(node, offset, data) => {
                let change = Change::Write(*offset, data.clone());
                let pending = self.pending.entry(*node).or_default();
                pending.push(Pending { at, change });
            }
            Op::Truncate(node, size) => {
                let change = Change::Truncate(*size);
                let pending = self.pending.entry(*node).or_default();
                pending.push(Pending { at, change });
            }
            Op::SyncStart(_, sync) => drop(self.syncs.insert(*sync, at)),
            Op::SyncEnd(node, sync) => {
                let start = self.syncs.remove(sync).unwrap();
                self.synced(*node, start);
            }
        }
    }

    /// What was done to a file, or in a folder, before `start` is on disk.
    fn synced(&mut self, node: Node, start: usize) {
        let name = &self.first_name[&node];
        if matches!(self.lie, Lie::SyncOf(path) if path == name) {
            return;
        }
        if self.folders.contains(&node) {
            let (now, later) = std::mem::take(&mut self.pending_names)
                .into_iter()
                .partition(|pending| pending.at < start && parent(&pending.change.0) == name);
            self.pending_names = later;
            for Pending { change, .. } in now {
                rename(&mut self.names, change);
            }
        } else if let Some(pending) = self.pending.get_mut(&node) {
            let content = self.content.entry(node).or_default();
            let covered = pending.partition_point(|pending| pending.at < start);
            for Pending { change, .. } in pending.drain(..covered) {
                apply(content, &change);
            }
        }
    }

    /// How much is not known to be on disk.
    pub fn unsynced(&self) -> usize {
        self.pending_names.len() + self.pending.values().map(Vec::len).sum::<usize>()
    }

    /// The disk after the power went now.
    pub fn crash(&self, luck: Luck, chance: &mut StdRng) -> Image {
        let mut names = self.names.clone();
        for Pending { change, .. } in &self.pending_names {
            let survives = match luck.at(&change.0) {
                Luck::All => true,
                Luck::Nothing => false,
                Luck::Some | Luck::Torn | Luck::Prefix => chance.random_bool(0.5),
            };
            if survives {
                rename(&mut names, change.clone());
            }
        }
        let mut image = Image::default();
        for (path, node) in &names {
            let folder = parent(path);
            if !folder.is_empty() && !image.0.contains_key(folder) {
                // Its folder is lost, and all that is in it. Names come in order: a folder before what is in it.
                continue;
            }
            let content = (!self.folders.contains(node))
                .then(|| self.content_of(*node, luck.at(path), chance));
            image.0.insert(path.clone(), content);
        }
        image
    }

    fn content_of(&self, node: Node, luck: Luck, chance: &mut StdRng) -> Vec<u8> {
        let mut content = self.content.get(&node).cloned().unwrap_or_default();
        let pending = self.pending.get(&node).map_or(&[][..], Vec::as_slice);
        let last = chance.random_range(0..=pending.len());
        for (n, Pending { change, .. }) in pending.iter().enumerate() {
            match luck {
                Luck::All => apply(&mut content, change),
                Luck::Nothing => {}
                Luck::Some => {
                    if chance.random_bool(0.5) {
                        apply(&mut content, change);
                    }
                }
                Luck::Torn => match chance.random_range(0..3) {
                    0 => apply(&mut content, change),
                    1 => tear(&mut content, change, chance),
                    _ => {}
                },
                Luck::Prefix => match n.cmp(&last) {
                    std::cmp::Ordering::Less => apply(&mut content, change),
                    std::cmp::Ordering::Equal => tear(&mut content, change, chance),
                    std::cmp::Ordering::Greater => {}
                },
            }
        }
        content
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn rename(names: &mut BTreeMap<String, Node>, (path, node): (String, Option<Node>)) {
    match node {
        Some(node) => drop(names.insert(path, node)),
        None => drop(names.remove(&path)),
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => put(content, usize::try_from(*offset).unwrap(), data),
        Change::Truncate(size) => {
            content.truncate(usize::try_from(*size).unwrap());
            stretch(content, usize::try_from(*size).unwrap());
        }
    }
}

/// Each sector of a write reaches the disk or does not; the file's new length may be there without any of them.
fn tear(content: &mut Vec<u8>, change: &Change, chance: &mut StdRng) {
    let Change::Write(offset, data) = change else {
        return;
    };
    let (mut at, mut rest) = (usize::try_from(*offset).unwrap(), &data[..]);
    if chance.random_bool(0.3) {
        stretch(content, at + rest.len());
    }
    while !rest.is_empty() {
        let (sector, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
        if chance.random_bool(0.5) {
            put(content, at, sector);
        }
        (at, rest) = (at + sector.len(), after);
    }
}

fn put(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    stretch(content, at + data.len());
    content[at..at + data.len()].copy_from_slice(data);
}

/// Makes it at least this long. Whole pieces at once: `resize` goes byte by byte where nothing is optimised.
fn stretch(content: &mut Vec<u8>, length: usize) {
    if let Some(more) = length.checked_sub(content.len()) {
        content.extend_from_slice(&vec![0; more]);
    }
}
