//! A listener's limits: the number of connections, and the time that each may take.

use std::time::Duration;

/// The limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The limit of concurrent connections. For a further one, the connection that has been idle for the longest time
    /// is closed; if none is idle, the new one waits.
    pub max_connections: usize,
    /// The time limit for the TLS handshake and for the head of a request, each from its first byte on.
    pub header_timeout: Duration,
    /// The time limit for a connection on which no request has begun.
    pub idle_timeout: Duration,
    /// The time in which the peer must take a part of an answer. After a stop, or when the peer has closed its half, it
    /// is a second.
    pub answer_timeout: Duration,
    /// The time for which an open connection waits at a stop for a request that is on its way, after whose answer it is
    /// closed. It waits as long again when a part of the request has come.
    pub linger: Duration,
    /// Whether a client may close its half of the connection after a request and still read the answer. If so, a client
    /// that has disconnected is noticed only when something is sent to it.
    pub half_close: bool,
}

impl Limits {
    /// The interval at which the limits are checked: often enough that a limit is exceeded by no more than a quarter.
    pub(super) fn check_interval(&self) -> Duration {
        let shortest = self
            .header_timeout
            .min(self.idle_timeout)
            .min(self.answer_timeout);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}
