//! The child's work on the journal: many at once append, work and close, by chance; `operate.rs` has what operators do.
//!
//! Before each write it says what it begins and afterwards what it was told, so that the parent knows what must survive.
//! Writes about one event do not overlap (but for appends), so their order is known; writes about different events do,
//! so they share commits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use suki_receiver::domain::{Cause, Clock, EventId, Reason};
use suki_receiver::journal::{
    self, Appended, Claimed, ClaimedEvent, DeliveryEnd, Ended, Filter, How, Inbox, Journal, Lease,
    Linked, Planned, Received, Retrieval, SqliteStore, Task,
};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio::task::JoinSet;

use super::content::{Key, Kind};
use super::history::{Fate, Teller};
use super::holding::Holding;
use super::standing::{Act, End, Retrieved};
use super::{Plan, SINKS, open};
use crate::journal::contract::{EVENTS, end, fetched, found, soon, to, verified};

/// Appends of one round, over all tasks.
const APPENDERS: u64 = 4;
/// Events that are held from their receipt on; the others are claimed.
const ROOM: usize = 6;
/// Rounds after which a large run stops waiting for a checkpoint.
const MOST_ROUNDS: u64 = 60;

/// What all tasks of the child share.
pub struct Shared {
    pub plan: Plan,
    pub teller: Teller,
    pub journal: Journal,
    pub clock: Clock,
    /// Events whose id is known.
    known: Mutex<BTreeMap<EventId, Key>>,
    /// One lock for each event: its writes do not overlap.
    locks: Mutex<BTreeMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    /// What those who work hold.
    pub holding: Holding,
    /// Held for reading by every write; alone by what touches many events at once.
    pub all: Arc<RwLock<()>>,
}

/// Does what the plan says with the store below `root`.
pub async fn drive(root: &Path, plan: Plan) {
    for session in 0..plan.sessions {
        let store = Arc::new(open(root).unwrap());
        work(root, plan, session, Arc::clone(&store)).await;
        if plan.closes || session + 1 < plan.sessions {
            let journal = Journal::new(store, Duration::from_secs(60), 1, Clock::start()).0;
            journal.close().await;
        }
    }
}

async fn work(root: &Path, plan: Plan, session: u64, store: Arc<SqliteStore>) {
    let (journal, inbox) = Journal::new(store, Duration::from_secs(60), ROOM, Clock::start());
    inbox.admission.set_open(true);
    let shared = Shared::new(root, plan, journal, inbox).await;
    let size = || std::fs::metadata(root.join(super::FILE)).unwrap().len();
    let (before, mut more) = (size(), plan.rounds);
    for round in 0..MOST_ROUNDS {
        if more == 0 {
            break;
        }
        // A large run goes on until the checkpointer has grown the file, and then for its rounds.
        if !plan.large || size() > before {
            more -= 1;
        }
        let mut tasks = JoinSet::new();
        let chance = |task| {
            let place = (session * MOST_ROUNDS + round) * 16 + task;
            StdRng::seed_from_u64(plan.seed << 20 | place)
        };
        let base = (session * MOST_ROUNDS + round) * 1000;
        for task in 0..APPENDERS {
            let from = base + task * 100;
            tasks.spawn(Arc::clone(&shared).append_some(from, chance(task)));
        }
        for task in 0..2 {
            tasks.spawn(Arc::clone(&shared).work_some(chance(8 + task)));
        }
        tasks.spawn(Arc::clone(&shared).operate(base, chance(12)));
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    }
}

impl Shared {
    /// Knows the events that are there from an earlier session.
    pub async fn new(root: &Path, plan: Plan, journal: Journal, inbox: Inbox) -> Arc<Self> {
        let page = journal
            .records()
            .list(Filter::default(), 10_000, None)
            .await;
        let events = page.unwrap().events.into_iter();
        let known = events.filter_map(|event| {
            let key = Key::of_encounter(event.encounter_id?.as_str())?;
            Some((event.id, key))
        });
        Arc::new(Self {
            plan,
            teller: Teller::new(root),
            journal,
            clock: Clock::start(),
            known: Mutex::new(known.collect()),
            locks: Mutex::default(),
            holding: Holding::new(inbox),
            all: Arc::default(),
        })
    }

    /// Until it is dropped, nobody else writes about this event.
    pub async fn hold(
        &self,
        key: Key,
    ) -> (OwnedRwLockReadGuard<()>, tokio::sync::OwnedMutexGuard<()>) {
        let lock = Arc::clone(self.locks.lock().unwrap().entry(key).or_default());
        let all = Arc::clone(&self.all).read_owned().await;
        (all, lock.lock_owned().await)
    }

