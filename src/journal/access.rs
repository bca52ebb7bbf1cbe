//! How a process uses a store.

use std::time::Duration;

/// How a process uses a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Serves from it: brings its schema up to date, and works on what is due. Of the embedded store there is one, and it
    /// takes over what an earlier process held.
    Owner {
        /// No retry waits longer than this; what is due later was planned by a clock that has been set back since.
        longest_wait: Duration,
    },
    /// Serves from it beside the process that it follows: takes notifications at once, and the work on an embedded store
    /// when that one has ended (see [`Store::own`](super::Store::own)).
    Successor {
        /// As for the owner.
        longest_wait: Duration,
    },
    /// Looks or replays from the shell while another process may serve.
    Guest,
}
