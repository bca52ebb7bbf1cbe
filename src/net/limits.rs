//! How many connections a listener holds, and how long each may take.

use std::time::Duration;

/// How long and how many.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at once. For a further one the longest idle one is closed; where none is idle it waits.
    pub max_connections: usize,
    /// For the TLS handshake and for the head of a request, from their first byte on.
    pub header_timeout: Duration,
    /// For a connection on which nothing has begun.
    pub idle_timeout: Duration,
    /// How long an open connection has at a stop to bring a request that is on its way; its answer closes it. As long
    /// again when the request has begun to come.
    pub linger: Duration,
    /// Whether a client may end its half of the connection behind a request and still read the answer. Where it may, one
    /// that has gone is only noticed when something is sent to it.
    pub half_close: bool,
}

impl Limits {
    /// Often enough that a limit is kept to within a quarter.
    pub(super) fn look_every(&self) -> Duration {
        (self.header_timeout.min(self.idle_timeout) / 4)
            .clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}
