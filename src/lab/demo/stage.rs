//! The participants of the demo: a simulated SDP API, the real receiver, and a partner's endpoint, all on loopback,
//! with all their files in one temporary folder.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::inbox::Inbox;
use crate::app::{App, RunEnded};
use crate::config::{
    AuthMode, Config, FilesConfig, HttpConfig, Include, NamedSecret, PartnerToken, Proxy, Retry,
    SdpAuth, Secret, SinkConfig, SinkTarget, StoreUrl,
};
use crate::domain::Outcome;
use crate::journal::Journal;
use crate::lab::simulator::{Endpoint, Fault, Faults, Options, Rule, Sdp};

/// The sink that writes files.
pub(super) const FILES: &str = "archive";
/// The sink that posts to the inbox.
pub(super) const HTTP: &str = "ehr";

/// The number of notes that are "not ready yet" when they are first requested, as happens with the vendor.
const NOTES_NOT_READY: u32 = 3;

/// All participants, running.
pub(super) struct Stage {
    /// The simulated SDP API.
    pub(super) sdp: Sdp,
    /// Its address.
    pub(super) sdp_url: Url,
    /// The partner's endpoint.
    pub(super) inbox: Inbox,
    /// The receiver's journal.
    pub(super) journal: Journal,
    /// The webhook's address.
    pub(super) webhook: Url,
    /// The admin listener.
    pub(super) admin: SocketAddr,
    /// The secret with which notifications are signed.
    pub(super) secret: String,
    /// The folder with all files.
    pub(super) dir: PathBuf,
    stop: oneshot::Sender<()>,
    running: JoinHandle<RunEnded>,
    _others: DropGuard,
}

impl Stage {
    /// Starts all participants. Port 0 stands for a free port.
    pub(super) async fn build(port: u16) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("suki-receiver-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?
            .keep();
        let secret = hex::encode(rand::random::<[u8; 24]>());
        write_private(&secret_file(&dir), &secret)?;
        let others = CancellationToken::new();

        let (sdp_listener, sdp_url) = listen().await?;
        let sdp = Sdp::new(&Options {
            // So that links of notifications that are sent by hand while the demo is left running can be followed too.
            every_session_known: true,
            ..Options::default()
        });
        let not_ready = Rule::always(Endpoint::Content, Fault::status(404)).times(NOTES_NOT_READY);
        sdp.set_faults(Faults(vec![not_ready]));
        tokio::spawn({
            let (sdp, others) = (sdp.clone(), others.clone());
            async move { sdp.serve(sdp_listener, others).await }
        });

        make_key(&sdp, &sdp_url).await?;

        let (inbox_listener, inbox_url) = listen().await?;
        let inbox_shown = inbox_url.clone();
        let inbox = Inbox::new(hex::encode(rand::random::<[u8; 24]>()));
        tokio::spawn(inbox.clone().serve(inbox_listener, others.clone()));

        let mut config = config(&dir, port, &secret);
        config.sdp.base_url = sdp_url.clone();
        config.sinks = vec![
            sink(FILES, SinkTarget::Files(FilesConfig { dir: out(&dir) })),
            sink(HTTP, http_target(inbox_url, inbox.secret())),
        ];
        let path = config.server.path.clone();
        let app = App::build(config).await?;
        let public = app.public_address().context("no public address")?;
        let admin = app.admin_address().context("no admin address")?;
        let journal = app.journal();
        let file = toml(&dir, public, admin, &inbox_shown);
        write_private(&dir.join("receiver.toml"), &file)?;
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(app.run(async {
            // A dropped sender also means stop.
            stopped.await.ok();
        }));
        Ok(Self {
            sdp,
            sdp_url,
            inbox,
            journal,
            webhook: Url::parse(&format!("http://{public}{path}"))?,
            admin,
            secret,
            dir,
            stop,
            running,
            _others: others.drop_guard(),
        })
    }

    /// Drains the receiver, then ends the others. Returns whether all work was finished.
    pub(super) async fn stop(self) -> bool {
        self.stop.send(()).ok();
        matches!(self.running.await, Ok(RunEnded::Drained))
    }

    /// The folder to which the files sink writes.
    pub(super) fn out(&self) -> PathBuf {
        out(&self.dir)
    }

