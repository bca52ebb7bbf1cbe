//! Opens the configured store, to serve from it or to inspect it from the shell.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::{Config, StoreUrl};
use crate::domain::Clock;
use crate::journal::{
    Access, Examined, Inbox, Journal, PostgresStore, SqliteStore, Store, damaged_beside, examine,
};
use crate::metrics::Metrics;

/// Wraps the opened store before the journal gets it. Outside of tests it returns the store unchanged.
pub(super) type Around<'a> = dyn Fn(Arc<dyn Store>) -> Arc<dyn Store> + Send + Sync + 'a;

/// The journal to serve from, and the worker's end of its channel. With a shared store the journal also gets a spool. A
/// process that follows another one accepts notifications at once and takes over the work when the other one ends.
pub(super) fn owned(
    config: &Config,
    follows_another: bool,
    around: &Around<'_>,
    clock: Clock,
    metrics: &Metrics,
) -> anyhow::Result<(Journal, Inbox)> {
    let longest_wait = config
        .sinks
        .iter()
        .map(|sink| sink.retry.max)
        .fold(config.follow.retry.max, Duration::max);
    let access = if follows_another {
        Access::Successor { longest_wait }
    } else {
        Access::Owner { longest_wait }
    };
    let store = around(open(config, access, clock, metrics.clone())?);
    let (journal, inbox) = Journal::new(store, config.store.deadline, room(config), clock);
    match &config.store.url {
        StoreUrl::Sqlite(_) => Ok((journal, inbox)),
        StoreUrl::Postgres(_) => {
            let (path, queue) = (spool_file(config), config.store.queue);
            let at = path.display().to_string();
            // The spool gets metrics of its own, so that its commits are not counted as the store's.
            let open = move || SqliteStore::open(&path, access, queue, clock, Metrics::new());
            let journal = journal
                .with_spool(open)
                .with_context(|| format!("store.spool_dir: cannot use {at}"))?;
            Ok((journal, inbox))
        }
    }
}

/// How many events are worked on at once. This is no more than the calls that are allowed per second: further events
/// would be claimed only to wait for each other.
fn room(config: &Config) -> usize {
    let rate = usize::try_from(config.sdp.max_requests_per_second).unwrap_or(usize::MAX);
    match rate {
        0 => config.follow.max_concurrency,
        rate => config.follow.max_concurrency.min(rate),
    }
}

/// Opens the store beside a running service, or without one. The store must exist: a mistyped path must not create an
/// empty one.
///
/// # Errors
/// When it does not exist or cannot be opened.
pub fn guest(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    if let StoreUrl::Sqlite(path) = &config.store.url {
        must_exist(path)?;
    }
    open(config, Access::Guest, Clock::start(), Metrics::new())
        .with_context(|| format!("cannot open the store {}", config.store.url))
}

/// Reads the whole local file, which is the embedded store or the spool, and changes nothing in it. `None` if there is
/// no spool.
///
/// # Errors
/// When it cannot be read at all, or the store does not exist.
pub fn examine_file(config: &Config) -> anyhow::Result<Option<Examined>> {
    let path = local_file(config);
    let sinks: Vec<String> = config.sinks.iter().map(|sink| sink.name.clone()).collect();
    let wanted = match &config.store.url {
        StoreUrl::Sqlite(_) => {
            must_exist(&path)?;
            Some(&sinks[..])
        }
        StoreUrl::Postgres(_) if !path.exists() => return Ok(None),
        StoreUrl::Postgres(_) => None,
    };
    let found =
        examine(&path, wanted).with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Some(found))
}

/// The file of the embedded store, or of the spool.
pub fn local_file(config: &Config) -> PathBuf {
    match &config.store.url {
        StoreUrl::Sqlite(path) => path.clone(),
        StoreUrl::Postgres(_) => spool_file(config),
    }
}

/// Damaged files that earlier starts have moved aside.
pub(super) fn damaged(config: &Config) -> Vec<PathBuf> {
    damaged_beside(&local_file(config))
}

fn spool_file(config: &Config) -> PathBuf {
    config.store.spool_dir.join("spool.db")
}

fn open(
    config: &Config,
    access: Access,
    clock: Clock,
    metrics: Metrics,
) -> anyhow::Result<Arc<dyn Store>> {
    match &config.store.url {
        StoreUrl::Sqlite(path) => {
            let store = SqliteStore::open(path, access, config.store.queue, clock, metrics)?;
            Ok(Arc::new(store))
        }
        StoreUrl::Postgres(url) => {
            let store = PostgresStore::open(&config.store, url, access, clock, metrics)?;
            Ok(Arc::new(store))
        }
    }
}

/// Fails if there is no store at `path`.
///
/// # Errors
/// When there is none, or the path cannot be looked up.
pub fn must_exist(path: &Path) -> anyhow::Result<()> {
    let is_there = path
        .try_exists()
        .with_context(|| format!("cannot look for the store {}", path.display()))?;
    if !is_there {
        bail!(
            "there is no store at {}; name it with --config FILE or --set store.url=sqlite:PATH",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_not_there_is_named_and_not_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data/receiver.db");
        let problem = must_exist(&path).expect_err("there is none").to_string();
        assert!(problem.contains("receiver.db"), "{problem}");
        assert!(!folder.path().join("data").exists());
    }
}
