//! The rate limit for polls: calls are evenly spaced, never above the limit, and fewer when the vendor throttles. Pure.

use std::time::{Duration, Instant};

/// The lowest rate, in calls per second.
const LEAST: f64 = 0.1;
/// By how much the rate rises for each minute without throttling.
const STEP: f64 = 0.1;
const MINUTE: Duration = Duration::from_secs(60);
/// Throttled answers within this time count as one, because the calls were under way together.
const ONE_COMPLAINT: Duration = Duration::from_secs(2);

/// A rate limiter.
#[derive(Debug)]
pub(super) struct Pace {
    most: f64,
    rate: f64,
    /// When the next call may begin.
    next: Option<Instant>,
    /// When the vendor last throttled, and up to when the rate has been raised since.
    complained: Option<Instant>,
    risen: Option<Instant>,
}

impl Pace {
    /// A limit of `most` calls per second.
    pub(super) fn new(most: f64) -> Self {
        Self {
            most,
            rate: most,
            next: None,
            complained: None,
            risen: None,
        }
    }

    /// The rate at `now`, in calls per second.
    pub(super) fn rate(&mut self, now: Instant) -> f64 {
        if let Some(risen) = self.risen {
            let minutes = now.saturating_duration_since(risen).as_secs() / MINUTE.as_secs();
            if minutes > 0 {
                let steps = u32::try_from(minutes).unwrap_or(u32::MAX);
                self.rate = (self.rate + STEP * f64::from(steps)).min(self.most);
                self.risen = Some(risen + MINUTE * steps);
            }
        }
        self.rate
    }

    /// Takes `calls` calls and returns `None`, or returns how long to wait before asking again. Unused time is not
    /// saved up.
    pub(super) fn take(&mut self, now: Instant, calls: u32) -> Option<Duration> {
        match self.next {
            Some(next) if next > now => Some(next - now),
            _ => {
                self.charge(now, calls);
                None
            }
        }
    }

    /// Charges calls that were made without [`Pace::take`].
    pub(super) fn charge(&mut self, now: Instant, calls: u32) {
        let rate = self.rate(now);
        let from = self.next.map_or(now, |next| next.max(now));
        self.next = Some(from + Duration::from_secs_f64(f64::from(calls) / rate));
    }

    /// Records that the vendor throttles, and after what time it accepts calls again, if it said so.
    pub(super) fn throttled(&mut self, now: Instant, after: Option<Duration>) {
        let is_same = self
            .complained
            .is_some_and(|last| now.saturating_duration_since(last) < ONE_COMPLAINT);
        if !is_same {
            self.rate = (self.rate(now) / 2.0).max(LEAST).min(self.most);
            self.complained = Some(now);
        }
        self.risen = Some(now);
        if let Some(after) = after {
            let until = now + after.min(MINUTE * 60);
            self.next = Some(self.next.map_or(until, |next| next.max(until)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of calls in each second when as many are made as the limit allows.
    fn calls(pace: &mut Pace, start: Instant, seconds: u64) -> Vec<u32> {
        let (mut made, mut now) = (vec![0; usize::try_from(seconds).expect("few")], start);
        let end = start + Duration::from_secs(seconds);
        loop {
            match pace.take(now, 1) {
                Some(wait) => now += wait,
                None => {
                    let second = usize::try_from((now - start).as_secs()).expect("few");
                    made[second] += 1;
                }
            }
            if now >= end {
                return made;
            }
        }
    }

    #[test]
    fn no_second_has_more_calls_than_the_limit_even_after_a_pause() {
        let (mut pace, start) = (Pace::new(5.0), Instant::now());
        assert_eq!(calls(&mut pace, start, 3), [5, 5, 5]);
        let later = start + Duration::from_secs(3600);
        assert_eq!(calls(&mut pace, later, 2), [5, 5]);
    }

    #[test]
    fn a_complaint_halves_the_rate_once_and_quiet_minutes_raise_it_again() {
        let (mut pace, start) = (Pace::new(5.0), Instant::now());
        for _ in 0..10 {
            pace.throttled(start, None);
        }
        assert!((pace.rate(start) - 2.5).abs() < 1e-9);
        assert!((pace.rate(start + MINUTE * 10) - 3.5).abs() < 1e-9);
        assert!((pace.rate(start + MINUTE * 100) - 5.0).abs() < 1e-9);
        for n in 0..20 {
            pace.throttled(start + MINUTE * 100 + ONE_COMPLAINT * n, None);
        }
        assert!((pace.rate(start + MINUTE * 101) - LEAST).abs() < 1e-9);
    }

    #[test]
    fn what_is_fetched_for_a_recovered_session_and_what_the_vendor_asks_for_is_waited_out() {
        let (mut pace, start) = (Pace::new(5.0), Instant::now());
        assert_eq!(pace.take(start, 1), None);
        pace.charge(start, 5);
        assert_eq!(pace.take(start, 1), Some(Duration::from_millis(1200)));
        pace.throttled(start, Some(Duration::from_secs(30)));
        assert_eq!(pace.take(start, 1), Some(Duration::from_secs(30)));
    }
}