    /// The file with the signing secret.
    pub(super) fn secret_file(&self) -> PathBuf {
        secret_file(&self.dir)
    }

    /// The configuration file that commands need to look at the stored events.
    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("receiver.toml")
    }

    /// The file with the operator's token for the admin listener.
    pub(super) fn token_file(&self) -> PathBuf {
        data(&self.dir).join("admin-token")
    }
}

/// The receiver's configuration, without the addresses of the other participants.
fn config(dir: &Path, port: u16, secret: &str) -> Config {
    let mut config = Config::default();
    config.server.listen = (Ipv4Addr::LOCALHOST, port).into();
    config.server.instance = "demo".to_owned();
    // There is no load balancer that has to notice the drain.
    config.server.drain_delay = Duration::ZERO;
    config.admin.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.signature.secrets = vec![named("demo", secret)];
    config.store.url = StoreUrl::Sqlite(data(dir).join("receiver.db"));
    config.sdp.auth = Some(SdpAuth {
        mode: AuthMode::Standard,
        partner_id: "demo-partner".to_owned(),
        partner_token: PartnerToken::Given(Secret::literal("demo-partner-token")),
    });
    config.follow.retry = quick();
    // The default rate would make the demo take minutes.
    config.reconcile.max_requests_per_second = 100;
    config.reconcile.schedule.push_grace = Duration::from_secs(1);
    config.reconcile.schedule.min_interval = Duration::from_millis(500);
    config
}

/// The configuration for shell commands that look at the demo's store.
fn toml(dir: &Path, public: SocketAddr, admin: SocketAddr, inbox: &Url) -> String {
    let quoted = |text: String| toml::Value::from(text).to_string();
    let path = |path: PathBuf| quoted(path.display().to_string());
    let secret = path(secret_file(dir));
    let store = quoted(format!(
        "sqlite:{}",
        data(dir).join("receiver.db").display()
    ));
    let out = path(out(dir));
    format!(
        "# The demo's store and sinks, for `suki-receiver events --config FILE`. It ends with the demo.\n\
         server.listen = \"{public}\"\nadmin.listen = \"{admin}\"\nstore.url = {store}\n\
         signature.secrets = [{{ id = \"demo\", file = {secret} }}]\n\
         [[sinks]]\nname = \"{FILES}\"\ntype = \"files\"\ndir = {out}\n\
         [[sinks]]\nname = \"{HTTP}\"\ntype = \"http\"\nurl = \"{inbox}\"\n"
    )
}

fn http_target(url: Url, secret: &str) -> SinkTarget {
    SinkTarget::Http(HttpConfig {
        url,
        secrets: vec![named("demo", secret)],
        headers: Vec::new(),
        timeout: Duration::from_secs(10),
        ca_file: None,
        proxy: Proxy::None,
        template: None,
    })
}

fn sink(name: &str, target: SinkTarget) -> SinkConfig {
    SinkConfig {
        expect_applied: None,
        alerts: false,
        canary: false,
        name: name.to_owned(),
        events: Outcome::ALL.to_vec(),
        include: Include::Everything,
        max_concurrency: 8,
        retry: quick(),
        target,
    }
}

/// Short waits for a demo.
fn quick() -> Retry {
    Retry {
        initial: Duration::from_millis(50),
        max: Duration::from_millis(250),
        give_up_after: Duration::from_secs(60),
    }
}

fn named(id: &str, secret: &str) -> NamedSecret {
    NamedSecret {
        id: id.to_owned(),
        secret: Secret::literal(secret),
    }
}

fn data(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn out(dir: &Path) -> PathBuf {
    dir.join("delivered")
}

fn secret_file(dir: &Path) -> PathBuf {
    dir.join("secret.txt")
}

fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut file| writeln!(file, "{text}"))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Makes the simulated API generate its signing key now. That can take a second, which must not be counted in the
/// receiver's times.
async fn make_key(sdp: &Sdp, url: &Url) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = url.join(Endpoint::Jwks.path())?;
    client.get(url).send().await?.error_for_status()?;
    sdp.reset();
    Ok(())
}

/// A listener on a free port of loopback, and its address.
async fn listen() -> anyhow::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("cannot listen on 127.0.0.1")?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    Ok((listener, url))
}
