//! `serve`: the service itself: load the configuration, start logging, build, report, run, drain.

use std::cell::Cell;
use std::process;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::ConfigArgs;
use crate::app::{App, Asks, Inherited, Reloader, RunEnded, telemetry};
use crate::config::{Effective, Env};
use crate::lifecycle::Signals;
use crate::metrics::Metrics;
use crate::terminal::ExitStatus;
use crate::terminal::{chain, note};

const EXAMPLE: &str = "Example:
  SUKI_RECEIVER__SIGNATURE__SECRET=… suki-receiver serve
  suki-receiver serve --config /etc/suki-receiver/receiver.toml

Signals: SIGTERM and SIGINT drain and stop (a second one exits at once); SIGHUP reloads secrets and certificates.";

/// The arguments of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitStatus> {
    // Must come first: from here on a SIGHUP does not end the process.
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    let loaded = args.config.load_to_serve(Asks::Serve)?;
    let has_color = !Env::process().wants_no_color();
    let logging = telemetry::init(&loaded.config.log, has_color)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let is_https = loaded.config.server.tls.is_some();
    let in_force = loaded.effective;
    let shown = in_force.to_string();
    // Set by a SIGHUP during the start: the configuration may have been read already and must be read again.
    let is_reload_wanted = Cell::new(false);
    let mut app = tokio::select! {
        app = App::build_on(loaded.config, inherited()?) => app?,
        // The start may have to wait for a previous process.
        signal = signals.stop(async || is_reload_wanted.set(true)) => {
            tracing::info!(signal, "stopped before it had started");
            return Ok(ExitStatus::Success);
        }
    };
    announce(&app, is_https, loaded.file.as_deref());
    app.show_configuration(shown);
    app.watch_log(logging.dropped());
    app.when_ready(|| notify(&[NotifyState::Ready]));

    let metrics = app.metrics();
    metrics.config_read(Some(Timestamp::now()));
    let reload = Arc::new(Reload {
        config: args.config,
        reloader: app.reloader(),
        in_force,
        metrics,
    });
    if is_reload_wanted.get() || signals.is_reload_pending().await {
        reload_apart(&reload).await;
    }
    let stop = async move {
        let signal = signals.stop(async || reload_apart(&reload).await).await;
        tracing::info!(signal, "stopping; a second signal exits at once");
        notify(&[NotifyState::Stopping]);
        tokio::spawn(async move {
            let signal = signals.stop(async || {}).await;
            note!("{signal} again: exiting at once; the next start continues the unfinished work");
            process::exit(1);
        });
    };
    let ended = app.run(stop).await;
    Ok(match ended {
        RunEnded::Drained => {
            tracing::info!(
                "stopped; what was in progress is finished, and the next start continues what waits"
            );
            ExitStatus::Success
        }
        RunEnded::TimedOut => {
            tracing::warn!(
                "stopped at server.drain_timeout before all that was in progress was finished; the next start continues it"
            );
            ExitStatus::Failure
        }
    })
}

/// The sockets that systemd has opened for this process, if any (sd_listen_fds(3)).
fn inherited() -> anyhow::Result<Inherited> {
    let mut sockets = ListenFd::from_env();
    let mut inherited = Vec::new();
    for index in 0..sockets.len() {
        let socket = sockets
            .take_tcp_listener(index)
            .with_context(|| format!("LISTEN_FDS: socket {index} is no TCP listener"))?;
        inherited.extend(socket);
    }
    Ok(Inherited(inherited))
}

fn announce(app: &App, is_https: bool, file: Option<&std::path::Path>) {
    let address =
        |address: Option<std::net::SocketAddr>| address.map(|address| address.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config.file = file.map(|file| file.display().to_string()),
        server.address = address(app.public_address()),
        admin.address = address(app.admin_address()),
        tls = is_https,
        "listening"
    );
    if !is_https {
        tracing::info!(
            "no [server.tls]: plain HTTP, for a load balancer that terminates TLS; Suki calls HTTPS addresses only"
        );
    }
}

/// What a reload needs.
struct Reload {
    config: ConfigArgs,
    reloader: Reloader,
    /// The configuration that was read at the start.
    in_force: Effective,
    metrics: Metrics,
}

/// Reloads on a thread of its own, because the files and commands that hold secrets may take their time.
async fn reload_apart(reload: &Arc<Reload>) {
    let reload = Arc::clone(reload);
    // A panic was reported by its hook, and the old values stay in force.
    tokio::task::spawn_blocking(move || reload.run()).await.ok();
}

impl Reload {
    /// Puts new secrets and certificates in force, and logs other keys that have changed. A broken configuration
    /// changes nothing.
    fn run(&self) {
        let Self {
            config,
            reloader,
            in_force,
            metrics,
        } = self;
        let loaded = config.load().map_err(anyhow::Error::from);
        let result = loaded.and_then(|loaded| reloader.reload(&loaded.config).map(|()| loaded));
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(
                    error,
                    "the configuration was not reloaded; the old values stay in force"
                );
                metrics.config_read(None);
                return;
            }
        };
        metrics.config_read(Some(Timestamp::now()));
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(
            "reloaded: signing secrets, admin tokens, certificates, sinks' secrets and headers, store.password"
        );
        let changed = in_force.changed_beyond_reload(&loaded.effective);
        if !changed.is_empty() {
            let keys = changed.join(", ");
            tracing::warn!(
                keys,
                "these keys have changed and need a restart; the old values stay in force"
            );
        }
    }
}

/// Notifies systemd, if it has started this process.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(error = %error, "cannot notify the service manager");
    }
}
