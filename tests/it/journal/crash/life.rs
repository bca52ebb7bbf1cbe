//! One life of a store: a child works on it under the shim, then the power goes at many points of what it did.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::check::Wrong;
use super::disk::{Disk, Image, Lie, Luck};
use super::history::{Knowledge, Listener, TOLD};
use super::trace::{Op, Shim};
use super::{CHILD, FILE, Plan};

/// One life of a store: what was there before, what it did.
pub struct Life {
    plan: Plan,
    before: Image,
    known_before: Knowledge,
    ops: Vec<Op>,
}

impl Life {
    /// Lets a child live on from `before`.
    pub fn live(shim: &Shim, plan: Plan, before: Image, known_before: Knowledge) -> Self {
        let dir = scratch();
        let root = dir.path().canonicalize().unwrap();
        before.write(&root);
        // A test's name does not have the name of its binary.
        let (_, child) = CHILD.split_once("::").unwrap();
        let ops = shim.run(child, &root, &serde_json::to_string(&plan).unwrap());
        let life = Self {
            plan,
            before,
            known_before,
            ops,
        };
        let mut disk = Disk::new(&life.before, Lie::None);
        life.ops.iter().for_each(|op| disk.see(op));
        let all = disk.crash(Luck::All, &mut StdRng::seed_from_u64(0));
        assert!(
            all == Image::of(&root),
            "the trace does not tell all that was written"
        );
        life
    }

    /// Lets the power go `times` times, each time at any point, and checks what is left, up to the first that is wrong.
    /// `sound` gets what was left and what was found in it.
    pub fn crash(
        &self,
        times: usize,
        lie: Lie,
        mut sound: impl FnMut(Image, Knowledge),
    ) -> Result<(), Wrong> {
        let mut chance = StdRng::seed_from_u64(self.plan.seed);
        let points = self.points(times, &mut chance);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut disk = Disk::new(&self.before, lie);
        let mut listener = Listener::knowing(self.known_before.clone());
        let mut next = points.iter().peekable();
        for (at, op) in self.ops.iter().enumerate() {
            disk.see(op);
            listener.hear(op);
            while next.next_if(|point| **point == at).is_some() {
                let luck = Luck::any(&mut chance);
                let image = disk.crash(luck, &mut chance).without(TOLD);
                let dir = scratch();
                image.write(dir.path());
                let checked = self.plan.subject.check(dir.path(), &listener.knowledge);
                let found = runtime.block_on(checked).map_err(|wrong| {
                    format!(
                        "{wrong}\n{:?}, power cut after operation {at} of {}, {luck:?} of {} unsynced, left {}",
                        self.plan,
                        self.ops.len(),
                        disk.unsynced(),
                        if lie == Lie::None { keep(&image) } else { String::new() },
                    )
                })?;
                sound(image, found);
            }
        }
        Ok(())
    }

    /// Where the power goes: a third anywhere, a third right after a promise, a third around what is rare (names, cuts,
    /// writes to the file itself).
    fn points(&self, times: usize, chance: &mut StdRng) -> Vec<usize> {
        let all: Vec<_> = (0..self.ops.len()).collect();
        let mut listener = Listener::knowing(self.known_before.clone());
        let promises: Vec<_> = (0..self.ops.len())
            .filter(|&at| listener.hear(&self.ops[at]))
            .collect();
        let rare: Vec<_> = (0..self.ops.len()).filter(|&at| self.is_rare(at)).collect();
        let mut points: Vec<_> = (0..times)
            .filter_map(|n| [&all, &promises, &rare][n % 3].choose(chance).copied())
            .collect();
        points.sort_unstable();
        points
    }

    /// The node of the store's file.
    fn file(&self) -> Option<u32> {
        self.ops.iter().find_map(|op| match op {
            Op::Open(node, path) | Op::Create(node, path) if path == FILE => Some(*node),
            _ => None,
        })
    }

    fn is_rare(&self, at: usize) -> bool {
        match &self.ops[at] {
            Op::Write(node, ..) | Op::SyncStart(node, _) => Some(*node) == self.file(),
            Op::Create(..) | Op::MakeFolder(..) | Op::Truncate(..) | Op::Unlink(..) => true,
            Op::Open(..) | Op::SyncEnd(..) => false,
        }
    }

    /// How often the log began anew after it had been copied into the file.
    pub fn restarts(&self) -> usize {
        let log = self.ops.iter().find_map(|op| match op {
            Op::Create(node, path) if path.ends_with("-wal") => Some(*node),
            _ => None,
        });
        let (mut copied, mut restarts) = (false, 0);
        for op in &self.ops {
            match op {
                Op::Write(node, ..) if Some(*node) == self.file() => copied = true,
                Op::Write(node, 0, _) if Some(*node) == log && copied => {
                    (copied, restarts) = (false, restarts + 1);
                }
                _ => {}
            }
        }
        restarts
    }
}

/// A folder in memory where there is room: what is checked here does not depend on a real disk.
fn scratch() -> tempfile::TempDir {
    const MEMORY: &str = "/dev/shm";
    const ROOM: u64 = 512 << 20;
    let has_room = nix::sys::statvfs::statvfs(MEMORY)
        .is_ok_and(|found| found.blocks_available() * found.fragment_size() > ROOM);
    let in_memory = has_room
        .then(|| tempfile::tempdir_in(MEMORY).ok())
        .flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().unwrap())
}

/// Keeps what a power cut left, for whoever looks into a failure; says where.
fn keep(image: &Image) -> String {
    let root = tempfile::tempdir().unwrap().keep();
    image.write(&root);
    root.display().to_string()
}
