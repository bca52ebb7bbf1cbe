//! How long the vendor keeps content (docs/VENDOR.md, "Retention"): transcripts and recordings are deleted after a
//! time, notes are not. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{LinkGroup, Millis};

/// How long the vendor keeps transcripts and audio, counted from the earliest time that is known of a session.
pub const KEPT_FOR: Duration = Duration::from_secs(30 * DAY);
/// How long the vendor keeps recordings.
const RECORDINGS_KEPT_FOR: Duration = Duration::from_secs(7 * DAY);
const DAY: u64 = 24 * 3600;

/// The retention period of one piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionClock {
    start: Millis,
    kept_for: Duration,
}

impl RetentionClock {
    /// The retention period of a link in this group. `None` if it is not deleted.
    pub fn of_group(group: &LinkGroup, start: Timestamp) -> Option<Self> {
        let kept_for = match group.as_str() {
            "transcripts" => KEPT_FOR,
            "recording" | "recordings" => RECORDINGS_KEPT_FOR,
            _ => return None,
        };
        Some(Self {
            start: start.as_millisecond(),
            kept_for,
        })
    }

    /// The retention period of a session's transcript.
    pub fn of_transcript(start: Timestamp) -> Self {
        Self {
            start: start.as_millisecond(),
            kept_for: KEPT_FOR,
        }
    }

    /// When the content is deleted.
    pub fn end(&self) -> Millis {
        self.start.saturating_add(millis(self.kept_for))
    }

    /// Whether the content is deleted by now.
    pub fn is_over(&self, now: Millis) -> bool {
        now >= self.end()
    }

    /// The time left at a warning point within this period. The warning points are a day before the end, and when a
    /// quarter of the retention is left. In successive periods each point occurs exactly once.
    pub fn warning(&self, (after, until): (Millis, Millis)) -> Option<Duration> {
        let points = [Duration::from_secs(DAY), self.kept_for / 4];
        let is_within = |left: &Duration| {
            let point = self.end() - millis(*left);
            after < point && point <= until
        };
        points.into_iter().find(is_within)
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: Millis = 24 * 3_600_000;

    fn clock(group: &str) -> Option<RetentionClock> {
        RetentionClock::of_group(&LinkGroup::new(group), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn transcripts_are_kept_for_30_days_recordings_for_7_and_notes_have_no_clock() {
        let end = |group| clock(group).map(|clock| clock.end() / DAY_MS);
        assert_eq!(end("transcripts"), Some(30));
        assert_eq!(end("recordings"), Some(7));
        assert_eq!(end("contents"), None);
        let clock = clock("recordings").expect("a clock");
        assert!(!clock.is_over(7 * DAY_MS - 1) && clock.is_over(7 * DAY_MS));
    }

    #[test]
    fn somebody_is_told_once_with_a_quarter_left_and_once_with_a_day() {
        let clock = clock("transcripts").expect("a clock");
        let mut told = Vec::new();
        for hour in 0..31 * 24 {
            let between = (hour * 3_600_000, (hour + 1) * 3_600_000);
            told.extend(clock.warning(between));
        }
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!(told, [hours(180), hours(24)]);
        // If both warning points are in one period, the more urgent one is returned.
        assert_eq!(clock.warning((0, 30 * DAY_MS)), Some(hours(24)));
    }
}
