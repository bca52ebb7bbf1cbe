//! `[reconcile]`: expected sessions, and how their end is found when no notification comes.

use std::time::Duration;

use super::check;
use crate::config::reader::duration;
use crate::config::reader::section::Section;
use crate::domain::PollSchedule;

/// When expected sessions are polled, and how often at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconcile {
    /// Whether sessions can be expected at all.
    pub enabled: bool,
    /// Whether other sessions that a notification names are expected as well.
    pub siblings: bool,
    /// Whether a session may be registered without an id, in which case the service makes one.
    pub mint: bool,
    /// When a session is polled.
    pub schedule: PollSchedule,
    /// The limit of calls per second for all expected sessions together; within `sdp.max_requests_per_second`.
    pub max_requests_per_second: u32,
    /// `[reconcile.alarm]`.
    pub alarm: Alarm,
}

/// When missed notifications raise an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// The alarm is raised when this many first polls in a row find an ended session, or half of the last five times as
    /// many do.
    pub first_polls: usize,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Reconcile {
    fn default() -> Self {
        Self {
            enabled: true,
            siblings: true,
            mint: true,
            max_requests_per_second: 5,
            schedule: PollSchedule {
                push_grace: MINUTE * 2,
                assume_ended_after: HOUR * 2,
                min_interval: MINUTE * 2,
                max_interval: HOUR * 6,
                slow_after: DAY * 7,
                slow_interval: DAY,
                give_up_after: DAY * 30,
                absent_after: DAY * 7,
                aborted_grace: MINUTE * 15,
            },
            alarm: Alarm { first_polls: 10 },
        }
    }
}

impl Reconcile {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let default = Self::default();
        let mut time = |key, default| section.checked(key, default, check::not_zero);
        let times = default.schedule;
        let schedule = PollSchedule {
            push_grace: time("push_grace", times.push_grace),
            assume_ended_after: time("assume_ended_after", times.assume_ended_after),
            min_interval: time("min_interval", times.min_interval),
            max_interval: time("max_interval", times.max_interval),
            slow_after: time("slow_after", times.slow_after),
            slow_interval: time("slow_interval", times.slow_interval),
            give_up_after: time("give_up_after", times.give_up_after),
            absent_after: time("absent_after", times.absent_after),
            aborted_grace: time("aborted_grace", times.aborted_grace),
        };
        let reconcile = Self {
            schedule,
            enabled: section.get("enabled", default.enabled),
            siblings: section.get("siblings", default.siblings),
            mint: section.get("mint", default.mint),
            max_requests_per_second: section.checked(
                "max_requests_per_second",
                default.max_requests_per_second,
                rate,
            ),
            alarm: section.section("alarm", Alarm::read),
        };
        if schedule.max_interval < schedule.min_interval {
            let longest = duration::show(schedule.max_interval);
            section.problem(
                "max_interval",
                format!("{longest} is shorter than min_interval; use at least that"),
            );
        }
        reconcile
    }
}

impl Alarm {
    fn read(section: &mut Section<'_>) -> Self {
        let default = Reconcile::default().alarm;
        Self {
            first_polls: section.checked("first_polls", default.first_polls, first_polls),
        }
    }
}

fn rate(rate: &u32) -> Result<(), String> {
    check::ensure((1..=1000).contains(rate), || {
        format!("{rate} is out of range; use 1 to 1000, or enabled = false for none")
    })
}

/// Checks the size of the alarm's window, which is kept in memory.
fn first_polls(count: &usize) -> Result<(), String> {
    check::ensure((1..=1000).contains(count), || {
        format!("{count} is out of range; use 1 to 1000")
    })
}
