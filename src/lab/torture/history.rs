//! The history of injected faults with their times. Only a fault can explain a failure that would otherwise break a
//! rule.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::fault::Fault;

/// The tolerance in time, since an effect is observed a little after its cause.
const MARGIN: Duration = Duration::from_millis(250);
/// How long the database may still be considered unavailable after it is back: the spool's drain probes it at most
/// every 2 s, with a timeout of 2 s.
const FOUND_AGAIN: Duration = Duration::from_secs(5);

/// One injected fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act {
    pub(super) fault: Fault,
    /// The receiver concerned; meaningless for faults of the environment.
    pub(super) instance: usize,
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// All injected faults.
#[derive(Debug, Default)]
pub(super) struct History(Vec<Act>);

impl History {
    pub(super) fn new(acts: Vec<Act>) -> Self {
        Self(acts)
    }

    /// How often each kind was injected.
    pub(super) fn counts(&self) -> BTreeMap<Fault, u32> {
        let mut counts = BTreeMap::new();
        for act in &self.0 {
            *counts.entry(act.fault).or_default() += 1;
        }
        counts
    }

    /// Whether the receiver may have been down at some moment of a request: it was killed or stopped, and was not ready
    /// again. A hand-over does not count, since there is always a listener during it.
    pub(super) fn was_down(&self, instance: usize, from: Instant, to: Instant) -> bool {
        self.0.iter().any(|act| {
            matches!(act.fault, Fault::Kill | Fault::Restart)
                && act.instance == instance
                && act.is_felt(from, to)
        })
    }

    /// Whether a receiver could not store anything at some moment of a request: its disk was full and, with a shared
    /// store, the database was unavailable as well.
    pub(super) fn was_unable(
        &self,
        instance: usize,
        from: Instant,
        to: Instant,
        is_shared: bool,
    ) -> bool {
        let during = |fits: &dyn Fn(&Act) -> bool| {
            self.0.iter().any(|act| fits(act) && act.is_felt(from, to))
        };
        let is_full = during(&|act| act.fault == Fault::FullDisk && act.instance == instance);
        is_full && (!is_shared || during(&|act| act.fault.is_of_database()))
    }

    /// How often an event may have been delivered again between its first delivery at `first` and its last at `last`.
    pub(super) fn repeats(&self, first: Instant, last: Instant) -> u32 {
        let acts = self.0.iter();
        let repeats = acts.filter(|act| act.fault.may_repeat() && act.is_felt(first, last));
        u32::try_from(repeats.count()).unwrap_or(u32::MAX)
    }
}

impl Act {
    /// Whether the fault was active, or still had an effect, between these two times.
    fn is_felt(&self, first: Instant, last: Instant) -> bool {
        let after = if self.fault.is_of_database() {
            FOUND_AGAIN
        } else {
            MARGIN
        };
        self.from <= last && first <= self.to + after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of one fault that lasted from second 1 to second 2.
    fn of(fault: Fault) -> (History, impl Fn(f64) -> Instant) {
        let start = Instant::now();
        let at = move |seconds| start + Duration::from_secs_f64(seconds);
        let (from, to) = (at(1.0), at(2.0));
        let act = Act {
            fault,
            instance: 0,
            from,
            to,
        };
        (History::new(vec![act]), at)
    }

    #[test]
    fn a_receiver_is_down_while_it_is_killed_or_restarted_and_at_no_other_time() {
        for fault in [Fault::Kill, Fault::Restart] {
            let (history, at) = of(fault);
            assert!(history.was_down(0, at(1.5), at(1.6)));
            assert!(history.was_down(0, at(0.5), at(1.5)), "as it came");
            assert!(history.was_down(0, at(2.2), at(2.3)), "seen a little later");
            assert!(!history.was_down(1, at(1.5), at(1.6)), "the other one");
            assert!(!history.was_down(0, at(0.5), at(0.6)));
            assert!(!history.was_down(0, at(2.5), at(2.6)));
        }
        for fault in [Fault::HandOver, Fault::FullDisk, Fault::DatabaseCut] {
            let (history, at) = of(fault);
            assert!(!history.was_down(0, at(1.5), at(1.6)), "{fault:?}");
        }
    }

    #[test]
    fn a_full_disk_excuses_an_embedded_store_and_a_shared_one_only_while_the_database_is_away() {
        let (full, at) = of(Fault::FullDisk);
        assert!(full.was_unable(0, at(1.5), at(1.6), false));
        assert!(!full.was_unable(0, at(2.5), at(2.6), false));
        assert!(
            !full.was_unable(1, at(1.5), at(1.6), false),
            "the other one"
        );
        assert!(!full.was_unable(0, at(1.5), at(1.6), true));
        let (away, _) = of(Fault::DatabaseCut);
        assert!(!away.was_unable(0, at(1.5), at(1.6), true));
        let both = History::new([full.0, away.0].concat());
        assert!(both.was_unable(0, at(1.5), at(1.6), true));
        assert!(!both.was_unable(0, at(2.5), at(2.6), true));
    }

    #[test]
    fn only_what_was_done_since_the_first_delivery_explains_another() {
        let (history, at) = of(Fault::Kill);
        assert_eq!(history.repeats(at(0.0), at(3.0)), 1);
        assert_eq!(history.repeats(at(0.0), at(0.5)), 0);
        assert_eq!(history.repeats(at(2.5), at(3.0)), 0);
        let (history, at) = of(Fault::SinkDown);
        assert_eq!(history.repeats(at(0.0), at(3.0)), 0);
    }
}
