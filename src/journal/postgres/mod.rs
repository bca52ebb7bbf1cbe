//! The shared store: a PostgreSQL database, for several instances behind a load balancer.
//!
//! A pool of connections works, and one beside it listens to the other instances. What several instances do at once is
//! decided by the database: duplicates by its unique index, claims by its row locks, time by its clock. All SQL is in this
//! folder.

mod address;
mod append;
mod connect;
mod content;
mod counts;
mod error;
mod finish;
mod insert;
mod inspect;
mod instance;
mod keeper;
mod late;
mod list;
mod migrate;
mod operate;
mod pool;
mod progress;
mod query;
mod rejected;
mod requeue;
mod retain;
mod row;
mod server_clock;
mod work;
mod writes;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::append::Intake;
use self::connect::Connector;
use self::error::within;
use self::instance::Alive;
use self::keeper::Keeper;
use self::pool::{Availability, Pool};
use self::server_clock::ServerClock;
use super::{
    Access, AuditEntry, Bounds, Claimed, End, Ended, Error, EventDetail, Expiry, Filter, Kept,
    Lease, NewEvent, Page, Purged, RejectedRequest, ReplayFrom, Replayed, Requeued, Stats, Store,
    Wanted,
};
use crate::config::{self, PostgresUrl};
use crate::domain::{Clock, EventId, Millis, Notification};
use crate::lifecycle::TaskGroup;
use crate::metrics::Metrics;

/// Longest time for one call's work, once it has a connection.
const WORK: Duration = Duration::from_secs(15);
/// Most looks of operators at once, and the longest of one. The server ends what is left of it (see `connect`).
const LOOKS: usize = 4;
const LOOK: Duration = Duration::from_secs(10);
/// Longest time for an inspection, which reads everything.
const INSPECTION: Duration = Duration::from_secs(24 * 3600);
/// Announcements of other instances that wait for the worker; one is as good as many.
const ANNOUNCED: usize = 16;
/// How long a close waits for what is queued. Each batch has a deadline of its own.
const CLOSING: Duration = Duration::from_secs(15);

/// The shared store.
pub struct PostgresStore {
    connector: Connector,
    intake: Mutex<Option<Arc<Intake>>>,
    pool: Pool,
    intake_pool: Pool,
    /// Operators' reads, and the look whether all is well, have connections of their own.
    looks: Pool,
    health: Pool,
    heard: tokio::sync::Mutex<mpsc::Receiver<EventId>>,
    batches: TaskGroup,
    keeper: TaskGroup,
    owner: Uuid,
    alive: Alive,
    clock: ServerClock,
    look_deadline: Duration,
    /// Kept so that a guest, who has no keeper, is ready for good.
    _availability: Option<watch::Sender<Availability>>,
}

impl PostgresStore {
    /// A store on the database at `url`, which need not be there yet: connections are made in the background, and until
    /// then every call is an error. Of `settings`, all but the address and the deadline are used. Must be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// What can be seen to be wrong without the server: a CA file that cannot be used.
    pub fn open(
        settings: &config::Store,
        url: &PostgresUrl,
        access: Access,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let connector = Connector::new(settings, url)?;
        let owner = Uuid::now_v7();
        let alive = Alive::new();
        let (kept, newest) = watch::channel(None);
        let (tell, heard) = mpsc::channel(ANNOUNCED);
        let (batches, keeper) = (
            TaskGroup::new("journal intake"),
            TaskGroup::new("journal listener"),
        );
        let first = match access {
            Access::Owner { .. } | Access::Successor { .. } => Availability::Starting,
            // A guest leaves the schema as it is, and listens to nobody.
            Access::Guest => Availability::Ready,
        };
        let (availability, known) = watch::channel(first);
        let pool = Pool::new(connector.clone(), settings.pool_size, known.clone())?;
        let looks = Pool::new(connector.clone(), LOOKS, known.clone())?;
        let health = Pool::new(connector.clone(), 1, known.clone())?;
        let intake_pool = Pool::new(connector.clone(), append::AT_ONCE, known)?;
        let mut guests = None;
        match access {
            Access::Owner { .. } | Access::Successor { .. } => {
                let task = Keeper {
                    connector: connector.clone(),
                    availability,
                    kept: newest,
                    heard: tell,
                    owner,
                    alive: alive.clone(),
                };
                keeper.spawn("journal listener", task.run(keeper.clone()));
            }
            Access::Guest => guests = Some(availability),
        }
        let intake = Intake::spawn(
            intake_pool.clone(),
            settings.queue,
            settings.deadline,
            metrics,
            (kept, owner),
            &batches,
        );
        Ok(Self {
            connector,
            intake: Mutex::new(Some(Arc::new(intake))),
            pool,
            intake_pool,
            looks,
            health,
            look_deadline: match access {
                Access::Owner { .. } | Access::Successor { .. } => LOOK,
                Access::Guest => INSPECTION,
            },
            heard: tokio::sync::Mutex::new(heard),
            batches,
            keeper,
            owner,
            alive,
            clock: ServerClock::new(clock),
            _availability: guests,
        })
    }

