//! The participants: the receivers as processes, a simulated vendor, a partner's endpoint and, with a shared store, a
//! proxy to the database that can be cut.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::inbox::Inbox;
use super::instance::{Instance, TOKEN};
use crate::lab::simulator::{Options, Proxy, Sdp};

/// The secret with which notifications and deliveries are signed.
pub(super) const SECRET: &str = "torture-secret";

/// All participants, running.
pub(super) struct Stage {
    /// The receivers: one on the embedded store, two on a shared one.
    pub(super) instances: Vec<Mutex<Instance>>,
    /// The address of each receiver's webhook.
    pub(super) webhooks: Vec<Url>,
    /// The address at which sessions are registered with each receiver.
    pub(super) registrations: Vec<Url>,
    /// The simulated vendor.
    pub(super) vendor: Vendor,
    /// The partner's endpoint.
    pub(super) inbox: Inbox,
    /// The proxy to the database.
    pub(super) database: Option<Proxy>,
    /// The folder with all files.
    pub(super) dir: PathBuf,
}

/// The simulated API, which can go down and come back on the same port.
pub(super) struct Vendor {
    /// The API.
    pub(super) sdp: Sdp,
    address: SocketAddr,
    serving: std::sync::Mutex<CancellationToken>,
}

impl Stage {
    /// Starts all participants.
    pub(super) async fn build(store: Option<&Url>, seed: u64) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("suki-receiver-torture-")
            .tempdir()
            .context("cannot make a temporary folder")?
            .keep();
        let vendor = Vendor::start(seed).await?;
        let (inbox, inbox_address) = Inbox::start().await?;
        let (database, url, count) = match store {
            None => (None, None, 1),
            Some(store) => {
                let (proxy, url) = cable(store).await?;
                (Some(proxy), Some(url), 2)
            }
        };
        let (mut instances, mut webhooks, mut registrations) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..count {
            let home = dir.join(format!("instance-{n}"));
            let settings = format!(
                include_str!("receiver.toml"),
                token = TOKEN,
                secret = SECRET,
                store = url.clone().unwrap_or_else(|| format!(
                    "sqlite:{}",
                    home.join("data/receiver.db").display()
                )),
                // With a shared store the deadline is short, so that the spool takes over soon when the database does
                // not answer. An embedded store has no spool: only a full disk may make it refuse, not a busy machine.
                deadline = if url.is_some() { "2s" } else { "10s" },
                spool = home.join("spool").display(),
                sdp = vendor.address,
                out = dir.join("delivered").display(),
                inbox = inbox_address,
                name = n,
            );
            let instance = Instance::start(&home, &settings).await?;
            if let Some(total) = instance.stats().await?["total"].as_u64()
                && total > 0
            {
                bail!("the store holds {total} events; torture needs an empty one of its own");
            }
            webhooks.push(Url::parse(&format!(
                "http://{}/webhooks/notification",
                instance.public
            ))?);
            registrations.push(Url::parse(&format!(
                "http://{}/api/v1/sessions",
                instance.admin
            ))?);
            instances.push(Mutex::new(instance));
        }
        Ok(Self {
            instances,
            webhooks,
            registrations,
            vendor,
            inbox,
            database,
            dir,
        })
    }

    /// Stops the receivers for good, and returns what was wrong with their ends.
    pub(super) async fn finish(&self) -> anyhow::Result<Vec<String>> {
        let mut ends = Vec::new();
        for instance in &self.instances {
            ends.extend(instance.lock().await.finish().await?);
        }
        Ok(ends)
    }
}

impl Vendor {
    async fn start(seed: u64) -> anyhow::Result<Self> {
        let options = Options {
            seed,
            ..Options::default()
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let vendor = Self {
            sdp: Sdp::new(&options),
            address: listener.local_addr()?,
            serving: std::sync::Mutex::default(),
        };
        vendor.serve(listener);
        Ok(vendor)
    }

    /// Goes down: calls in progress are cut off, new ones refused.
    pub(super) fn shut(&self) {
        self.serving().cancel();
    }

    /// Comes back on the same port.
    pub(super) async fn reopen(&self) -> anyhow::Result<()> {
        self.serve(TcpListener::bind(self.address).await?);
        Ok(())
    }

    fn serve(&self, listener: TcpListener) {
        let stop = CancellationToken::new();
        *self.serving() = stop.clone();
        let sdp = self.sdp.clone();
        tokio::spawn(async move { sdp.serve(listener, stop).await });
    }

    fn serving(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.serving
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Starts a proxy to the database, and returns it with the database's address through it.
async fn cable(store: &Url) -> anyhow::Result<(Proxy, String)> {
    let host = store
        .host_str()
        .filter(|host| !host.is_empty())
        .context("--store names no host; use postgres://USER@HOST:PORT/DATABASE")?;
    let port = store.port().unwrap_or(5432);
    let proxy = Proxy::start(format!("{host}:{port}")).await?;
    let mut through = store.clone();
    let address = proxy.address();
    through.set_host(Some(&address.ip().to_string()))?;
    if through.set_port(Some(address.port())).is_err() {
        bail!("--store has no place for a port");
    }
    Ok((proxy, through.to_string()))
}
