//! What operators, retention and a stop do to the journal meanwhile.

use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use suki_receiver::domain::EventId;
use suki_receiver::journal::{AuditEntry, Expiry, ReplayFrom, Replayed};

use super::SINKS;
use super::content::Key;
use super::drive::Shared;
use super::history::Fate;
use super::standing::{Act, Again};

impl Shared {
    /// What operators and retention do, and a release now and then.
    pub async fn operate(self: Arc<Self>, round: u64, mut chance: StdRng) {
        for n in 0..self.plan.appends / 2 {
            let Some((id, key)) = self.any_known(&mut chance) else {
                tokio::task::yield_now().await;
                continue;
            };
            match chance.random_range(0..10) {
                0..5 => self.replay(id, key, &mut chance).await,
                5 => self.purge(id, key).await,
                6 => self.retain(chance.random_bool(0.3)).await,
                7 => self.release().await,
                _ => self.audit(format!("{}-{round}-{n}", self.plan.seed)).await,
            }
        }
    }

    async fn replay(&self, id: EventId, key: Key, chance: &mut StdRng) {
        let fetch_anew = chance.random_bool(0.5);
        let sink = chance
            .random_bool(0.3)
            .then(|| SINKS.choose(chance).unwrap().to_string());
        let from = if fetch_anew {
            ReplayFrom::Retrieve
        } else {
            ReplayFrom::Deliver
        };
        let sinks: Vec<_> = sink.iter().cloned().collect();
        let _mine = self.hold(key).await;
        let Some(waits) = self.holding.is_held(key) else {
            return;
        };
        let again = Again { fetch_anew, sink };
        let number = self.teller.begin(Act::Replay { key, again, waits });
        let replayed = self
            .journal
            .records()
            .replay(id, from, sinks, "me".to_owned())
            .await;
        let fate = match replayed.unwrap() {
            Replayed::Scheduled => Fate::Kept,
            Replayed::NotFound | Replayed::NoContent | Replayed::NotRetrieved => Fate::Refused,
        };
        if waits && matches!(fate, Fate::Kept) {
            self.holding.waits(key);
        }
        self.teller.end(number, fate);
    }

    /// Takes the work away from whoever holds it.
    async fn purge(&self, id: EventId, key: Key) {
        let _mine = self.hold(key).await;
        if self.holding.is_held(key).is_none() {
            return;
        }
        let number = self.teller.begin(Act::Purge(key));
        let purged = self
            .journal
            .records()
            .purge(id, "an operator".to_owned())
            .await;
        let fate = if purged.unwrap() {
            self.holding.forget(key);
            Fate::Kept
        } else {
            Fate::Refused
        };
        self.teller.end(number, fate);
    }

    async fn retain(&self, receipts: bool) {
        let _alone = self.all.write().await;
        let number = self.teller.begin(Act::Retain { receipts });
        let expiry = Expiry {
            content: i64::MAX,
            dead: None,
            quarantined: None,
            receipts: if receipts { i64::MAX } else { i64::MIN },
        };
        let retained = self.journal.records().retain(expiry, 1_000_000);
        retained.await.unwrap();
        self.teller.end(number, Fate::Kept);
    }

    /// Those who still work come too late.
    async fn release(&self) {
        let _alone = self.all.write().await;
        self.journal.release().await.unwrap();
        for key in self.holding.clear() {
            self.teller.freed(key);
        }
    }

    async fn audit(&self, note: String) {
        let entry = AuditEntry {
            reason: None,
            at: self.clock.now(),
            actor: "me".to_owned(),
            action: note.clone(),
            event: None,
        };
        let number = self.teller.begin(Act::Audit(note));
        self.journal.records().audit(entry).await.unwrap();
        self.teller.end(number, Fate::Kept);
    }
}
