//! The crash model: a real store in a process of its own, whose writes and syncs are written down; then the power goes at
//! any point of that, and what the disk may hold is opened again.
//!
//! `shim.c` writes down, `trace.rs` reads, `disk.rs` says what a power cut may leave, `history.rs` and `standing.rs` know
//! what must be there, `check.rs` looks; `life.rs` puts them together. `drive.rs` and `operate.rs` work on the journal alone
//! (`holding.rs` keeps what of it is held), `spool.rs` on the spool in front of a store: each is a [`Subject`].
//!
//! A failure prints its seed and where it kept what the power cut left. How a child's threads take turns is not in the
//! seed, so the trace differs from run to run; what is made of a trace depends on the seed alone. More runs than the
//! ordinary ones: `CRASH_RUNS=100 tests/run.sh crash`.

mod check;
mod content;
mod disk;
mod drive;
mod history;
mod holding;
mod life;
mod operate;
mod spool;
mod standing;
mod trace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use suki_receiver::domain::Clock;
use suki_receiver::journal::{Access, OpenError, SqliteStore};
use suki_receiver::metrics::Metrics;

use self::check::Wrong;
use self::disk::{Image, Lie};
use self::history::Knowledge;
use self::life::Life;
use self::trace::Shim;

/// The environment variable with the child's plan.
const PLAN: &str = "CRASH_PLAN";
/// The test that is the child.
const CHILD: &str = concat!(module_path!(), "::the_child_of_the_crash_model");
/// The environment variable that asks for more runs than the ordinary ones.
const RUNS: &str = "CRASH_RUNS";
/// The store's file below the root. Its folder is made by the store, as at a first start.
const FILE: &str = "data/receiver.db";
/// How often a store lives on from what a crash left.
const GENERATIONS: u64 = 3;
/// How often the power goes in one life.
const CRASHES: usize = 20;
/// The sinks that there are.
const SINKS: [&str; 2] = ["archive", "ehr"];

/// What crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Subject {
    /// The embedded store.
    Journal,
    /// The spool in front of a store that fails, and is on another machine.
    Spool,
}

/// What a child does.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Plan {
    subject: Subject,
    seed: u64,
    /// How often it opens the store; in between it closes it.
    sessions: u64,
    /// Rounds of a session.
    rounds: u64,
    /// Appends of each task in a round.
    appends: u64,
    /// Whether bodies are large, and a session lasts until the checkpointer has copied the log.
    large: bool,
    /// Whether it closes the store at its end.
    closes: bool,
}

impl Plan {
    /// A short life.
    fn small(seed: u64) -> Self {
        Self {
            subject: Subject::Journal,
            seed,
            sessions: 1 + seed % 3,
            rounds: 2,
            appends: 8,
            large: false,
            closes: seed.is_multiple_of(2),
        }
    }

    /// A short life with a spool.
    fn spooled(seed: u64) -> Self {
        Self {
            subject: Subject::Spool,
            appends: 3,
            ..Self::small(seed)
        }
    }

    /// One that lasts until the log has been copied back and begun anew.
    fn large(seed: u64) -> Self {
        Self {
            sessions: 1,
            large: true,
            closes: false,
            ..Self::small(seed)
        }
    }
}

impl Subject {
    /// Works on the subject below `root`, in the child.
    async fn drive(self, root: &Path, plan: Plan) {
        match self {
            Self::Journal => drive::drive(root, plan).await,
            Self::Spool => spool::drive(root, plan).await,
        }
    }

    /// Checks what a crash left of it.
    async fn check(self, root: &Path, knowledge: &Knowledge) -> Result<Knowledge, Wrong> {
        match self {
            Self::Journal => check::check(root, self, knowledge).await,
            Self::Spool => spool::check(root, knowledge).await,
        }
    }
}

fn open(root: &Path) -> Result<SqliteStore, OpenError> {
    let longest_wait = Duration::from_secs(300);
    let access = Access::Owner { longest_wait };
    SqliteStore::open(
        &root.join(FILE),
        access,
        10_000,
        Clock::start(),
        Metrics::new(),
    )
}

#[allow(
    clippy::disallowed_methods,
    reason = "what the parent says to the child is no setting of the service"
)]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Not a test but the child of those below, when it has a plan.
#[test]
fn the_child_of_the_crash_model() {
    let Some(plan) = environment(PLAN) else {
        return;
    };
    let root = PathBuf::from(environment("CRASH_ROOT").unwrap());
    let plan: Plan = serde_json::from_str(&plan).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(plan.subject.drive(&root, plan));
    // Without running destructors: a store that was not closed stays so.
    std::process::exit(0);
}

/// Lives, crashes, lives on from what a crash left, and so on. Everything that was told must be there each time.
fn lives_and_crashes(shim: &Shim, plan: fn(u64) -> Plan, seed: u64) -> Result<(), Wrong> {
    let (mut image, mut known) = (Image::default(), Knowledge::default());
    for generation in 0..GENERATIONS {
        let plan = plan(seed * 100 + generation);
        let life = Life::live(shim, plan, image.clone(), known.clone());
        let mut chance = StdRng::seed_from_u64(plan.seed);
        life.crash(CRASHES, Lie::None, |left, found| {
            if chance.random_bool(0.2) {
                (image, known) = (left, found);
            }
        })?;
    }
    Ok(())
}

/// The same, as often as is ordinary or asked for.
fn live_and_crash(plan: fn(u64) -> Plan, ordinary: u64) {
    let shim = Shim::compile();
    let runs = environment(RUNS).map_or(ordinary, |runs| runs.parse().unwrap());
    for seed in 1..=runs {
        lives_and_crashes(&shim, plan, seed).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[test]
fn whatever_a_power_cut_leaves_everything_acknowledged_is_there() {
    live_and_crash(Plan::small, 2);
}

#[test]
fn whatever_a_power_cut_leaves_of_the_spool_everything_acknowledged_comes_into_the_store() {
    live_and_crash(Plan::spooled, 1);
}

/// A store whose log was copied back and begun anew at least once, while it worked.
fn large_life() -> Life {
    let plan = Plan::large(7);
    let life = Life::live(
        &Shim::compile(),
        plan,
        Image::default(),
        Knowledge::default(),
    );
    assert!(life.restarts() > 0, "the log was not begun anew");
    life
}

#[test]
fn a_power_cut_while_the_log_is_copied_back_loses_nothing() {
    let crashed = large_life().crash(CRASHES, Lie::None, |_, _| ());
    crashed.unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Panics unless some crash of this life is found to have lost something when syncs of such files do nothing.
fn finds(life: &Life, lie: Lie) {
    let found = life.crash(10 * CRASHES, lie, |_, _| ());
    assert!(found.is_err(), "nobody noticed");
}

#[test]
fn the_model_finds_a_store_that_does_not_sync() {
    let (shim, plan) = (Shim::compile(), Plan::small(1));
    let life = Life::live(&shim, plan, Image::default(), Knowledge::default());
    finds(&life, Lie::SyncOf("data/receiver.db-wal"));
    // Without the names of the files, then without the name of their folder.
    finds(&life, Lie::SyncOf("data"));
    finds(&life, Lie::SyncOf(""));
}

#[test]
fn the_model_finds_a_store_that_does_not_sync_what_was_copied_back() {
    finds(&large_life(), Lie::SyncOf(FILE));
}

#[test]
fn the_model_finds_a_spool_that_does_not_sync() {
    let (shim, plan) = (Shim::compile(), Plan::spooled(1));
    let life = Life::live(&shim, plan, Image::default(), Knowledge::default());
    finds(&life, Lie::SyncOf("data/receiver.db-wal"));
}
