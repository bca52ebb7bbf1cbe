//! The memory budget for request bodies that are being received or written to the store.
//!
//! A slow sender holds memory for a long time, so a few hundred slow large bodies could crowd out every notification.
//! So a share is reserved for small bodies, and when the budget is used up, the body with the highest product of size
//! and age is cut off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A body up to this size counts as small. Nearly all notifications are small.
const SMALL: usize = 64 * 1024;
/// The divisor of the share that is reserved for small bodies: an eighth of the budget.
const SHARE_FOR_SMALL: usize = 8;
/// How long a body waits for the memory of one that is being cut off. Short, because the waiting body keeps the memory
/// that it has already taken.
const PATIENCE: Duration = Duration::from_secs(1);

/// The number of bytes that all bodies together may take. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct MemoryBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    limit_for_large: usize,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    used_by_large: usize,
    /// The bodies that are being received, by number. A body that is already being written to the store cannot be cut
    /// off.
    receiving: HashMap<u64, Receiving>,
    next: u64,
}

#[derive(Debug)]
struct Receiving {
    bytes: usize,
    since: Instant,
    is_cut: bool,
    cut: Arc<Notify>,
}

/// The budget is used up, and no other body can be cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

/// The memory of one body, from its first byte until the last holder of the bytes has dropped them.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: MemoryBudget,
    number: u64,
    bytes: usize,
    cut: Arc<Notify>,
}

impl MemoryBudget {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Inner {
            limit,
            limit_for_large: limit - limit / SHARE_FOR_SMALL,
            state: Mutex::default(),
            freed: Notify::new(),
        }))
    }

    /// Whether at least half of the budget is free, so that there is memory for optional work.
    pub(super) fn is_ample(&self) -> bool {
        self.lock().used <= self.0.limit / 2
    }

    /// A reservation for a body of which no byte has arrived yet.
    pub(super) fn reserve(&self) -> Reservation {
        let mut state = self.lock();
        let (number, cut) = (state.next, Arc::<Notify>::default());
        state.next += 1;
        let receiving = Receiving {
            bytes: 0,
            since: Instant::now(),
            is_cut: false,
            cut: Arc::clone(&cut),
        };
        state.receiving.insert(number, receiving);
        drop(state);
        Reservation {
            budget: self.clone(),
            number,
            bytes: 0,
            cut,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Takes `more` bytes, and cuts off another body if that is necessary.
    pub(super) async fn grow(&mut self, more: usize) -> Result<(), Exhausted> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let inner = Arc::clone(&self.budget.0);
            let mut freed = std::pin::pin!(inner.freed.notified());
            // Registers for the wakeup before it tries, so that no release in between is missed.
            freed.as_mut().enable();
            if self.try_grow(more) {
                return Ok(());
            }
            if !self.make_room(more) {
                return Err(Exhausted);
            }
            tokio::time::timeout_at(deadline, freed)
                .await
                .map_err(|_| Exhausted)?;
        }
    }

    /// Completes when this body is to be cut off to make room for others.
    pub(super) async fn cut(&self) {
        self.cut.notified().await;
    }

    /// Ties this memory to the body. It is released when the last holder drops the bytes, which may be long after the
    /// request was answered: for instance when the disk hangs.
    pub(super) fn attach(self, body: Bytes) -> Bytes {
        self.budget.lock().receiving.remove(&self.number);
        Bytes::from_owner(Attached {
            body,
            _reservation: self,
        })
    }

    fn try_grow(&mut self, more: usize) -> bool {
        let mut state = self.budget.lock();
        let (before, after) = (large(self.bytes), large(self.bytes + more));
        let (used, used_by_large) = (state.used + more, state.used_by_large + after - before);
        let is_over = after > 0 && used_by_large > self.budget.0.limit_for_large;
        if used > self.budget.0.limit || is_over {
            return false;
        }
        (state.used, state.used_by_large) = (used, used_by_large);
        self.bytes += more;
        if let Some(receiving) = state.receiving.get_mut(&self.number) {
            receiving.bytes = self.bytes;
        }
        true
    }

    /// Cuts off the body with the highest product of size and age, unless another one is being cut off already. Returns
    /// `false` when that body is this one.
    fn make_room(&self, more: usize) -> bool {
        let mut state = self.budget.lock();
        if state.receiving.values().any(|receiving| receiving.is_cut) {
            return true;
        }
        let now = Instant::now();
        let weight = |bytes: usize, since: Instant| {
            u128::try_from(bytes).unwrap_or(u128::MAX) * now.duration_since(since).as_micros()
        };
        let own = state
            .receiving
            .get(&self.number)
            .map_or(0, |own| weight(own.bytes + more, own.since));
        let heaviest = state
            .receiving
            .values_mut()
            .max_by_key(|receiving| weight(receiving.bytes, receiving.since));
        match heaviest {
            Some(heaviest) if weight(heaviest.bytes, heaviest.since) > own => {
                heaviest.is_cut = true;
                heaviest.cut.notify_one();
                true
            }
            Some(_) | None => false,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.receiving.remove(&self.number);
        state.used -= self.bytes;
        state.used_by_large -= large(self.bytes);
        drop(state);
        if self.bytes > 0 {
            self.budget.0.freed.notify_waiters();
        }
    }
}

