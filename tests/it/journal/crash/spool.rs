//! The spool as a [`super::Subject`]: a child appends while the store fails, forgets to answer or is back, and the spool
//! is drained all the while. The store is on another machine, so a power cut here takes nothing from it; after one, the
//! spool is opened again and drained, and then everything acknowledged must be in the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use suki_receiver::domain::Clock;
use suki_receiver::journal::{Bounds, Journal};
use suki_receiver::metrics::Metrics;
use tokio::task::JoinSet;

use super::check::{Wrong, file_is_sound, text};
use super::disk::ELSEWHERE;
use super::drive::Shared;
use super::history::Knowledge;
use super::{FILE, Plan, Subject, check, open};
use crate::support::{FailingStore, PATIENCE};

const DEADLINE: Duration = Duration::from_secs(60);
const BOUNDS: Bounds = Bounds {
    requests: 10,
    bytes: 1000,
};
/// Events that the store holds for this process from their receipt on, though nobody works on them here.
const ROOM: usize = 6;
/// Tasks that append at once.
const APPENDERS: u64 = 4;

/// Does what the plan says with the spool below `root`.
pub async fn drive(root: &Path, plan: Plan) {
    for session in 0..plan.sessions {
        let store = FailingStore::around(std::sync::Arc::new(open(&root.join(ELSEWHERE)).unwrap()));
        let (journal, inbox) = Journal::new(store.clone(), DEADLINE, ROOM, Clock::start());
        inbox.admission.set_open(true);
        let file = root.to_owned();
        let journal = journal.with_spool(move || open(&file)).unwrap();
        let shared = Shared::new(root, plan, journal.clone(), inbox).await;
        let draining = journal.clone();
        let draining = tokio::spawn(async move { draining.drain(BOUNDS, Metrics::new()).await });
        for round in 0..plan.rounds {
            fail_and_come_back(&store, &shared, plan.seed << 20 | session << 10 | round).await;
        }
        draining.abort();
        if plan.closes || session + 1 < plan.sessions {
            journal.close().await;
        }
    }
}

/// The store fails, and what is appended is spooled; it comes back, and while it is drained into more is appended. By
/// chance it fails again in the middle of that.
async fn fail_and_come_back(store: &FailingStore, shared: &Arc<Shared>, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    let failing = if chance.random_bool(0.3) {
        &store.answers_are_lost
    } else {
        &store.appends_fail
    };
    failing.store(true, SeqCst);
    append(shared, seed * 1000, &mut chance).await;
    failing.store(false, SeqCst);
    let asked = store.appends.load(SeqCst);
    // Not `until`: it looks too seldom to meet the drain at its work.
    while store.appends.load(SeqCst) == asked {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let again = chance.random_bool(0.5);
    store.appends_fail.store(again, SeqCst);
    append(shared, seed * 1000 + 500, &mut chance).await;
}

/// Many at once append, the numbers from `from` on.
async fn append(shared: &Arc<Shared>, from: u64, chance: &mut StdRng) {
    let mut tasks = JoinSet::new();
    for task in 0..APPENDERS {
        let chance = StdRng::seed_from_u64(chance.random());
        tasks.spawn(Arc::clone(shared).append_some(from + task * 100, chance));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// Opens what a crash left of the spool below `root` and drains it; then the store has everything, and the spool nothing.
pub async fn check(root: &Path, knowledge: &Knowledge) -> Result<Knowledge, Wrong> {
    let store = open(&root.join(ELSEWHERE)).map_err(text)?;
    let file = root.to_owned();
    let (journal, _inbox) = Journal::new(Arc::new(store), DEADLINE, 1, Clock::start());
    let journal = journal
        .with_spool(move || open(&file))
        .map_err(|error| format!("the spool cannot be opened: {error}"))?;
    let emptied = tokio::time::timeout(PATIENCE, is_empty(root));
    tokio::select! {
        () = journal.drain(BOUNDS, Metrics::new()) => {}
        emptied = emptied => emptied.map_err(|_| "the spool is never drained")??,
    }
    journal.close().await;
    file_is_sound(root)?;
    check::check(&root.join(ELSEWHERE), Subject::Spool, knowledge).await
}

/// Waits until nothing is in the spool's file.
async fn is_empty(root: &Path) -> Result<(), Wrong> {
    let file = rusqlite::Connection::open(root.join(FILE)).map_err(text)?;
    let any = "SELECT EXISTS (SELECT 1 FROM receipts)";
    while file.query_row(any, [], |row| row.get(0)).map_err(text)? {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
