//! The shared store: a PostgreSQL database, for several instances behind a load balancer.
//!
//! A pool of connections does the work, and one more connection listens to the other instances. The database resolves
//! conflicts between instances: duplicates by its unique index, claims by its row locks, time by its clock. All SQL is
//! in this folder.

mod address;
mod alerts;
mod append;
mod applied;
mod audit;
mod cause_notes;
mod connect;
mod content;
mod counts;
mod error;
mod expectation;
mod expected;
mod finish;
mod insert;
mod inspect;
mod instance;
mod keeper;
mod late;
mod list;
mod migrate;
mod operate;
mod pauses;
mod pool;
mod progress;
mod query;
mod rejected;
mod repeat;
mod replays;
mod requeue;
mod retain;
mod row;
mod server_clock;
mod statements;
mod store;
mod work;
mod writes;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Client;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::append::Intake;
use self::connect::Connector;
use self::instance::Alive;
use self::keeper::Keeper;
use self::pool::{Availability, Pool};
use self::server_clock::ServerClock;
use super::{Access, Error, OpenError};
use crate::config::{self, PostgresUrl};
use crate::domain::{Clock, EventId};
use crate::lifecycle::TaskGroup;
use crate::metrics::Metrics;

/// The longest time for one call's work, once it has a connection.
const WORK: Duration = Duration::from_secs(15);
/// The most concurrent queries of operators, and the longest time of one. The server ends whatever runs longer (see
/// `connect`).
const QUERIES: usize = 4;
const QUERY: Duration = Duration::from_secs(10);
/// The longest time for an inspection, which reads everything.
const INSPECTION: Duration = Duration::from_secs(24 * 3600);
/// How many announcements of other instances may wait for the worker; one is as good as many.
const ANNOUNCED: usize = 16;
/// How long a close waits for queued writes. Each batch has a deadline of its own.
const CLOSING: Duration = Duration::from_secs(15);

/// The shared store.
pub struct PostgresStore {
    connector: Connector,
    intake: Mutex<Option<Arc<Intake>>>,
    pool: Pool,
    intake_pool: Pool,
    /// Operators' queries and the health check have connections of their own.
    query_pool: Pool,
    health: Pool,
    heard: tokio::sync::Mutex<mpsc::Receiver<EventId>>,
    batches: TaskGroup,
    keeper: TaskGroup,
    owner: Uuid,
    alive: Alive,
    clock: ServerClock,
    query_deadline: Duration,
    /// Kept alive for a guest, which has no keeper and is always ready.
    _availability: Option<watch::Sender<Availability>>,
}

impl PostgresStore {
    /// A store on the database at `url`, which need not exist yet: connections are made in the background, and until
    /// then every call is an error. All of `settings` but the address and the deadline is used. Must be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    /// When the settings are wrong in a way that shows without the server: the CA file cannot be used.
    pub fn open(
        settings: &config::Store,
        url: &PostgresUrl,
        access: Access,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, OpenError> {
        let connector = Connector::new(settings, url)?;
        let owner = Uuid::now_v7();
        let alive = Alive::new();
        let (kept, newest) = watch::channel(None);
        let (announced, heard) = mpsc::channel(ANNOUNCED);
        let (batches, keeper) = (
            TaskGroup::new("journal intake"),
            TaskGroup::new("journal listener"),
        );
        let first = match access {
            Access::Owner { .. } | Access::Successor { .. } => Availability::Starting,
            // A guest does not migrate, and listens to no announcements.
            Access::Guest => Availability::Ready,
        };
        let (availability, known) = watch::channel(first);
        let pool = Pool::new(connector.clone(), settings.pool_size, known.clone())?;
        let query_pool = Pool::new(connector.clone(), QUERIES, known.clone())?;
        let health = Pool::new(connector.clone(), 1, known.clone())?;
        let intake_pool = Pool::new(connector.clone(), append::AT_ONCE as usize, known)?;
        let mut guests = None;
        match access {
            Access::Owner { .. } | Access::Successor { .. } => {
                let task = Keeper {
                    connector: connector.clone(),
                    availability,
                    kept: newest,
                    heard: announced,
                    owner,
                    alive: alive.clone(),
                };
                keeper.spawn_until_stopped("journal listener", task.run());
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
            query_pool,
            health,
            query_deadline: match access {
                Access::Owner { .. } | Access::Successor { .. } => QUERY,
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

    /// Checks the settings as far as that is possible without the server.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub fn check_settings(settings: &config::Store, url: &PostgresUrl) -> Result<(), OpenError> {
        Connector::new(settings, url).map(|_| ())
    }

    /// Runs a piece of the worker's work on a connection.
    async fn work<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.pool.run(WORK, work).await
    }

    /// Runs an operator's query on a connection. When it takes too long, the error says what to do.
    async fn query<T>(
        &self,
        query: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let limit = self.query_deadline;
        let lent = self.query_pool.lend().await?;
        let found = tokio::time::timeout(limit, query(&lent)).await;
        lent.settle(found.unwrap_or(Err(Error::TooSlow(limit))))
    }

    fn intake(&self) -> Result<Arc<Intake>, Error> {
        self.intake
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
            .ok_or(Error::Closed)
    }
}

/// A store that is dropped without being closed, as in a simulated crash, must stop listening.
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