/// How much of the large bodies' share a body of this size takes: its whole size, or nothing when it is small.
fn large(bytes: usize) -> usize {
    if bytes > SMALL { bytes } else { 0 }
}

/// A body together with its reservation.
struct Attached {
    body: Bytes,
    _reservation: Reservation,
}

impl AsRef<[u8]> for Attached {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes every body older by `by`.
    fn age(budget: &MemoryBudget, by: Duration) {
        for receiving in budget.lock().receiving.values_mut() {
            receiving.since = receiving.since.checked_sub(by).expect("a time");
        }
    }

    #[tokio::test]
    async fn what_is_taken_is_free_again_when_dropped_and_never_more_than_there_is() {
        let budget = MemoryBudget::new(10);
        let (mut one, mut other) = (budget.reserve(), budget.reserve());
        assert_eq!(one.grow(4).await, Ok(()));
        assert_eq!(one.grow(3).await, Ok(()));
        assert!(!budget.is_ample());
        drop(one);
        assert!(budget.is_ample());
        assert_eq!(other.grow(10).await, Ok(()));
        assert_eq!(other.grow(1).await, Err(Exhausted));
    }

    #[tokio::test]
    async fn a_body_takes_its_memory_for_as_long_as_anyone_holds_it_and_cannot_be_cut_off() {
        let budget = MemoryBudget::new(4);
        let mut reservation = budget.reserve();
        assert_eq!(reservation.grow(4).await, Ok(()));
        let body = reservation.attach(Bytes::from_static(b"body"));
        let queued = body.clone();
        drop(body);
        assert_eq!(budget.reserve().grow(1).await, Err(Exhausted));
        assert_eq!(&queued[..], b"body");
        drop(queued);
        assert_eq!(budget.reserve().grow(4).await, Ok(()));
    }

    #[tokio::test]
    async fn large_bodies_leave_room_for_small_ones() {
        let budget = MemoryBudget::new(16 * SMALL);
        let mut large = Vec::new();
        for _ in 0..14 {
            let mut body = budget.reserve();
            assert_eq!(body.grow(SMALL).await, Ok(()));
            large.push(body);
        }
        for body in &mut large[..7] {
            // With this byte the body becomes large. There is room for it without cutting off another.
            assert!(body.try_grow(1));
        }
        let mut grown = budget.reserve();
        assert!(!grown.try_grow(8 * SMALL), "large ones have their part");
        assert!(grown.try_grow(SMALL), "a small one fits");
    }

    #[tokio::test]
    async fn the_one_that_held_the_most_for_the_longest_is_cut_off_for_a_new_one() {
        let budget = MemoryBudget::new(100);
        let (mut small, mut slow) = (budget.reserve(), budget.reserve());
        assert_eq!(small.grow(1).await, Ok(()));
        assert_eq!(slow.grow(60).await, Ok(()));
        age(&budget, Duration::from_secs(1));
        let mut fast = budget.reserve();
        assert_eq!(fast.grow(39).await, Ok(()));
        let cut = tokio::spawn(async move {
            slow.cut().await;
            drop(slow);
        });
        let mut new = budget.reserve();
        assert_eq!(new.grow(50).await, Ok(()));
        cut.await.expect("it ends");
        age(&budget, Duration::from_secs(9));
        assert_eq!(
            new.grow(60).await,
            Err(Exhausted),
            "it is the slowest itself"
        );
    }
}
