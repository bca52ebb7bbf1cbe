//! What only the shared store promises: several instances on one database, and a network that fails.

mod clocks;
mod data;
mod faults;
mod instances;
mod migrations;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use suki_receiver::domain::Clock;
use suki_receiver::journal::{Journal, PostgresStore, Store};

/// A journal on a store; an append takes at most two seconds.
fn journal(store: &Arc<PostgresStore>) -> Journal {
    let store: Arc<dyn Store> = store.clone();
    Journal::new(store, Duration::from_secs(2), 1, Clock::start()).0
}
