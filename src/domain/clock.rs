//! The two clocks: wall time for people, and a monotonic clock for everything that the service waits for.
//!
//! Leases, retries and deadlines use [`Clock::monotonic`], so a jump of the system clock neither stalls nor repeats work.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Milliseconds since the Unix epoch, the unit of every stored time.
pub type Millis = i64;

/// The service's source of time. Cheap to copy; one is made at start and passed to every part.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    wall_at_start: Millis,
    start: Instant,
    ahead: Duration,
    /// Replaces both clocks in a test.
    played: Option<fn() -> Instant>,
}

impl Clock {
    /// A clock whose monotonic time starts at the present wall time.
    pub fn start() -> Self {
        Self::ahead_by(Duration::ZERO)
    }

    /// The clock of a machine whose system clock is ahead of this one's, for tests of machines whose clocks differ.
    pub fn ahead_by(ahead: Duration) -> Self {
        Self {
            wall_at_start: (Timestamp::now() + ahead).as_millisecond(),
            start: Instant::now(),
            ahead,
            played: None,
        }
    }

    /// A clock that starts at the present wall time and then follows `instants`, for tests that simulate a day in
    /// seconds.
    pub fn played(instants: fn() -> Instant) -> Self {
        Self {
            start: instants(),
            played: Some(instants),
            ..Self::start()
        }
    }

    /// The wall time. It may jump.
    pub fn now(&self) -> Timestamp {
        match self.played {
            Some(_) => Timestamp::from_millisecond(self.monotonic()).unwrap_or(Timestamp::MAX),
            None => Timestamp::now() + self.ahead,
        }
    }

    /// The wall time at start plus the time that has passed since. It never jumps. Between two processes it is as
    /// comparable as their system clocks.
    pub fn monotonic(&self) -> Millis {
        let now = self.played.map_or_else(Instant::now, |instants| instants());
        self.wall_at_start + millis(now.saturating_duration_since(self.start))
    }

    /// The monotonic time `delay` from now.
    pub fn monotonic_in(&self, delay: Duration) -> Millis {
        self.monotonic().saturating_add(millis(delay))
    }
}

/// A duration in whole milliseconds. One that is too long for the type becomes practically infinite.
fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 2)
}
