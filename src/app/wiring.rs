//! The one place that picks concrete types and connects them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;

use super::about::about;
use super::canary::Canary;
use super::disks::Disks;
use super::handover::Handover;
use super::sockets::{self, Inherited, Obtained};
use super::start::Start;
use super::{App, Reloader, admin_token, reported_alerts, signing_secrets, stores};
use crate::admin::{self, Tokens};
use crate::config::{Config, Server, SinkConfig};
use crate::domain::Clock;
use crate::ingress;
use crate::journal::Bounds;
use crate::lifecycle::{Alert, Alerts, Component, Readiness, TaskGroup};
use crate::metrics::Metrics;
use crate::net::{self, Limits, Listener, ServerTls};
use crate::{sdp, sinks, traces, worker};

/// How long a connection stays open at a stop to receive a notification that is on its way.
const LINGER: Duration = Duration::from_secs(2);
/// The time in which a client of the admin listener must take a part of an answer. Clients of the stream of changes get
/// a part of theirs more often.
const ADMIN_ANSWER: Duration = Duration::from_secs(60);
/// The limit of concurrent connections to the admin listener.
const ADMIN_CONNECTIONS: usize = 256;

/// Builds the service. The sockets start to listen at the very end: an earlier connection would be reset if the start
/// failed.
pub(super) async fn build(
    config: Config,
    inherited: Inherited,
    around: &stores::Around<'_>,
) -> anyhow::Result<App> {
    let tls = server_tls(config.server.tls.as_ref()).context("[server.tls]")?;
    let admin_tls = server_tls(config.admin.tls.as_ref()).context("[admin.tls]")?;

    let (clock, metrics, readiness) = (Clock::start(), Metrics::new(), Readiness::default());
    let Start {
        sockets:
            Obtained {
                sockets,
                predecessor,
                stay,
            },
        journal,
        inbox,
    } = Start::wait(&config, &inherited, around, clock, &metrics).await?;
    if stay {
        readiness.set_sockets_stay();
    }
    let sdp = sdp_client(&config, &metrics).context("[sdp]")?;
    let sinks = build_sinks(&config)?;
    note_what_is_missing(&config, &readiness);
    let alerts = Alerts::default();
    Alert::ALL
        .iter()
        .for_each(|alert| metrics.knows_alert(alert.as_str()));
    let sent = reported_alerts::take_over(&config, &journal, (&alerts, &metrics)).await;

    let secrets = Arc::new(ArcSwap::from_pointee(signing_secrets(&config)));
    let tokens = Arc::new(ArcSwap::from_pointee(Tokens::new(&admin_token::all(
        &config,
    )?)));
    let canary = Canary::of(
        &config,
        instance(&config.server),
        &sinks,
        &secrets,
        (metrics.clone(), alerts.clone()),
    )?;
    let reloader = Reloader {
        journal: journal.clone(),
        secrets: Arc::clone(&secrets),
        tokens: Arc::clone(&tokens),
        tls: tls.iter().chain(&admin_tls).cloned().collect(),
        sinks: sinks.iter().map(|(_, sink)| sink.clone()).collect(),
    };
    let traces::Setup { traces, exporter } =
        traces::Setup::of(&config.otel, &instance(&config.server), &metrics).context("[otel]")?;
    let (ingress, rejected_requests) = ingress::State::new(ingress::Parts {
        secrets,
        journal: journal.clone(),
        settings: settings(&config),
        clock,
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        traces: traces.clone(),
        tasks: TaskGroup::new("public listener"),
    });
    let limits = |max_connections, answer_timeout, linger, half_close| Limits {
        max_connections,
        header_timeout: config.server.header_timeout,
        idle_timeout: config.server.idle_timeout,
        answer_timeout,
        linger,
        half_close,
    };
    let (public, admin) = sockets.try_clone()?.listen()?;
    Ok(App {
        handover: Handover {
            path: sockets::handover_path(&config),
            sockets,
            predecessor,
        },
        public: Listener {
            name: "public listener",
            socket: public,
            tls,
            limits: limits(
                net::connections_within(net::raise_open_files(), config.server.max_connections),
                config.server.body_timeout,
                LINGER,
                true,
            ),
            metrics: Some(metrics.clone()),
        },
        admin: Listener {
            name: "admin listener",
            socket: admin,
            tls: admin_tls,
            limits: limits(ADMIN_CONNECTIONS, ADMIN_ANSWER, Duration::ZERO, false),
            metrics: None,
        },
        ingress,
        rejected_requests,
        about: about(&config, instance(&config.server), clock.now()),
        console: config.admin.console,
        admin_state: admin::State {
            journal: journal.clone(),
            metrics: metrics.clone(),
            readiness: readiness.clone(),
            clock,
            tokens,
            sinks: config.sinks.iter().map(|sink| sink.name.clone()).collect(),
            event_sinks: SinkConfig::names_for_events(&config.sinks).into(),
            refusals: admin::DenialLimit::default(),
            reconcile: config.reconcile,
            can_poll: sdp.is_some(),
            alerts: alerts.clone(),
            watchers: admin::Watchers::default(),
        },
        worker: worker::Parts {
            journal,
            inbox,
            sdp,
            sinks: sinks
                .into_iter()
                .map(|(config, sink)| (config, Box::new(sink) as Box<dyn sinks::Sink>))
                .collect(),
            instance: instance(&config.server),
            follow: config.follow,
            reconcile: config.reconcile,
            refresh: config.refresh,
            retention: config.retention,
            clock,
            metrics,
            traces,
            readiness,
            alerts,
            sent,
        },
        disks: Disks::of(&config.store),
        confirming: confirming(&config.sinks),
        server: config.server,
        canary,
        exporter,
        reloader,
        log_dropped: None,
        on_ready: None,
    })
}

