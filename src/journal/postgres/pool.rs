//! The pool: lends connections within a deadline, and throws away those whose work was cut off.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Object, RecyclingMethod, Runtime};
use tokio::sync::watch;

use super::connect::Connector;
use super::error::{again, class};
use crate::journal::Error;

/// Longest wait for a free connection, and for a new one.
const WAIT: Duration = Duration::from_secs(5);
const CREATE: Duration = Duration::from_secs(6);
/// Longest wait at the very start, while nobody knows yet whether the server is there.
const FIRST: Duration = Duration::from_secs(1);

/// Whether the database may be used.
#[derive(Debug, Clone)]
pub(super) enum Availability {
    /// The first attempt is under way.
    Starting,
    /// It was reached, and its schema is this version's.
    Ready,
    /// It has not been so far, and why.
    Unready(Arc<Error>),
}

/// Connections to the database. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pool {
    connections: deadpool_postgres::Pool,
    availability: watch::Receiver<Availability>,
}

/// A connection on loan. It goes back to the pool only when its work has ended well enough to know how it stands: one
/// that is dropped in the middle is closed.
pub(super) struct PooledConnection {
    client: Option<Client>,
    pool: Pool,
}

impl Pool {
    /// At most `size` connections. None is made before it is needed.
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

    /// Closes what is idle: it is most likely no better than what has just failed.
    pub(super) fn close_idle(&self) {
        self.connections.retain(|_, _| false);
    }

    /// Closes what is idle; what is on loan is closed when it comes back.
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
                Availability::Unready(error) => Err(again(error)),
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
    /// Gives the connection back, or closes it, after the work that ended so.
    pub(super) fn settle<T>(mut self, ended: Result<T, Error>) -> Result<T, Error> {
        let Err(error) = &ended else {
            self.give_back();
            return ended;
        };
        match error {
            // The server that was written to takes no writes any more, or is going away: so it is for the others.
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
