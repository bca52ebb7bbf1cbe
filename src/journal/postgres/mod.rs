//! The shared store: a PostgreSQL database, for several instances behind a load balancer.
//!
//! A pool of connections works, and one beside it listens to the other instances. What several instances do at once is
//! decided by the database: duplicates by its unique index, claims by its row locks, time by its clock. All SQL is in this
//! folder.

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

use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use self::append::Intake;
use self::connect::Connector;
use self::instance::Alive;
use self::keeper::Keeper;
use self::pool::{Availability, Pool};
use self::server_clock::ServerClock;
use super::{Access, Error};
use crate::config::{self, PostgresUrl};
use crate::domain::{Clock, EventId};
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