pub(super) fn sdp_client(
    config: &Config,
    metrics: &Metrics,
) -> anyhow::Result<Option<sdp::Client>> {
    if !config.sdp.has_credentials() {
        return Ok(None);
    }
    let client = sdp::Client::new(
        &config.sdp,
        config.follow.allowed_hosts.clone(),
        metrics.clone(),
    )?;
    Ok(Some(client))
}

fn server_tls(files: Option<&crate::config::ServerTls>) -> anyhow::Result<Option<ServerTls>> {
    let Some(files) = files else { return Ok(None) };
    let tls = ServerTls::load(files)?;
    if let Some(doubt) = tls.doubt() {
        tracing::warn!("{doubt}");
    }
    Ok(Some(tls))
}

fn build_sinks(config: &Config) -> anyhow::Result<Vec<(SinkConfig, sinks::ReloadableSink)>> {
    config
        .sinks
        .iter()
        .map(|sink| Ok((sink.clone(), sinks::ReloadableSink::new(sink)?)))
        .collect()
}

/// The sinks whose targets should confirm what they apply.
fn confirming(sinks: &[SinkConfig]) -> Vec<String> {
    let sinks = sinks.iter().filter(|sink| sink.expect_applied.is_some());
    sinks.map(|sink| sink.name.clone()).collect()
}

/// Notes in readiness which optional parts are missing.
fn note_what_is_missing(config: &Config, readiness: &Readiness) {
    let damaged = stores::damaged(config);
    if !damaged.is_empty() {
        let names: Vec<String> = damaged
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let names = names.join(", ");
        tracing::error!(
            files = names,
            "a damaged store was moved aside; the events in it are not delivered. Recover them, then move the file away"
        );
        readiness.set_unhealthy(
            Component::Damage,
            "a damaged store was moved aside at an earlier start; see the log",
        );
    }
    if !config.sdp.has_credentials() {
        readiness.set_unhealthy(
            Component::Sdp,
            "no credentials for Suki's API (sdp.auth); notifications are stored, and no link is followed",
        );
    }
    // A sink that takes only alerts does not count: no note can be delivered to it.
    if !config.sinks.iter().any(SinkConfig::takes_events) {
        readiness.set_unhealthy(
            Component::Sinks,
            "no sink is configured that takes sessions; notes are stored, and only the admin API shows them",
        );
    }
}

fn settings(config: &Config) -> ingress::Settings {
    ingress::Settings {
        max_body_bytes: config.server.max_body_bytes,
        body_timeout: config.server.body_timeout,
        tolerance: config.signature.tolerance,
        on_stale: config.signature.on_stale,
        max_buffered_bytes: config.server.max_buffered_bytes,
        rejected: rejected_bounds(config),
    }
}

fn rejected_bounds(config: &Config) -> Bounds {
    Bounds {
        requests: config.signature.keep_unauthentic,
        bytes: config.signature.keep_unauthentic_bytes,
    }
}

/// The configured instance name, or else the host's name.
fn instance(server: &Server) -> String {
    if !server.instance.is_empty() {
        return server.instance.clone();
    }
    let name = std::fs::read_to_string(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name.to_owned()
    }
}