    pub fn any_known(&self, chance: &mut StdRng) -> Option<(EventId, Key)> {
        let known = self.known.lock().unwrap();
        let all: Vec<_> = known.iter().map(|(&id, &key)| (id, key)).collect();
        all.choose(chance).copied()
    }

    /// Appends one after the other; the numbers of the new ones begin at `from`.
    pub async fn append_some(self: Arc<Self>, from: u64, mut chance: StdRng) {
        for n in from..from + self.plan.appends {
            let repeated = chance.random_bool(0.15);
            let key = match self.any_known(&mut chance) {
                Some((_, key)) if repeated => key,
                _ => self.new_key(n, &mut chance),
            };
            let twice = chance.random_bool(0.2);
            let again = async {
                if twice {
                    self.append(key).await;
                }
            };
            tokio::join!(self.append(key), again);
        }
    }

    fn new_key(&self, n: u64, chance: &mut StdRng) -> Key {
        let kinds = [Kind::Success, Kind::Success, Kind::Failure, Kind::Malformed];
        let most = if self.plan.large { 120_000 } else { 6_000 };
        Key {
            kind: *kinds.choose(chance).unwrap(),
            seed: self.plan.seed,
            // Several for one session now and then.
            n: if chance.random_bool(0.2) { n / 4 } else { n },
            variant: chance.random_range(0..3),
            size: chance.random_range(0..most),
        }
    }

    async fn append(&self, key: Key) {
        let _all = self.all.read().await;
        self.holding.begins(key);
        let received = Received::read(&verified(key.body().to_vec()), self.clock.now(), false);
        let number = self.teller.begin(Act::Append(key));
        let appended = self.journal.append(&received).await;
        let (Appended::New(id) | Appended::Duplicate(id)) = appended.unwrap().appended;
        self.teller
            .end(number, Fate::Appended { id: id.to_string() });
        self.known.lock().unwrap().insert(id, key);
        self.holding.ends(key, key_of);
    }

    /// Ends what was handed over, and claims and ends what is due.
    async fn work_some(self: Arc<Self>, mut chance: StdRng) {
        for _ in 0..self.plan.appends {
            if let Some((event, _place)) = self.holding.next() {
                self.retrieve(event, &mut chance).await;
            }
            let events = self.claim(&EVENTS, &mut chance).await;
            for claimed in events {
                let Claimed::Event(event) = claimed else {
                    panic!("not asked for: {claimed:?}");
                };
                self.retrieve(*event, &mut chance).await;
            }
            let sink = SINKS.choose(&mut chance).unwrap();
            for claimed in self.claim(&[to(sink)], &mut chance).await {
                let Claimed::Delivery(delivery) = claimed else {
                    panic!("not asked for: {claimed:?}");
                };
                let known = self
                    .known
                    .lock()
                    .unwrap()
                    .get(&delivery.document.id)
                    .copied();
                if let Some(key) = known {
                    self.deliver(&[delivery.lease], key, &mut chance).await;
                }
            }
        }
    }

    /// Alone, so that what is held of an event is known while it is written about.
    async fn claim(&self, tasks: &[Task], chance: &mut StdRng) -> Vec<Claimed> {
        let _alone = self.all.write().await;
        let mut some = soon(self.clock, tasks);
        some.limit = chance.random_range(1..6);
        let claimed = self.journal.claim(some).await.unwrap();
        for claimed in &claimed {
            match claimed {
                Claimed::Event(event) => {
                    let (key, id) = (key_of(event), event.receipt.id);
                    self.teller.seen(key, id.to_string());
                    self.known.lock().unwrap().insert(id, key);
                    self.holding.add(key, &event.lease);
                }
                Claimed::Delivery(delivery) => {
                    let known = self
                        .known
                        .lock()
                        .unwrap()
                        .get(&delivery.document.id)
                        .copied();
                    if let Some(key) = known {
                        self.holding.add(key, &delivery.lease);
                    }
                }
                Claimed::Late(_) => {}
            }
        }
        claimed
    }

