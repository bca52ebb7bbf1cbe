//! The connection beside the pool: brings the schema up to date, then listens for what other instances announce and
//! announces what this one has kept, and says that it lives. When it breaks it is made anew, with growing pauses.
//!
//! An announcement only saves a wait: what gets lost is found by the sweep.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_postgres::{Client, Notification};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::connect::Connector;
use super::error::{again, within};
use super::instance::{Alive, RENEW};
use super::migrate::migrate;
use super::pool::Availability;
use crate::domain::EventId;
use crate::journal::Error;

/// The channel's name in the database.
const CHANNEL: &str = "suki_receiver_due";
/// Least time between two announcements. A NOTIFY takes a lock of the whole database when it commits, so it is not sent
/// with each batch, and never in a batch's own transaction.
const DEBOUNCE: Duration = Duration::from_millis(25);
/// For how long the connection may be silent.
const SILENT: Duration = Duration::from_secs(5);
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(6);
/// Announcements that wait to be read; further ones are dropped, since one is as good as many.
const HEARD: usize = 64;
/// Pauses between attempts to connect.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);

/// What the keeper works with.
pub(super) struct Keeper {
    /// Makes the connection.
    pub(super) connector: Connector,
    /// Told when the database may be used.
    pub(super) availability: watch::Sender<Availability>,
    /// The newest event that this instance has kept.
    pub(super) kept: watch::Receiver<Option<EventId>>,
    /// Told what other instances announce.
    pub(super) heard: mpsc::Sender<EventId>,
    /// This instance.
    pub(super) owner: Uuid,
    /// Told that it lives.
    pub(super) alive: Alive,
}

impl Keeper {
    /// Works for ever.
    pub(super) async fn run(mut self) {
        let mut pause = SHORTEST;
        loop {
            let Err(error) = self.session(&mut pause).await;
            tracing::warn!(error = %error, "the connection for notifications and heartbeats to the database is down; connecting again");
            self.availability.send_if_modified(|availability| {
                let is_news = !matches!(availability, Availability::Ready);
                if is_news {
                    *availability = Availability::Unready(Arc::new(again(&error)));
                }
                is_news
            });
            // Between half and all of it, so that instances that lost the server together do not come back together.
            let jittered = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            pause = (pause * 2).min(LONGEST);
            tokio::time::sleep(jittered).await;
        }
    }

    /// One connection's life. Ends when it breaks.
    async fn session(&mut self, pause: &mut Duration) -> Result<Infallible, Error> {
        let (tell, told) = mpsc::channel(HEARD);
        let (mut client, driver) = within(CONNECT, async {
            Ok(self.connector.connect(Some(tell)).await?)
        })
        .await?;
        let _driver = AbortOnDropHandle::new(driver);
        // Each time: behind the address may be another database by now, such as one from a backup.
        migrate(&mut client).await?;
        let listen = format!("LISTEN {CHANNEL}");
        within(SILENT, async { Ok(client.batch_execute(&listen).await?) }).await?;
        within(SILENT, self.alive.say(&client, self.owner)).await?;
        self.availability.send_replace(Availability::Ready);
        *pause = SHORTEST;
        tokio::select! {
            ended = listen_to(told, &self.heard, self.owner) => ended,
            ended = announce(&client, &mut self.kept, self.owner) => ended,
            ended = live(&client, &self.alive, self.owner, &self.heard) => ended,
        }
    }
}

/// Passes on what other instances announce.
async fn listen_to(
    mut told: mpsc::Receiver<Notification>,
    heard: &mpsc::Sender<EventId>,
    owner: Uuid,
) -> Result<Infallible, Error> {
    let own = owner.to_string();
    while let Some(notification) = told.recv().await {
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

/// Announces the newest event that was kept. One is enough: whoever hears it looks for all that is due.
async fn announce(
    client: &Client,
    kept: &mut watch::Receiver<Option<EventId>>,
    owner: Uuid,
) -> Result<Infallible, Error> {
    loop {
        if kept.changed().await.is_err() {
            // The store is gone; the task is about to be stopped.
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

/// Says that this instance lives. Notices a connection that is open on this side only as well.
async fn live(
    client: &Client,
    alive: &Alive,
    owner: Uuid,
    heard: &mpsc::Sender<EventId>,
) -> Result<Infallible, Error> {
    loop {
        tokio::time::sleep(RENEW).await;
        if within(SILENT, alive.say(client, owner)).await? {
            // There is something to claim, as if another instance had said so.
            heard.try_send(EventId::generate()).ok();
        }
    }
}
