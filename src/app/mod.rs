//! The service as a whole: built in the order of its dependencies, run until it is told to stop, then drained in a
//! fixed order.

mod about;
mod admin_token;
mod canary;
mod certificates;
mod chain;
mod disks;
mod faults;
mod handover;
pub mod online;
mod reported_alerts;
mod sockets;
mod start;
pub mod stores;
pub mod telemetry;
mod upkeep;
mod wiring;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tracing_appender::non_blocking::ErrorCounter;

use self::canary::Canary;
use self::certificates::Certificates;
pub use self::chain::chain;
use self::disks::Disks;
pub use self::faults::{Asks, doubts, faults};
use self::handover::Handover;
pub use self::sockets::Inherited;

use crate::admin::{self, Tokens};
use crate::config::{Config, Console, Server};
use crate::console::{self, About};
use crate::ingress;
use crate::journal::{Journal, Store};
use crate::lifecycle::TaskGroup;
use crate::metrics::Metrics;
use crate::net::{Listener, ServerTls};
use crate::signature::{SecretBytes, Secrets};
use crate::sinks::ReloadableSink;
use crate::traces::Exporter;
use crate::worker;

/// The time beyond the drain's deadline within which the store must close.
const GRACE: Duration = Duration::from_secs(2);

/// The service, built and bound, not yet accepting.
pub struct App {
    server: Server,
    handover: Handover,
    public: Listener,
    admin: Listener,
    ingress: ingress::State,
    rejected_requests: ingress::RejectedKeeper,
    admin_state: admin::State,
    about: About,
    console: Console,
    worker: worker::Parts,
    canary: Option<Canary>,
    exporter: Option<Exporter>,
    reloader: Reloader,
    log_dropped: Option<ErrorCounter>,
    disks: Disks,
    confirming: Vec<String>,
    on_ready: Option<Box<dyn FnOnce() + Send>>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnded {
    /// All work in progress was finished. Events may wait for the next start.
    Drained,
    /// The deadline passed; the next start continues the unfinished work.
    TimedOut,
}

/// Replaces the settings that a reload can change: signing secrets, admin tokens, certificates, the sinks' secrets and
/// headers, the database's password. Open connections stay open.
#[derive(Clone)]
pub struct Reloader {
    journal: Journal,
    secrets: Arc<ArcSwap<Secrets>>,
    tokens: Arc<ArcSwap<Tokens>>,
    tls: Vec<ServerTls>,
    sinks: Vec<ReloadableSink>,
}

impl App {
    /// Binds the ports, opens the store and sets up every part, in the order of their dependencies.
    ///
    /// # Errors
    /// When a part cannot be set up; the error says what to do about it. Nothing is left running.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        Self::build_on(config, Inherited::default()).await
    }

    /// Like [`App::build`], on sockets that the service manager has opened.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn build_on(config: Config, inherited: Inherited) -> anyhow::Result<Self> {
        wiring::build(config, inherited, &|store| store).await
    }

    /// Like [`App::build`], with the configured store wrapped in another one, for tests of a store that fails.
    ///
    /// # Errors
    /// As [`App::build`].
    pub async fn build_with(
        config: Config,
        around: impl Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync,
    ) -> anyhow::Result<Self> {
        wiring::build(config, Inherited::default(), &around).await
    }

    /// The address of the public listener.
    pub fn public_address(&self) -> Option<SocketAddr> {
        self.public.socket.local_addr().ok()
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.socket.local_addr().ok()
    }

    /// The handle with which a reload is carried out.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// The journal, for code in the same process: the demo and the tests.
    pub fn journal(&self) -> Journal {
        self.ingress.journal.clone()
    }

    /// The metrics of this service.
    pub fn metrics(&self) -> Metrics {
        self.ingress.metrics.clone()
    }

    /// Makes the console show this configuration, in which every secret is masked.
    pub fn show_configuration(&mut self, effective: String) {
        self.about.configuration = effective;
    }

    /// Counts the log lines that were dropped.
    pub fn watch_log(&mut self, dropped: ErrorCounter) {
        self.log_dropped = Some(dropped);
    }

    /// Calls `tell` once notifications are accepted and, if no previous process still runs, the sockets are offered to
    /// the next process.
    pub fn when_ready(&mut self, tell: impl FnOnce() + Send + 'static) {
        self.on_ready = Some(Box::new(tell));
    }

    /// Runs until `stop` ends, then drains in this order: turn readiness off while still accepting, stop accepting and
    /// finish requests, stop claiming and finish work, release leases, close the store, and close the admin listener
    /// last.
    ///
    /// When a successor accepts on the same sockets, readiness stays on and this process stops accepting at once.
    pub async fn run(self, stop: impl Future<Output = ()>) -> RunEnded {
        let (public, workers, side) = (
            self.ingress.tasks.clone(),
            TaskGroup::new("worker"),
            TaskGroup::new("admin"),
        );
        let public_address = self.public.socket.local_addr().ok();
        let (accepting, admin_accepting) = (CancellationToken::new(), CancellationToken::new());
        let (journal, readiness) = (self.ingress.journal.clone(), self.ingress.readiness.clone());
        let certificates = Certificates::of([
            ("public", self.public.tls.clone()),
            ("admin", self.admin.tls.clone()),
        ]);
        let checks = upkeep::Checks {
            certificates,
            disks: self.disks,
            confirming: self.confirming,
            log_dropped: self.log_dropped,
        };
        upkeep::spawn(&self.admin_state, checks, &side);
        spawn_keepers(self.rejected_requests, &self.ingress, &workers);
        let listen =
            |listener: Listener, router, accepting: &CancellationToken, group: &TaskGroup| {
                let (readiness, accepting) = (readiness.clone(), accepting.clone());
                let name = listener.name;
                group.spawn(
                    name,
                    listener.serve(router, readiness, accepting, group.clone()),
                );
            };
        let console = console::router(
            self.admin_state.clone(),
            self.about,
            self.console,
            self.admin.tls.is_some(),
        );
        listen(
            self.admin,
            admin::router(self.admin_state, console),
            &admin_accepting,
            &side,
        );
        listen(
            self.public,
            ingress::router(&self.server.path, self.ingress),
            &accepting,
            &public,
        );
        handover::spawn_worker(self.worker, self.handover.predecessor.is_some(), &workers);
        if let (Some(canary), Some(address)) = (self.canary, public_address) {
            side.spawn("canary", canary.run(address, side.clone()));
        }
        if let Some(exporter) = self.exporter {
            side.spawn("export of spans", exporter.run(side.clone()));
        }
        let lent = self.handover.spawn(&readiness, &side).await;
        if let Some(tell) = self.on_ready {
            tell();
        }

        stop.await;

        let deadline = Instant::now() + self.server.drain_timeout;
        readiness.drain();
        if readiness.has_successor() {
            accepting.cancel();
            admin_accepting.cancel();
        }
        tracing::info!(
            seconds = self.server.drain_delay.as_secs_f64(),
            successor = readiness.has_successor(),
            "draining: open connections are still served"
        );
        tokio::time::sleep(self.server.drain_delay).await;
        // Close these copies of the sockets before the listeners close theirs. A connection is refused only after the
        // last copy is closed; until then it would wait in a copy from which nobody accepts, and be reset.
        lent.withdraw().await;
        accepting.cancel();
        if readiness.has_successor() {
            admin_accepting.cancel();
        }
        public.stop();
        let requests = public.finished(deadline).await;
        workers.stop();
        let work = workers.finished(deadline).await;
        let closed = close(&journal, deadline + GRACE).await;
        admin_accepting.cancel();
        side.stop();
        let aside = side
            .finished(deadline.max(Instant::now() + Duration::from_millis(200)))
            .await;
        if requests && work && closed && aside {
            RunEnded::Drained
        } else {
            RunEnded::TimedOut
        }
    }
}

