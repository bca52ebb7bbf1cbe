//! How a session ended, according to the notification and according to the status endpoint.

use std::fmt;
use std::str::FromStr;

/// How a session ended, in this service's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// A note was made.
    Completed,
    /// The session or its note failed.
    Failed,
    /// The session timed out.
    TimedOut,
    /// The session was cancelled.
    Cancelled,
    /// The session was too short or nothing was said: no error, and no note is coming.
    Skipped,
    /// Not told, or told in an unknown word.
    Unknown,
}

impl Outcome {
    /// Every outcome, in the order in which people see them.
    pub const ALL: [Self; 6] = [
        Self::Completed,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Skipped,
        Self::Unknown,
    ];

    /// The meaning of a notification's `status`. Only `success` and `failure` are documented; the other words are the
    /// obvious ones for the two events whose `status` is not. Everything else, and no status, is `Unknown`.
    pub fn of_notification(status: Option<&str>) -> Self {
        match status.map(str::to_ascii_lowercase).as_deref() {
            Some("success" | "completed") => Self::Completed,
            Some("failure" | "failed") => Self::Failed,
            Some("timeout" | "timed_out") => Self::TimedOut,
            Some("cancelled" | "canceled" | "aborted") => Self::Cancelled,
            Some("skipped") => Self::Skipped,
            _ => Self::Unknown,
        }
    }

    /// The name in the API, in the metrics and in the events that sinks get.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| {
                let words = Self::ALL.map(Self::as_str).join(", ");
                format!("unknown outcome '{text}'; expected one of {words}")
            })
    }
}

/// A session's status from the status endpoint, in lower case; unknown words are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus(String);

impl SessionStatus {
    /// The status with this word, in any letter case.
    pub fn new(word: &str) -> Self {
        Self(word.trim().to_ascii_lowercase())
    }

    /// The word in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The outcome that this status means; `Unknown` for an unknown status.
    pub fn outcome(&self) -> Outcome {
        match self.0.as_str() {
            "completed" => Outcome::Completed,
            "failed" => Outcome::Failed,
            "aborted" => Outcome::Cancelled,
            "skipped" => Outcome::Skipped,
            _ => Outcome::Unknown,
        }
    }

    /// Whether the session may still change. An unknown status is taken as final, so that nothing waits for ever.
    pub fn is_in_progress(&self) -> bool {
        matches!(
            self.0.as_str(),
            "created" | "ready" | "running" | "paused" | "staged"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_and_plausible_words_are_understood_and_the_rest_is_unknown() {
        assert_eq!(
            Outcome::of_notification(Some("success")),
            Outcome::Completed
        );
        assert_eq!(Outcome::of_notification(Some("FAILURE")), Outcome::Failed);
        assert_eq!(Outcome::of_notification(Some("timeout")), Outcome::TimedOut);
        assert_eq!(
            Outcome::of_notification(Some("canceled")),
            Outcome::Cancelled
        );
        assert_eq!(Outcome::of_notification(Some("archived")), Outcome::Unknown);
        assert_eq!(Outcome::of_notification(None), Outcome::Unknown);
    }

    #[test]
    fn session_states_are_compared_whatever_their_case() {
        assert_eq!(
            SessionStatus::new("COMPLETED").outcome(),
            Outcome::Completed
        );
        assert_eq!(SessionStatus::new("Aborted").outcome(), Outcome::Cancelled);
        assert_eq!(SessionStatus::new("SKIPPED").outcome(), Outcome::Skipped);
        assert_eq!(Outcome::of_notification(Some("skipped")), Outcome::Skipped);
        assert!(SessionStatus::new("Running").is_in_progress());
        assert!(!SessionStatus::new("skipped").is_in_progress());
        assert!(!SessionStatus::new("hibernated").is_in_progress());
    }
}
