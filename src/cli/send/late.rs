//! Which of the messages are sent late, and by how much, to simulate a vendor that is slow to notify.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

/// The last messages of a run, sent after a pause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Late {
    percent: f64,
    pub(super) by: Duration,
}

impl Late {
    /// How many of `count` messages are sent in time, and how many late.
    pub(super) fn split(self, count: u64) -> (u64, u64) {
        let late = (count as f64 * self.percent / 100.0).round() as u64;
        (count - late.min(count), late.min(count))
    }
}

impl FromStr for Late {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (percent, by) = text.split_once("%:")?;
            let percent = percent.parse().ok().filter(|p| (0.0..=100.0).contains(p))?;
            let by = by.parse::<SignedDuration>().ok()?.try_into().ok()?;
            Some(Self { percent, by })
        };
        read()
            .ok_or_else(|| format!("invalid share and time '{text}'; expected one such as 10%:30s"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_messages_comes_late() {
        let late: Late = "10%:1m30s".parse().expect("parses");
        assert_eq!(late.by, Duration::from_secs(90));
        assert_eq!(late.split(50), (45, 5));
        assert_eq!(late.split(1), (1, 0));
        for wrong in ["10:30s", "110%:30s", "10%", "10%:soon"] {
            wrong.parse::<Late>().expect_err(wrong);
        }
    }
}
