//! Periodic tasks: check the store's health and whether anything needs an operator, and fold the metrics' samples.

use std::time::Duration;

use jiff::Timestamp;
use tracing_appender::non_blocking::ErrorCounter;

use super::certificates::Certificates;
use super::disks::Disks;
use crate::admin;
use crate::domain::{EventState, KEPT_FOR};
use crate::journal::{Error, WriteTarget, orphaned};
use crate::lifecycle::{Alert, Component, TaskGroup};

/// The interval between health checks while store and spool are healthy.
const WHILE_HEALTHY: Duration = Duration::from_secs(5);
/// The interval between health checks while one of them is not.
const WHILE_UNHEALTHY: Duration = Duration::from_millis(500);
/// The interval at which the store's size is measured.
const SIZE: Duration = Duration::from_secs(60);
/// When the vendor keeps an awaited session's content for less than this, readiness reports it.
const URGENT: Duration = Duration::from_secs(24 * 3600);

/// The checks other than the store's.
pub(super) struct Checks {
    /// The listeners' certificates, watched for their end.
    pub(super) certificates: Certificates,
    /// The data folder's disk, watched for free space.
    pub(super) disks: Disks,
    /// The sinks whose targets should confirm what they apply.
    pub(super) confirming: Vec<String>,
    /// The counter of dropped log lines.
    pub(super) log_dropped: Option<ErrorCounter>,
}

/// Starts the tasks in `group`.
pub(super) fn spawn(state: &admin::State, mut checks: Checks, group: &TaskGroup) {
    // A task of its own: a database that does not answer must not delay the health check that reports it.
    let (counted, confirming) = (state.clone(), std::mem::take(&mut checks.confirming));
    group.spawn_until_stopped("counts of expected sessions", async move {
        loop {
            count_expected(&counted).await;
            count_unapplied(&counted, &confirming).await;
            tokio::time::sleep(WHILE_HEALTHY).await;
        }
    });
    let sized = state.clone();
    group.spawn_until_stopped("size of the store", async move {
        loop {
            match sized.records().size().await {
                Ok(size) => sized.metrics.set_store_size(size.bytes, size.wal_bytes),
                Err(error) => tracing::debug!(error = %error, "cannot see how large the store is"),
            }
            tokio::time::sleep(SIZE).await;
        }
    });
    // Also a task of its own: a slow database must not delay the report that the spool is in use.
    let attention = state.clone();
    group.spawn_until_stopped("what waits for an operator", async move {
        let mut orphans = Vec::new();
        loop {
            check_for_attention(&attention).await;
            note_orphans(&attention, &mut orphans).await;
            note_paused(&attention).await;
            tokio::time::sleep(wait(&attention)).await;
        }
    });
    let state = state.clone();
    group.spawn_until_stopped("upkeep", async move {
        loop {
            checks.certificates.check(&state);
            checks.disks.update(&state.metrics);
            if let Some(dropped) = &checks.log_dropped {
                let lines = u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX);
                state.metrics.log_lines_dropped(lines);
            }
            state.metrics.upkeep();
            check_store(&state).await;
            tokio::select! {
                () = tokio::time::sleep(wait(&state)) => {}
                () = state.journal.turned() => {}
            }
        }
    });
}

/// How long to wait before the next check.
fn wait(state: &admin::State) -> Duration {
    let is_healthy = |part| state.readiness.is_healthy(part);
    if is_healthy(Component::Store) && is_healthy(Component::Spool) {
        WHILE_HEALTHY
    } else {
        WHILE_UNHEALTHY
    }
}

/// Checks whether the store or the spool accepts notifications, and sets readiness accordingly.
async fn check_store(state: &admin::State) {
    let readiness = &state.readiness;
    let was_healthy = readiness.is_healthy(Component::Store);
    match state.journal.write_target().await {
        Ok(taking) => {
            readiness.set_healthy(Component::Store);
            match taking {
                WriteTarget::Store => readiness.set_healthy(Component::Spool),
                WriteTarget::StoreWithoutSpool => readiness.set_unhealthy(
                    Component::Spool,
                    "it accepts no writes, so it cannot stand in for the store; check the disk of store.spool_dir",
                ),
                WriteTarget::StoreRefusing(count) => readiness.set_unhealthy(
                    Component::Spool,
                    format!("{count} notifications in it cannot be read, or the store refuses them; see the log"),
                ),
                WriteTarget::Spool => readiness.set_unhealthy(
                    Component::Spool,
                    "it stores the notifications while the database does not accept them",
                ),
            }
            if !was_healthy {
                tracing::info!("notifications are taken again");
            }
        }
        // The process is about to end.
        Err(Error::Closed) => {}
        Err(error) => {
            readiness.set_unhealthy(Component::Store, "it does not take writes now");
            if was_healthy {
                tracing::error!(error = %error, "store unavailable: answering 503");
            }
        }
    }
}