    async fn retrieve(&self, event: ClaimedEvent, chance: &mut StdRng) {
        let key = key_of(&event);
        let mine = self.hold(key).await;
        if chance.random_bool(0.1) {
            end(&self.journal, &event.lease, How::GivenBack).await;
            return self.let_go(key, &[event.lease]);
        }
        let links = self.links(chance);
        let linked = updated(&event, key, &links);
        let (said, retrieved) = match chance.random_range(0..10) {
            0..7 => {
                let wanted = chance.random_range(0..=SINKS.len());
                let sinks: Vec<_> = SINKS[..wanted].iter().map(ToString::to_string).collect();
                let said = Retrieved::Deliver(sinks.clone());
                (said, deliver(sinks, chance.random_bool(0.5), linked))
            }
            7..9 => {
                let retry = Retrieval::Retry {
                    tried_for: Duration::ZERO,
                    sinks: Vec::new(),
                    found: found(linked),
                    at: self.clock.monotonic(),
                    reason: Reason::new(Cause::Internal, "later"),
                };
                (Retrieved::Retry, retry)
            }
            _ => {
                let dead = Retrieval::Dead {
                    found: found(linked),
                    reason: Reason::new(Cause::Internal, "never"),
                    sinks: Vec::new(),
                };
                (Retrieved::Dead, dead)
            }
        };
        let number = self.teller.begin(Act::Retrieval(key, links, said));
        let ended = end(&self.journal, &event.lease, retrieved).await;
        self.teller.end(number, fate(&ended));
        let deliveries = match ended {
            Ended::Kept { deliveries, .. } => deliveries,
            Ended::Lost => Vec::new(),
        };
        for lease in &deliveries {
            self.holding.add(key, lease);
        }
        self.let_go(key, &[event.lease]);
        drop(mine);
        let together = if chance.random_bool(0.5) {
            SINKS.len()
        } else {
            1
        };
        for leases in deliveries.chunks(together) {
            self.deliver(leases, key, chance).await;
        }
    }

    /// Deliveries of one event that end in one write.
    async fn deliver(&self, leases: &[Lease], key: Key, chance: &mut StdRng) {
        let _mine = self.hold(key).await;
        let (mut said, mut ends) = (Vec::new(), Vec::new());
        for lease in leases {
            let Task::Deliver(sink) = lease.task().clone() else {
                panic!("no delivery: {lease:?}");
            };
            let reason = Reason::new(Cause::Internal, "no");
            let (end, how) = match chance.random_range(0..10) {
                0..7 => {
                    let at = self.clock.now();
                    (
                        End::Delivered,
                        DeliveryEnd::Delivered {
                            at,
                            applied_by: None,
                        },
                    )
                }
                7..9 => {
                    let at = self.clock.monotonic();
                    (End::Pending, DeliveryEnd::Retry { at, reason })
                }
                _ => (End::Dead, DeliveryEnd::Dead { reason }),
            };
            said.push((sink, end));
            let (lease, how) = (lease.clone(), How::Delivery(how));
            ends.push(journal::End {
                lease,
                how,
                took: std::time::Duration::ZERO,
                instance: "one".into(),
            });
        }
        let number = self.teller.begin(Act::Deliveries(key, said));
        let ended = self.journal.finish(ends).await.unwrap();
        let lost = ended.iter().filter(|ended| **ended == Ended::Lost).count();
        assert!(lost == 0 || lost == ended.len(), "some are lost: {ended:?}");
        self.teller.end(number, fate(&ended[0]));
        self.let_go(key, leases);
    }

    /// Work on it has ended: a replay that waited for that has begun with it.
    fn let_go(&self, key: Key, ended: &[Lease]) {
        if self.holding.remove(key, ended) {
            self.teller.freed(key);
        }
    }

    /// A few links, each with a version that no other has.
    fn links(&self, chance: &mut StdRng) -> Vec<(u32, u64)> {
        (0..chance.random_range(0..3))
            .map(|n| (n, chance.random()))
            .collect()
    }
}

fn key_of(event: &ClaimedEvent) -> Key {
    let encounter = event.receipt.encounter_id.as_ref().unwrap();
    Key::of_encounter(encounter.as_str()).unwrap()
}

/// What was found before, with these links in it.
fn updated(event: &ClaimedEvent, key: Key, links: &[(u32, u64)]) -> Vec<Linked> {
    let mut linked = event.found.links.clone();
    for &(n, version) in links {
        let new = fetched(n, key.resource(n, version));
        match linked.iter_mut().find(|old| old.link.n == n) {
            Some(old) => *old = new,
            None => linked.push(new),
        }
    }
    linked
}

/// What there is, is there. With `is_held` whoever retrieved it delivers it.
pub fn deliver(sinks: Vec<String>, is_held: bool, links: Vec<Linked>) -> Retrieval {
    let planned = sinks.into_iter().map(|sink| Planned { sink, is_held });
    Retrieval::Deliver {
        refresh_at: None,
        found: found(links),
        sinks: planned.collect(),
    }
}

fn fate(ended: &Ended) -> Fate {
    match ended {
        Ended::Kept { .. } => Fate::Kept,
        Ended::Lost => Fate::Refused,
    }
}
