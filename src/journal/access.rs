//! The modes in which a process opens a store.

use std::time::Duration;

/// The mode in which a process opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Opens the store to serve from it: migrates the schema and works on due events. An embedded store has one owner,
    /// which takes over the leases of an earlier process.
    Owner {
        /// No retry waits longer than this. A row that is due later was written before the clock was set back, and is
        /// made due at once.
        longest_wait: Duration,
    },
    /// Opens the store next to the process that this one replaces: accepts notifications at once, and works on an
    /// embedded store's events only when the other process has ended (see [`Store::own`](super::Store::own)).
    Successor {
        /// As for the owner.
        longest_wait: Duration,
    },
    /// Opens the store for a command line tool that lists or replays while another process may serve.
    Guest,
}
