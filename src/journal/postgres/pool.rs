//! The pool: lends connections within a deadline, and closes those whose work was cut off.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Object, RecyclingMethod, Runtime};
use tokio::sync::watch;

use super::connect::Connector;
use super::error::{class, within};
use crate::journal::Error;

/// The longest wait for a free connection, and for a new one.
const WAIT: Duration = Duration::from_secs(5);
const CREATE: Duration = Duration::from_secs(6);
/// The longest wait at the very start, while it is unknown whether the server can be reached.
const FIRST: Duration = Duration::from_secs(1);

/// Whether the database may be used.
#[derive(Debug, Clone)]
pub(super) enum Availability {
    /// The first attempt is under way.
    Starting,
    /// The server was reached, and the schema is this version's.
    Ready,
    /// The database could not be used so far, for this reason.
    Unready(Error),
}

/// Connections to the database. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool {
    connections: deadpool_postgres::Pool,
    availability: watch::Receiver<Availability>,
}

/// A connection on loan. It returns to the pool only when its work has ended in a known state: a connection that is
/// dropped halfway is closed.
pub(super) struct PooledConnection {
    client: Option<Client>,
    pool: Pool,
}

impl Pool {
    /// At most `size` connections, each made when it is first needed.
    pub(super) fn new(
        connector: Connector,
        size: usize,
        availability: watch::Receiver<Availability>,
    ) -> Result<Self, Error> {
        let manager = Manager::from_connect(
            connector.config(),
            connector,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(CREATE))
            .recycle_timeout(Some(WAIT))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unreachable {
                reason: error.to_string(),
            })?;
        Ok(Self {
            connections,
            availability,
        })
    }

    /// Lends a connection.
    pub(super) async fn lend(&self) -> Result<PooledConnection, Error> {
        self.ready().await?;
        let client = self.connections.get().await?;
        Ok(PooledConnection {
            client: Some(client),
            pool: self.clone(),
        })
    }

    /// Runs work on one of the connections, and fails when it takes longer than `limit`.
    pub(super) async fn run<T>(
        &self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut lent = self.lend().await?;
        let ended = within(limit, work(&mut lent)).await;
        lent.settle(ended)
    }

    /// Closes idle connections: they are most likely as broken as the one that has just failed.
    pub(super) fn close_idle(&self) {
        self.connections.retain(|_, _| false);
    }

    /// Closes idle connections; those on loan are closed when they come back.
    pub(super) fn close(&self) {
        self.connections.close();
    }

    async fn ready(&self) -> Result<(), Error> {
        let mut availability = self.availability.clone();
        let known =
            availability.wait_for(|availability| !matches!(availability, Availability::Starting));
        let known = tokio::time::timeout(FIRST, known).await;
        match known {
            Ok(Ok(availability)) => match &*availability {
                Availability::Ready => Ok(()),
                Availability::Unready(error) => Err(error.clone()),
                Availability::Starting => Err(not_yet()),
            },
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => Err(not_yet()),
        }
    }
}

fn not_yet() -> Error {
    Error::Unreachable {
        reason: "it has not answered yet".to_owned(),
    }
}

impl PooledConnection {
    /// Returns the connection to the pool or closes it, depending on how its work ended.
    pub(super) fn settle<T>(mut self, ended: Result<T, Error>) -> Result<T, Error> {
        let Err(error) = &ended else {
            self.give_back();
            return ended;
        };
        match error {
            // The server has become read-only or is shutting down, which affects the other connections as well.
            Error::Database { code, .. } if code == "25006" || class(error) == Some("57") => {
                self.pool.close_idle();
            }
            Error::Unreachable { .. } => self.pool.close_idle(),
            Error::Database { .. } | Error::Corrupt { .. } => self.give_back(),
            _ => {}
        }
        ended
    }

    fn give_back(&mut self) {
        drop(self.client.take());
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

impl Deref for PooledConnection {
    type Target = Client;

    #[allow(clippy::expect_used, reason = "only settle and drop take it")]
    fn deref(&self) -> &Client {
        self.client.as_ref().expect("a loan has its connection")
    }
}

impl DerefMut for PooledConnection {
    #[allow(clippy::expect_used, reason = "only settle and drop take it")]
    fn deref_mut(&mut self) -> &mut Client {
        self.client.as_mut().expect("a loan has its connection")
    }
}
