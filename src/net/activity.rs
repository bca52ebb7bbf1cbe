//! The state of a connection: idle, receiving a request's head, or in a request: handled, or answered. With it a slow
//! connection is cut off, an idle one is not mistaken for slow, and the one that has been idle for the longest time is
//! known.
//!
//! A load balancer keeps connections open for minutes and opens them ahead of use. A notification that it sends on a
//! connection that is being closed is lost. So a connection on which no request has begun is closed only by the idle
//! timeout, by a stop, or to make room for another connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::limits::Limits;

/// The time that the runtime may take to notice that bytes have come.
const MOMENT: Duration = Duration::from_millis(20);
/// The time in which a connection that is to close must take a part of its answers.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// Stands for a time when no head is being read.
const NONE: u64 = u64::MAX;

/// The state of one connection, shared by its I/O, its requests and its supervisor.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    /// Those of the requests whose answer is not ready yet.
    handlers: AtomicUsize,
    /// The bodies whose rest is still read, although their requests may have been answered.
    rests: AtomicUsize,
    /// When the last request began, or the peer last took a part of an answer.
    progress: AtomicU64,
    /// Whether the peer has closed the connection, or its half of it.
    has_ended: AtomicBool,
    idle_since: AtomicU64,
    head_since: AtomicU64,
    polls: AtomicU64,
    is_evicted: AtomicBool,
    evicted: Notify,
    after_request: AtomicWaker,
}

/// The decision about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Leave it open.
    Keep,
    /// Idle for too long: close it gracefully, as the protocol requires.
    CloseIdle,
    /// Too slow with the head of its request: drop it.
    Cut,
    /// Takes none of its answers, and no request is being handled: drop it.
    CutAnswer,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Self::opened_at(Instant::now())
    }

    fn opened_at(opened: Instant) -> Arc<Self> {
        Arc::new(Self {
            opened,
            requests: AtomicUsize::new(0),
            handlers: AtomicUsize::new(0),
            rests: AtomicUsize::new(0),
            progress: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NONE),
            polls: AtomicU64::new(0),
            is_evicted: AtomicBool::new(false),
            evicted: Notify::new(),
            after_request: AtomicWaker::new(),
        })
    }

    /// Notes that a request's head is complete. The first guard is dropped when its answer is ready, the second one when
    /// HTTP has taken the whole answer.
    pub(super) fn request(self: &Arc<Self>) -> (Handling, InRequest) {
        self.handlers.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(NONE, Ordering::Relaxed);
        (Handling(Arc::clone(self)), InRequest(Arc::clone(self)))
    }

    /// Notes that the rest of a request's body is read, until the guard is dropped. Its bytes begin no request.
    pub(super) fn rest(self: &Arc<Self>) -> Rest {
        self.rests.fetch_add(1, Ordering::Relaxed);
        Rest(Arc::clone(self))
    }

    /// Whether a request is being worked on.
    pub(super) fn is_in_request(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Wakes when a request has been answered.
    pub(super) fn wake_after_request(&self, waker: &Waker) {
        self.after_request.register(waker);
    }

    /// Whether the next request's head has come in part.
    pub(super) fn has_begun(&self) -> bool {
        self.head_since.load(Ordering::Relaxed) != NONE
    }

    /// Since when the connection has been idle. `None` while it is not.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = !self.is_in_request() && !self.has_begun();
        let since = Duration::from_nanos(self.idle_since.load(Ordering::Relaxed));
        is_idle.then(|| self.opened + since)
    }

    /// Decides by the time that has passed. `is_parting` says whether the connection is to close after its answers.
    pub(super) fn verdict(&self, limits: &Limits, is_parting: bool) -> Verdict {
        if self.is_in_request() {
            let is_hurried = is_parting || self.has_ended.load(Ordering::Relaxed);
            let patience = if is_hurried {
                limits.answer_timeout.min(FAREWELL)
            } else {
                limits.answer_timeout
            };
            let is_handled = self.handlers.load(Ordering::Relaxed) == 0;
            return if is_handled && self.since(self.progress.load(Ordering::Relaxed)) > patience {
                Verdict::CutAnswer
            } else {
                Verdict::Keep
            };
        }
        let head = self.head_since.load(Ordering::Relaxed);
        if head != NONE && self.since(head) > limits.header_timeout {
            return Verdict::Cut;
        }
        let is_too_long = |since: Instant| since.elapsed() > limits.idle_timeout;
        if self.idle_since().is_some_and(is_too_long) {
            return Verdict::CloseIdle;
        }
        Verdict::Keep
    }

    /// Notes that bytes came; `is_within` says whether they end within a request's head.
    pub(super) fn bytes_came(&self, is_within: bool) {
        if !is_within {
            // A connection is not idle before its TLS handshake has ended.
            self.idle_since.store(self.now(), Ordering::Relaxed);
            self.head_since.store(NONE, Ordering::Relaxed);
        } else if !self.is_in_request() && self.rests.load(Ordering::Relaxed) == 0 {
            // Only the first bytes of a head start its clock.
            self.head_since
                .compare_exchange(NONE, self.now(), Ordering::Relaxed, Ordering::Relaxed)
                .ok();
        }
    }

    /// Notes that the peer has closed the connection, or its half of it.
    pub(super) fn ended(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// Counts a poll of the connection.
    pub(super) fn polled(&self) {
        self.polls.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was polled.
    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// Asks the connection to close when it is idle, so that another one may open.
    pub(super) fn evict(&self) {
        self.is_evicted.store(true, Ordering::Relaxed);
        self.evicted.notify_one();
    }

    /// Whether the connection was asked to close.
    pub(super) fn is_evicted(&self) -> bool {
        self.is_evicted.load(Ordering::Relaxed)
    }

    /// Waits until the connection was asked to close and is still idle a moment later. In that moment, bytes are
    /// noticed that have come and were not read yet; a request that has begun cancels the eviction.
    pub(super) async fn evicted(&self) {
        loop {
            self.evicted.notified().await;
            tokio::time::sleep(MOMENT).await;
            if self.idle_since().is_some() {
                return;
            }
            self.is_evicted.store(false, Ordering::Relaxed);
        }
    }

    /// Nanoseconds since the connection was opened. Connections that became idle within a millisecond are to be told
    /// apart.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_nanos()).unwrap_or(NONE - 1)
    }

    fn since(&self, nanos: u64) -> Duration {
        Duration::from_nanos(self.now().saturating_sub(nanos))
    }
}