/// Checks whether anything needs an operator, and notes it in readiness.
async fn check_for_attention(state: &admin::State) {
    if state.journal.is_damaged() {
        state.readiness.set_unhealthy(
            Component::Damage,
            "a part of the store cannot be read; run `suki-receiver store check`",
        );
    }
    let Ok(stats) = state.records().stats().await else {
        return;
    };
    match stats.count(EventState::Dead) {
        0 => state.alerts.resolve(Alert::DeadEvents, ""),
        dead => state.alerts.raise(
            Alert::DeadEvents,
            "",
            format!("{dead} events were given up; see `suki-receiver events list --state dead`, fix the cause, and replay them"),
        ),
    }
    if stats.rejected == 0 {
        state.readiness.set_healthy(Component::Signature);
    } else {
        let kept = match stats.rejected {
            1 => "1 request whose signature matches no secret is stored".to_owned(),
            many => format!("{many} requests whose signature matches no secret are stored"),
        };
        state.readiness.set_unhealthy(
            Component::Signature,
            format!(
                "{kept}; if a secret was wrong, correct it and run `suki-receiver events reverify`"
            ),
        );
    }
}

/// Updates the figures of expected sessions.
async fn count_expected(state: &admin::State) {
    let Ok(stats) = state.records().expected_stats().await else {
        return;
    };
    state.journal.set_expects_sessions(stats.total() > 0);
    let now = state.clock.now();
    let since = |time: Option<Timestamp>| {
        let since = time.map(|time| now.duration_since(time));
        since.and_then(|since| Duration::try_from(since).ok())
    };
    let overdue = since(stats.overdue_since).unwrap_or_default();
    let lag = since(stats.oldest_due).unwrap_or_default();
    let left = since(stats.earliest).map(|age| KEPT_FOR.saturating_sub(age));
    state
        .metrics
        .set_expected(&stats.counts, overdue, lag, left);
    match left.filter(|left| *left < URGENT) {
        Some(left) => state.readiness.set_unhealthy(
            Component::Retention,
            format!(
                "Suki deletes the transcript of a session whose end is not known within {} hours; see `suki-receiver sessions list --overdue`",
                left.as_secs() / 3600 + 1
            ),
        ),
        None => state.readiness.set_healthy(Component::Retention),
    }
}

/// Checks whether a sink's target has failed to confirm events in time. Sinks that need not confirm any more are left
/// out: confirmations of what they got before may still be awaited in the store.
async fn count_unapplied(state: &admin::State, confirming: &[String]) {
    let now = state.clock.monotonic();
    let Ok(unapplied) = state.records().overdue_applied(now).await else {
        return;
    };
    for sink in confirming {
        match unapplied.iter().find(|(name, _)| name == sink) {
            Some((_, count)) => state.alerts.raise(
                Alert::AppliedOverdue,
                sink,
                format!("{count} events were delivered to the sink {sink} and its target has not confirmed in time that it applied them"),
            ),
            None => state.alerts.resolve(Alert::AppliedOverdue, sink),
        }
    }
}

/// Checks for deliveries to sinks that are not configured, since nobody would deliver them. Logs when such a sink is
/// found and when the set of names changes, not for each further delivery.
async fn note_orphans(state: &admin::State, said: &mut Vec<String>) {
    let Ok(orphans) = state
        .records()
        .waiting_deliveries(state.sinks.to_vec())
        .await
    else {
        return;
    };
    if orphans.is_empty() {
        state.readiness.set_healthy(Component::Orphans);
        said.clear();
        return;
    }
    let text: Vec<String> = orphans.iter().map(orphaned).collect();
    let names: Vec<String> = orphans.into_iter().map(|waits| waits.sink).collect();
    if *said != names {
        for line in &text {
            tracing::warn!("{line}");
        }
        *said = names;
    }
    state
        .readiness
        .set_unhealthy(Component::Orphans, text.join("; "));
}

/// Notes paused sinks in readiness: whoever paused a sink may have forgotten it.
async fn note_paused(state: &admin::State) {
    let Ok(paused) = state.records().paused().await else {
        return;
    };
    let paused = paused
        .iter()
        .filter(|pause| state.sinks.contains(&pause.sink));
    let names: Vec<&str> = paused.map(|pause| pause.sink.as_str()).collect();
    if names.is_empty() {
        return state.readiness.set_healthy(Component::Paused);
    }
    let names = names.join(", ");
    state.readiness.set_unhealthy(
        Component::Paused,
        format!("deliveries to {names} wait until an operator resumes them"),
    );
}