/// Releases the leases and closes the store; `false` if that takes too long. A store that hangs must not keep the
/// process alive: its lock would be held as long, and no other process could take over.
async fn close(journal: &Journal, deadline: Instant) -> bool {
    let closing = async {
        if let Err(error) = journal.release().await {
            tracing::warn!(
                error = %error,
                "cannot release the leases; others take the work over once this process is known to be gone"
            );
        }
        journal.close().await;
    };
    let closed = tokio::time::timeout_at(deadline.into(), closing).await;
    if closed.is_err() {
        tracing::error!(
            "the store does not close in time; the next start continues the unfinished work"
        );
    }
    closed.is_ok()
}

impl Reloader {
    /// Puts the secrets, tokens, password and certificates of a newly loaded configuration in force. If one of them
    /// cannot be used, none of them is changed, with one exception: the first listener's certificate stays replaced
    /// when the second one's cannot be used.
    ///
    /// # Errors
    /// When a certificate or a sink's secret cannot be used, or no admin token can be kept; the old ones stay.
    pub fn reload(&self, config: &Config) -> anyhow::Result<()> {
        let mut sinks = Vec::new();
        for sink in &self.sinks {
            sinks.push(sink.prepare(&config.sinks)?);
        }
        // As at a start, the token in the data folder is used when none is configured.
        let tokens = admin_token::all(config)?;
        for tls in &self.tls {
            tls.reload()?;
            if let Some(doubt) = tls.doubt() {
                tracing::warn!("{doubt}");
            }
        }
        self.journal.reload(&config.store);
        self.secrets.store(Arc::new(signing_secrets(config)));
        self.tokens.store(Arc::new(Tokens::new(&tokens)));
        for (sink, new) in self.sinks.iter().zip(sinks) {
            if let Some(new) = new {
                sink.replace(new);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("public", &self.public_address())
            .field("admin", &self.admin_address())
            .finish()
    }
}

/// The configured signing secrets, ready for use.
pub fn signing_secrets(config: &Config) -> Secrets {
    Secrets::new(config.signature.secrets.iter().map(|named| SecretBytes {
        id: &named.id,
        key: named.secret.expose().as_bytes(),
    }))
}

/// Starts the tasks that write to the store independently of requests: one keeps rejected requests, one drains the
/// spool.
fn spawn_keepers(
    rejected_requests: ingress::RejectedKeeper,
    ingress: &ingress::State,
    group: &TaskGroup,
) {
    let (journal, tasks) = (ingress.journal.clone(), group.clone());
    group.spawn("rejected requests", rejected_requests.run(journal, tasks));
    let journal = ingress.journal.clone();
    let (bounds, metrics) = (ingress.settings.rejected, ingress.metrics.clone());
    group.spawn_until_stopped("spool drain", async move {
        journal.drain(bounds, metrics).await;
    });
}
