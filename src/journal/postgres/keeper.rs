//! The connection beside the pool: migrates the schema, then listens to the announcements of other instances, announces
//! the events that this instance stores, and sends the heartbeat. When it breaks, it is made again, with backoff.
//!
//! An announcement only saves a wait: an event whose announcement is lost is found by the next regular claim.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_postgres::{Client, Notification};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::connect::Connector;
use super::error::within;
use super::instance::{Alive, RENEW};
use super::migrate::migrate;
use super::pool::Availability;
use crate::domain::EventId;
use crate::journal::Error;

/// The channel's name in the database.
const CHANNEL: &str = "suki_receiver_due";
/// The shortest time between two announcements. A NOTIFY takes a database-wide lock when it commits, so there is not
/// one for each batch, and never one in a batch's own transaction.
const DEBOUNCE: Duration = Duration::from_millis(25);
/// How long the connection may be silent.
const SILENT: Duration = Duration::from_secs(5);
/// The longest time to connect.
const CONNECT: Duration = Duration::from_secs(6);
/// How many announcements may wait to be read; further ones are dropped, since one is as good as many.
const HEARD: usize = 64;
/// The backoff between attempts to connect.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// The keeper of this connection.
pub(super) struct Keeper {
    /// Makes the connection.
    pub(super) connector: Connector,
    /// Set when the database may be used.
    pub(super) availability: watch::Sender<Availability>,
    /// The newest event that this instance has stored.
    pub(super) kept: watch::Receiver<Option<EventId>>,
    /// Receives the announcements of other instances.
    pub(super) heard: mpsc::Sender<EventId>,
    /// This instance's id.
    pub(super) owner: Uuid,
    /// Updated by each heartbeat.
    pub(super) alive: Alive,
}

impl Keeper {
    /// Keeps the connection. Never returns.
    pub(super) async fn run(mut self) {
        let mut pause = SHORTEST;
        loop {
            let Err(error) = self.session(&mut pause).await;
            tracing::warn!(error = %error, "the connection for notifications and heartbeats to the database is down; connecting again");
            self.availability.send_if_modified(|availability| {
                let is_news = !matches!(availability, Availability::Ready);
                if is_news {
                    *availability = Availability::Unready(error);
                }
                is_news
            });
            // Between half of the pause and all of it, so that instances that lost the server together do not reconnect
            // together.
            let jittered = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            pause = (pause * 2).min(LONGEST);
            tokio::time::sleep(jittered).await;
        }
    }

    /// The lifetime of one connection. Returns when it breaks.
    async fn session(&mut self, pause: &mut Duration) -> Result<Infallible, Error> {
        let (sender, notifications) = mpsc::channel(HEARD);
        let (mut client, driver) = within(CONNECT, async {
            Ok(self.connector.connect(Some(sender)).await?)
        })
        .await?;
        let _driver = AbortOnDropHandle::new(driver);
        // For every connection: the address may by now lead to another database, such as one from a backup.
        migrate(&mut client).await?;
        let listen = format!("LISTEN {CHANNEL}");
        within(SILENT, async { Ok(client.batch_execute(&listen).await?) }).await?;
        within(SILENT, self.alive.beat(&client, self.owner)).await?;
        self.availability.send_replace(Availability::Ready);
        *pause = SHORTEST;
        tokio::select! {
            ended = listen_to(notifications, &self.heard, self.owner) => ended,
            ended = announce(&client, &mut self.kept, self.owner) => ended,
            ended = heartbeats(&client, &self.alive, self.owner, &self.heard) => ended,
        }
    }
}

/// Forwards the announcements of other instances.
async fn listen_to(
    mut notifications: mpsc::Receiver<Notification>,
    heard: &mpsc::Sender<EventId>,
    owner: Uuid,
) -> Result<Infallible, Error> {
    let own = owner.to_string();
    while let Some(notification) = notifications.recv().await {
        let Some((sender, event)) = notification.payload().split_once(' ') else {
            continue;
        };
        if sender != own
            && let Ok(event) = event.parse()
        {
            heard.try_send(event).ok();
        }
    }
    Err(Error::Unreachable {
        reason: "the connection that listens was closed".to_owned(),
    })
}

/// Announces the newest event that was stored. One is enough: whoever receives it claims all due work.
async fn announce(
    client: &Client,
    kept: &mut watch::Receiver<Option<EventId>>,
    owner: Uuid,
) -> Result<Infallible, Error> {
    loop {
        if kept.changed().await.is_err() {
            // The store is gone; this task is about to be stopped.
            std::future::pending::<()>().await;
        }
        let Some(event) = *kept.borrow_and_update() else {
            continue;
        };
        let payload = format!("{owner} {event}");
        within(SILENT, async {
            client
                .execute("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload])
                .await?;
            Ok(())
        })
        .await?;
        tokio::time::sleep(DEBOUNCE).await;
    }
}

/// Sends the heartbeat. This also detects a connection that is open on this side only.
async fn heartbeats(
    client: &Client,
    alive: &Alive,
    owner: Uuid,
    heard: &mpsc::Sender<EventId>,
) -> Result<Infallible, Error> {
    loop {
        tokio::time::sleep(RENEW).await;
        if within(SILENT, alive.beat(client, owner)).await? {
            // There is work to claim, as if another instance had announced an event.
            heard.try_send(EventId::generate()).ok();
        }
    }
}