    /// What can be seen to be wrong without the server.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub fn check_settings(settings: &config::Store, url: &PostgresUrl) -> Result<(), Error> {
        Connector::new(settings, url).map(|_| ())
    }

    fn intake(&self) -> Result<Arc<Intake>, Error> {
        self.intake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(Error::Closed)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn append(&self, event: Arc<NewEvent>, hold: bool) -> Result<Kept, Error> {
        let hold = hold && self.alive.is_so();
        self.intake()?.append(event, hold).await
    }

    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, Error> {
        let lent = self.pool.lend().await?;
        let work = work::claim(&lent, self.clock, self.owner, &wanted);
        let claimed = within(WORK, work).await;
        lent.settle(claimed)
    }

    async fn finish(&self, ends: Vec<End>) -> Result<Vec<Ended>, Error> {
        let mut lent = self.pool.lend().await?;
        let work = finish::finish(&mut lent, self.clock, self.owner, &ends);
        let ended = within(WORK, work).await;
        lent.settle(ended)
    }

    async fn held(&self) -> Result<Vec<Lease>, Error> {
        let lent = self.pool.lend().await?;
        let held = within(WORK, work::held(&lent, self.owner)).await;
        lent.settle(held)
    }

    async fn give_back(&self, leases: Vec<Lease>, now: Millis) -> Result<(), Error> {
        let mut lent = self.pool.lend().await?;
        let given = within(WORK, work::give_back(&mut lent, self.clock, &leases, now)).await;
        lent.settle(given)
    }

    fn is_alive(&self) -> bool {
        self.alive.is_so()
    }

    async fn lost(&self) {
        self.alive.lost().await;
    }

    async fn event(&self, id: EventId) -> Result<Option<EventDetail>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, query::event(&lent, id)).await;
        lent.settle(found)
    }

    async fn payload(&self, id: EventId) -> Result<Option<Bytes>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, query::payload(&lent, id)).await;
        lent.settle(found)
    }

    async fn resource(&self, id: EventId, n: u32) -> Result<Option<Bytes>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, query::resource(&lent, id, n)).await;
        lent.settle(found)
    }

    async fn list(&self, filter: Filter, limit: usize, cursor: Option<i64>) -> Result<Page, Error> {
        let lent = self.looks.lend().await?;
        let page = look(
            self.look_deadline,
            list::list(&lent, &filter, limit, cursor),
        )
        .await;
        lent.settle(page)
    }

    async fn stats(&self) -> Result<Stats, Error> {
        let lent = self.looks.lend().await?;
        let stats = look(self.look_deadline, query::stats(&lent)).await;
        lent.settle(stats)
    }

    async fn replay(
        &self,
        id: EventId,
        from: ReplayFrom,
        sinks: Vec<String>,
        actor: String,
    ) -> Result<Replayed, Error> {
        let mut lent = self.pool.lend().await?;
        let work = operate::replay(&mut lent, id, from, &sinks, &actor);
        let replayed = within(WORK, work).await;
        lent.settle(replayed)
    }

    async fn requeue(
        &self,
        id: EventId,
        notification: Box<Notification>,
        actor: String,
    ) -> Result<Requeued, Error> {
        let mut lent = self.pool.lend().await?;
        let work = requeue::requeue(&mut lent, id, &notification, &actor);
        let requeued = within(WORK, work).await;
        lent.settle(requeued)
    }

    async fn orphans(&self, configured: Vec<String>) -> Result<Vec<(String, u64)>, Error> {
        let lent = self.looks.lend().await?;
        let found = look(self.look_deadline, address::orphans(&lent, &configured)).await;
        lent.settle(found)
    }

    async fn drop_deliveries(
        &self,
        sink: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let mut lent = self.pool.lend().await?;
        let work = address::drop_deliveries(&mut lent, &sink, limit, &actor);
        let dropped = within(WORK, work).await;
        lent.settle(dropped)
    }

    async fn readdress(
        &self,
        from: String,
        to: String,
        limit: usize,
        actor: String,
    ) -> Result<usize, Error> {
        let mut lent = self.pool.lend().await?;
        let work = address::readdress(&mut lent, &from, &to, limit, &actor);
        let given = within(WORK, work).await;
        lent.settle(given)
    }

    async fn purge(&self, id: EventId, actor: String) -> Result<bool, Error> {
        let mut lent = self.pool.lend().await?;
        let purged = within(WORK, operate::purge(&mut lent, id, &actor)).await;
        lent.settle(purged)
    }

    async fn retain(&self, expiry: Expiry, limit: usize) -> Result<Purged, Error> {
        let lent = self.pool.lend().await?;
        let purged = within(WORK, retain::retain(&lent, self.clock, expiry, limit)).await;
        lent.settle(purged)
    }

    async fn keep_rejected(
        &self,
        requests: Vec<RejectedRequest>,
        bounds: Bounds,
    ) -> Result<(), Error> {
        let mut lent = self.pool.lend().await?;
        let kept = within(WORK, rejected::keep(&mut lent, &requests, bounds)).await;
        lent.settle(kept)
    }

    async fn rejected(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RejectedRequest)>, Error> {
        let lent = self.pool.lend().await?;
        let found = within(WORK, rejected::list(&lent, after, limit)).await;
        lent.settle(found)
    }

    async fn forget_rejected(&self, numbers: Vec<i64>) -> Result<(), Error> {
        let lent = self.pool.lend().await?;
        let forgotten = within(WORK, rejected::forget(&lent, &numbers)).await;
        lent.settle(forgotten)
    }

    async fn audit(&self, entry: AuditEntry) -> Result<(), Error> {
        let lent = self.pool.lend().await?;
        let written = within(WORK, operate::audit(&lent, &entry)).await;
        lent.settle(written)
    }

    async fn audit_log(&self, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let lent = self.looks.lend().await?;
        let entries = look(self.look_deadline, query::audit_log(&lent, limit)).await;
        lent.settle(entries)
    }

    async fn inspect(&self) -> Result<Vec<String>, Error> {
        let mut lent = self.pool.lend().await?;
        let problems = within(INSPECTION, inspect::inspect(&mut lent)).await;
        lent.settle(problems)
    }

    async fn announced(&self) -> EventId {
        match self.heard.lock().await.recv().await {
            Some(id) => id,
            // A guest, or a store that is closed.
            None => std::future::pending().await,
        }
    }

    async fn check(&self) -> Result<(), Error> {
        let lent = self.health.lend().await?;
        let written = within(WORK, counts::touch(&lent)).await;
        lent.settle(written)
    }

    fn reload(&self, settings: &config::Store) {
        self.connector.set_password(settings.password.clone());
    }

    async fn close(&self) {
        drop(
            self.intake
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        if !self.batches.finished(Instant::now() + CLOSING).await {
            tracing::error!(
                "the store was closed with writes under way; their senders were not answered"
            );
        }
        self.keeper.stop();
        self.keeper
            .finished(Instant::now() + Duration::from_secs(1))
            .await;
        // Others need not wait for it to be taken for dead.
        if self.alive.is_so()
            && let Ok(lent) = self.pool.lend().await
        {
            let left = within(WORK, instance::leave(&lent, self.owner)).await;
            lent.settle(left).ok();
        }
        self.pool.close();
        self.intake_pool.close();
        self.looks.close();
        self.health.close();
    }
}

/// The work, or an error that says what to do when it takes longer than `limit`.
async fn look<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(Error::TooSlow(limit)))
}

/// A store that is let go without being closed, as by a crash, must not go on listening.
impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.keeper.stop();
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresStore")
    }
}