/// Held until a request's answer is ready.
pub(super) struct Handling(Arc<Activity>);

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.progress.store(self.0.now(), Ordering::Relaxed);
        self.0.handlers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Held while the rest of a request's body is read.
pub(super) struct Rest(Arc<Activity>);

impl Drop for Rest {
    fn drop(&mut self) {
        self.0.rests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Held until HTTP has taken a request's whole answer.
pub(super) struct InRequest(Arc<Activity>);

impl InRequest {
    /// Notes that HTTP has taken a part of the answer: the peer has taken what came before it.
    pub(super) fn progress(&self) {
        self.0.progress.store(self.0.now(), Ordering::Relaxed);
    }
}

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.after_request.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn of_connections_that_became_idle_within_a_millisecond_the_first_is_idle_for_longer() {
        for _ in 0..100 {
            let (first, second) = (Activity::new(), Activity::new());
            drop(first.request());
            drop(second.request());
            assert!(first.idle_since() < second.idle_since());
        }
    }

    fn limits() -> Limits {
        Limits {
            max_connections: 1,
            header_timeout: MINUTE,
            idle_timeout: MINUTE,
            answer_timeout: MINUTE,
            linger: MINUTE,
            half_close: true,
        }
    }

    #[test]
    fn an_answer_that_is_not_taken_is_cut_off_but_not_while_a_request_is_handled() {
        let limits = Limits {
            answer_timeout: Duration::ZERO,
            ..limits()
        };
        let activity = Activity::new();
        let (first, answer) = activity.request();
        let (second, _answer) = activity.request();
        drop(first);
        assert_eq!(activity.verdict(&limits, true), Verdict::Keep);
        drop(second);
        assert_eq!(activity.verdict(&limits, false), Verdict::CutAnswer);
        answer.progress();
        let limits = Limits {
            answer_timeout: MINUTE,
            ..limits
        };
        assert_eq!(activity.verdict(&limits, true), Verdict::Keep);
    }

    #[test]
    fn a_connection_is_idle_from_the_end_of_its_handshake_on() {
        let minute_ago = Instant::now()
            .checked_sub(MINUTE)
            .expect("a machine that is up");
        let activity = Activity::opened_at(minute_ago);
        let limits = Limits {
            idle_timeout: MINUTE / 2,
            ..limits()
        };
        let verdict = || activity.verdict(&limits, false);
        assert_eq!(verdict(), Verdict::CloseIdle);
        activity.bytes_came(true);
        activity.bytes_came(false);
        assert_eq!(verdict(), Verdict::Keep);
    }
}
