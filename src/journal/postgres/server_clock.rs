//! Leases, retries and retention use the server's clock, whatever the instances' clocks say.
//!
//! Callers give times of their own monotonic clock. Only the distance from now is sent to the server, which adds it to
//! its own time (`server_millis()`); times from the server are converted in the same way. So instances whose clocks
//! differ agree on what is due, and a clock that jumps changes nothing.

use crate::domain::{Clock, Millis};

/// The longest distance that is sent, about a century: practically for ever, and too short for a sum to overflow.
const LONGEST: Millis = 100 * 365 * 24 * 3600 * 1000;

/// Converts the caller's monotonic time into distances, and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerClock(Clock);

impl ServerClock {
    pub(super) fn new(own: Clock) -> Self {
        Self(own)
    }

    /// The time from now until `at`; negative when `at` has passed.
    pub(super) fn distance(self, at: Millis) -> Millis {
        at.saturating_sub(self.0.monotonic())
            .clamp(-LONGEST, LONGEST)
    }

    /// Converts the server's `at` into the caller's time, given that the server's time is `now`.
    pub(super) fn own(self, at: Millis, now: Millis) -> Millis {
        self.0.monotonic().saturating_sub(now.saturating_sub(at))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn distances_do_not_depend_on_what_the_clock_says() {
        let (here, ahead) = (Clock::start(), Clock::ahead_by(Duration::from_secs(3600)));
        for clock in [here, ahead] {
            let distance =
                ServerClock::new(clock).distance(clock.monotonic_in(Duration::from_secs(60)));
            assert!((59_000..=60_000).contains(&distance), "{distance}");
            let own = ServerClock::new(clock).own(1_000, 61_000);
            assert!(
                (59_000..=60_000).contains(&(clock.monotonic() - own)),
                "{own}"
            );
        }
        assert_eq!(ServerClock::new(here).distance(Millis::MAX), LONGEST);
    }
}
