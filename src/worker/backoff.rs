//! The backoff: how long to wait before the next attempt. Pure except for the random jitter.

use std::time::Duration;

use crate::config::Retry;

/// The wait after attempt number `attempt` (from 1): full jitter below a bound that doubles from `initial` to `max`,
/// and at least a tenth of `initial`, so that attempts never spin. A wait that the peer has asked for can make it
/// longer, up to `max`, but not shorter.
pub(super) fn wait(retry: &Retry, attempt: u32, asked: Option<Duration>) -> Duration {
    let doublings = attempt.saturating_sub(1).min(31);
    let bound = retry.initial.saturating_mul(1 << doublings).min(retry.max);
    let jittered = bound.mul_f64(rand::random::<f64>()).max(retry.initial / 10);
    // A little longer than asked, so that callers that were told the same wait do not return together.
    let asked = asked.unwrap_or_default().min(retry.max);
    let asked = asked.saturating_add(jittered.min(asked / 4));
    jittered.max(asked).min(retry.max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_max_and_never_nothing(
            attempt in 0_u32..10_000, initial in 1_u64..10_000, more in 0_u64..1_000_000, asked in proptest::option::of(0_u64..10_000_000)
        ) {
            let retry = Retry {
                initial: Duration::from_millis(initial),
                max: Duration::from_millis(initial + more),
                give_up_after: Duration::from_secs(1),
            };
            let wait = wait(&retry, attempt, asked.map(Duration::from_millis));
            prop_assert!(wait <= retry.max);
            prop_assert!(wait >= retry.initial / 10, "whatever was asked");
        }
    }

    #[test]
    fn what_a_peer_asks_for_is_waited() {
        let retry = Retry::default();
        let wait = wait(&retry, 1, Some(Duration::from_secs(7)));
        assert!(wait >= Duration::from_secs(7), "{wait:?}");
    }
}
